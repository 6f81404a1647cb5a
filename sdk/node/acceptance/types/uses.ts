import Orchestry, {
  type AppStatus, type DeploymentDetail, type JobSpec, NotFound, RateLimited,
} from 'orchestry-client';

const client = new Orchestry(['http://127.0.0.1:8001', 'http://127.0.0.1:8002'], {
  token: 'secret', timeout: 20,
});

export async function uses(signal: AbortSignal): Promise<string> {
  const started = await client.startApp('web', { replicas: 3, wait: false });
  const scaled: number = (await client.scaleApp('web', 4, { idempotencyKey: 'k' })).scaling_time;
  const { apps } = await client.listApps({ status: 'running' });
  const token: string | null = (await client.createToken('ci', 'viewer', { apps: 'web' })).token;
  if (token === null) await client.runApp('web', ['ls'], { timeout: 5 });
  const counts: number = (await client.listApps({ format: 'summary' })).total;
  for await (const event of client.streamEvents({ sinceId: 4, signal })) {
    const app: string | null = event.app_name;
    if (app === null) break;
  }
  for await (const line of client.streamLogs('web', { tail: 10, level: 'WARN' })) {
    return line.container;
  }
  for await (const measured of client.streamMetrics('web')) {
    const cpu: number | null = measured.cpu_percent;
    if (cpu !== null) break;
  }
  return `${started.status} ${scaled} ${apps.map((app) => app.name)} ${counts}`;
}

export async function read(): Promise<string> {
  const status: AppStatus = await client.getAppStatus('web');
  const deployment: DeploymentDetail = await client.getDeployment('web', 1);
  const failed: number | undefined = deployment.receipt?.during?.failed;
  const spec = await client.getAppSpec('web');
  await client.updateApp(spec, { dryRun: true });
  await client.simulateScaling('web', {}, {
    samples: (await client.getAppMetrics('web', { history: 9 })).history,
  });
  const { tokens } = await client.listTokens();
  const { releases } = await client.listReleases();
  return `${status.status} ${failed ?? 0} ${spec.spec.image} ${tokens[0]?.role} ${
    releases.map((one) => one.chart_version)}`;
}

export function told(error: unknown): string {
  if (error instanceof RateLimited) return `${error.retryAfterS ?? 0 + 1}`;
  if (error instanceof NotFound || error instanceof Orchestry.Conflict) return error.code;
  return '';
}

export async function enters(): Promise<number | null> {
  const done: Orchestry.Executed = await client.execApp('web', ['ls', '-l'], { replica: 2 });
  const session = await client.openExec('web', ['sh'], {
    stdin: true, terminal: { rows: 24, columns: 80 },
  });
  await session.write(new Uint8Array([10]));
  for await (const { stream, data } of session) {
    const name: 'stdout' | 'stderr' = stream;
    if (data.length > done.exit_code && name === 'stderr') session.close();
  }
  return session.exitCode;
}

// @ts-expect-error a command is a list of words
client.execApp('web', 'ls').catch(told);
// @ts-expect-error the number of replicas is a number
client.scaleApp('web', '4').catch(told);
// @ts-expect-error there is no such status
client.listApps({ status: 'sleeping' }).catch(told);
// @ts-expect-error a drill names the term
client.beginDrill('leader-kill', {}).catch(told);
// @ts-expect-error there is no such call
client.explode();

const policy: Orchestry.PolicyChanges = { max_replicas: 3 };
client.updateScalingPolicy('web', policy).catch(told);

// @ts-expect-error an answer has no such key
client.getAppStatus('web').then((status) => status.colour, told);
// @ts-expect-error it is a number
const revision: Promise<string> = client.restartApp('web').then((made) => made.revision);
export { revision };
// @ts-expect-error the counts alone have no list
client.listApps({ format: 'summary' }).then((counts) => counts.apps, told);
// @ts-expect-error there is no such status
client.getAppStatus('web').then((status) => status.status === 'sleeping', told);

// What was loaded from a file passes.
const loaded: Record<string, unknown> = {};
declare const parsed: any;
const imported = {
  apiVersion: 'v1', kind: 'App', metadata: { name: 'web' },
  spec: { image: 'web:1', ports: [{ containerPort: 80, protocol: 'HTTP' }] },
};
for (const spec of [loaded, parsed]) client.registerApp(spec).catch(told);
client.registerApp(imported).catch(told);
client.updateApp(imported, { dryRun: true }).catch(told);
client.updateScalingPolicy('web', loaded).catch(told);
client.updateConfig(loaded).catch(told);

// What is written down is checked.
client.registerApp({
  apiVersion: 'v1', kind: 'App', metadata: { name: 'web' },
  spec: { image: 'web:1', ports: [{ containerPort: 80 }], env: [{ name: 'A', value: 'b' }] },
  scaling: { maxReplicas: 4 },
}).catch(told);
const job: JobSpec = {
  apiVersion: 'v1', kind: 'Job', metadata: { name: 'nightly' }, spec: { image: 'web:1' },
  job: { schedule: '0 3 * * *' },
};
client.updateApp(job).catch(told);
client.updateScalingPolicy('web', { max_replicas: 3 }).catch(told);
client.getScalingPolicy('web').then((now) => client.updateScalingPolicy('web', now.policy), told);
client.updateConfig({ scaling: { default_cooldown: 300 } }).catch(told);

// @ts-expect-error there is no such key
client.registerApp({
  apiVersion: 'v1', kind: 'App', metadata: { name: 'web' },
  spec: { imag: 'web:1', ports: [] },
}).catch(told);
// @ts-expect-error there is no such part
client.updateApp({
  apiVersion: 'v1', kind: 'App', metadata: { name: 'web' }, spec: { image: 'i', ports: [] },
  scale: {},
}).catch(told);
// @ts-expect-error a policy has other spellings
client.updateScalingPolicy('web', { maxReplicas: 3 }).catch(told);
// @ts-expect-error there is no such key
client.updateConfig({ scaling: { cooldown: 300 } }).catch(told);
const wrong: JobSpec = {
  apiVersion: 'v1', kind: 'Job', metadata: { name: 'nightly' },
  // @ts-expect-error a job has no ports
  spec: { image: 'web:1', ports: [] },
};
client.updateApp(wrong).catch(told);
