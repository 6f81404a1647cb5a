'use strict';

const assert = require('node:assert/strict');
const net = require('node:net');
const { test } = require('node:test');

const Orchestry = require('../index.js');
const { against, error, nodes } = require('./stub.js');

const SPEC = { apiVersion: 'v1', kind: 'App', metadata: { name: 'web' } };
const WEB = '/api/v1/apps/web';
const RELEASES = '/api/v1/releases';

const CALLS = [
  ['registerApp', [SPEC], 'POST', '/api/v1/apps/register', SPEC],
  ['startApp', ['web', { replicas: 3 }], 'POST', `${WEB}/start`,
    { replicas: 3, wait: true, timeout: 300 }],
  ['startApp', ['web', { wait: false }], 'POST', `${WEB}/start`, { wait: false, timeout: 300 }],
  ['stopApp', ['web', { force: true, timeout: 5 }], 'POST', `${WEB}/stop`,
    { force: true, timeout: 5 }],
  ['stopApp', ['web'], 'POST', `${WEB}/stop`, { force: false }],
  ['scaleApp', ['web', 4, { timeout: 9 }], 'POST', `${WEB}/scale`,
    { replicas: 4, wait: true, timeout: 9 }],
  ['removeApp', ['web', { keepData: true }], 'DELETE', `${WEB}?force=false&keep_data=true`, null],
  ['getAppStatus', ['web'], 'GET', WEB, null],
  ['listApps', [], 'GET', '/api/v1/apps', null],
  ['listApps', [{ status: 'error', format: 'summary' }], 'GET',
    '/api/v1/apps?status=error&format=summary', null],
  ['updateApp', [SPEC], 'PUT', WEB, SPEC],
  ['updateApp', [SPEC, { dryRun: true }], 'PUT', `${WEB}?dry_run=true`, SPEC],
  ['listRevisions', ['web'], 'GET', `${WEB}/revisions`, null],
  ['rollbackApp', ['web'], 'POST', `${WEB}/rollback`, {}],
  ['rollbackApp', ['web', { revision: 7 }], 'POST', `${WEB}/rollback`, { revision: 7 }],
  ['restartApp', ['web'], 'POST', `${WEB}/restart`, null],
  ['pauseApp', ['web'], 'POST', `${WEB}/pause`, null],
  ['resumeApp', ['web'], 'POST', `${WEB}/resume`, null],
  ['promoteApp', ['web'], 'POST', `${WEB}/promote`, {}],
  ['promoteApp', ['web', { all: true }], 'POST', `${WEB}/promote`, { all: true }],
  ['listDeployments', ['web'], 'GET', `${WEB}/deployments`, null],
  ['getDeployment', ['web', 9], 'GET', `${WEB}/deployments/9`, null],
  ['runApp', ['web', ['ls', '/']], 'POST', `${WEB}/run`, { command: ['ls', '/'] }],
  ['runApp', ['web', ['ls'], { timeout: 5 }], 'POST', `${WEB}/run`,
    { command: ['ls'], timeout_s: 5 }],
  ['listRuns', ['web'], 'GET', `${WEB}/runs`, null],
  ['getRun', ['web', 9], 'GET', `${WEB}/runs/9`, null],
  ['listJobs', [], 'GET', '/api/v1/jobs', null],
  ['getJob', ['a/b'], 'GET', '/api/v1/jobs/a%2Fb', null],
  ['triggerJob', ['nightly'], 'POST', '/api/v1/jobs/nightly/trigger', null],
  ['suspendJob', ['nightly'], 'POST', '/api/v1/jobs/nightly/suspend', null],
  ['resumeJob', ['nightly'], 'POST', '/api/v1/jobs/nightly/resume', null],
  ['cancelRun', ['web', 9], 'POST', `${WEB}/runs/9/cancel`, null],
  ['getScalingDecisions', ['web', { limit: 5, changes: true }], 'GET',
    `${WEB}/scaling/decisions?limit=5&changes=true`, null],
  ['getScalingDecisions', ['web', { since: '1h', until: '5m' }], 'GET',
    `${WEB}/scaling/decisions?since=1h&until=5m`, null],
  ['simulateScaling', ['web', { max_replicas: 9 }, { since: '1h', replicas: 2 }], 'POST',
    `${WEB}/scaling/simulate`, { policy: { max_replicas: 9 }, since: '1h', replicas: 2 }],
  ['simulateScaling', ['web'], 'POST', `${WEB}/scaling/simulate`, { policy: {} }],
  ['listReleases', [], 'GET', RELEASES, null],
  ['getRelease', ['web'], 'GET', `${RELEASES}/web`, null],
  ['getReleaseRevision', ['web', 3, { against: 1 }], 'GET',
    `${RELEASES}/web/revisions/3?against=1`, null],
  ['applyRelease', ['web', 'web-app', '1.0.0', [SPEC], { values: { a: 1 }, only: 'install' }],
    'PUT', `${RELEASES}/web?dry_run=false&keep_data=false&only=install`,
    { chart: 'web-app', chart_version: '1.0.0', values: { a: 1 }, specs: [SPEC] }],
  ['rollbackRelease', ['web', { revision: 2, dryRun: true }], 'POST',
    `${RELEASES}/web/rollback?dry_run=true&keep_data=false`, { revision: 2 }],
  ['rollbackRelease', ['web'], 'POST',
    `${RELEASES}/web/rollback?dry_run=false&keep_data=false`, {}],
  ['uninstallRelease', ['web', { keepData: true }], 'DELETE',
    `${RELEASES}/web?force=false&keep_data=true`, null],
  ['clusterMembers', [], 'GET', '/cluster/members', null],
  ['addMember', ['d', '10.0.0.4:4321'], 'POST', '/cluster/members',
    { node_id: 'd', raft_address: '10.0.0.4:4321' }],
  ['removeMember', ['d/e'], 'DELETE', '/cluster/members/d%2Fe', null],
  ['transferLeadership', [], 'POST', '/cluster/transfer', {}],
  ['transferLeadership', [{ to: 'b' }], 'POST', '/cluster/transfer', { to: 'b' }],
  ['beginDrill', ['leader-kill', { term: 4 }], 'POST', '/cluster/drill',
    { fault: 'leader-kill', term: 4, seconds: 10 }],
  ['probeDrill', [], 'POST', '/cluster/drill/probe', null],
  ['clusterActions', [], 'GET', '/cluster/actions?after=0&limit=1000', null],
  ['clusterContainers', [], 'GET', '/cluster/containers', null],
  ['restorePart', ['r', { kind: 'end' }], 'POST', '/cluster/restore',
    { restore_id: 'r', adopt: false, part: { kind: 'end' } }],
  ['createToken', ['ci', 'deployer', { apps: 'web', expiresIn: '1d' }], 'POST',
    '/api/v1/tokens', { name: 'ci', role: 'deployer', apps: 'web', expires_in: '1d' }],
  ['createToken', ['ci', 'viewer'], 'POST', '/api/v1/tokens', { name: 'ci', role: 'viewer' }],
  ['listTokens', [], 'GET', '/api/v1/tokens', null],
  ['revokeToken', ['t1'], 'DELETE', '/api/v1/tokens/t1', null],
  ['getAudit', [{ since: '1h', limit: 5, before: 9 }], 'GET',
    '/api/v1/audit?since=1h&limit=5&before=9', null],
  ['getAppSpec', ['web'], 'GET', `${WEB}/spec`, null],
  ['getAppSpec', ['web', { resolved: true }], 'GET', `${WEB}/spec?resolved=true`, null],
  ['getAppMetrics', ['web', { history: 0, interval: '5m' }], 'GET',
    `${WEB}/metrics?history=0&interval=5m`, null],
  ['getAppEvents', ['web', { type: 'scaling', limit: 5, before: 9 }], 'GET',
    `${WEB}/events?type=scaling&limit=5&before=9`, null],
  ['getEvents', [{ app: 'web', since: '1h' }], 'GET', '/api/v1/events?app=web&since=1h', null],
  ['getAppLogs', ['web', { container: 'web-1', tail: 0, level: 'WARN' }], 'GET',
    `${WEB}/logs?container=web-1&tail=0&level=WARN`, null],
  ['getScalingPolicy', ['web'], 'GET', `${WEB}/scaling`, null],
  ['updateScalingPolicy', ['web', { max_replicas: 3 }], 'PUT', `${WEB}/scaling`,
    { max_replicas: 3 }],
  ['getHealth', ['web'], 'GET', `${WEB}/health`, null],
  ['checkHealth', ['web'], 'POST', `${WEB}/health/check`, null],
  ['systemHealth', [], 'GET', '/health', null],
  ['systemMetrics', [], 'GET', '/api/v1/metrics', null],
  ['getConfig', [], 'GET', '/api/v1/config', null],
  ['updateConfig', [{ limits: { per_hour: null } }], 'PUT', '/api/v1/config',
    { limits: { per_hour: null } }],
  ['setSecret', ['db', 'text'], 'PUT', '/api/v1/secrets/db', { value: 'text' }],
  ['setSecret', ['db', { user: 'me' }], 'PUT', '/api/v1/secrets/db', { values: { user: 'me' } }],
  ['setRegistryLogin', ['r.example:5000', 'me', 'pw'], 'PUT',
    '/api/v1/registries/r.example%3A5000', { username: 'me', password: 'pw' }],
  ['listRegistries', [], 'GET', '/api/v1/registries', null],
  ['deleteRegistryLogin', ['r.example'], 'DELETE', '/api/v1/registries/r.example', null],
  ['rotateRegistryLogin', ['r.example'], 'POST', '/api/v1/registries/r.example/rotate', null],
  ['listSecrets', [], 'GET', '/api/v1/secrets', null],
  ['getSecret', ['a/b'], 'GET', '/api/v1/secrets/a%2Fb', null],
  ['deleteSecret', ['db', { force: true }], 'DELETE', '/api/v1/secrets/db?force=true', null],
  ['rotateSecret', ['db'], 'POST', '/api/v1/secrets/db/rotate', null],
  ['listVolumes', [], 'GET', '/api/v1/volumes', null],
  ['listVolumes', [{ app: 'web', sizes: true }], 'GET', '/api/v1/apps/web/volumes?sizes=true', null],
  ['removeVolume', ['a/b'], 'DELETE', '/api/v1/volumes/a%2Fb', null],
  ['clusterStatus', [], 'GET', '/cluster/status', null],
  ['clusterLeader', [], 'GET', '/cluster/leader', null],
  ['clusterHealth', [], 'GET', '/cluster/health', null],
  ['getAppStatus', ['../../health'], 'GET', '/api/v1/apps/..%2F..%2Fhealth', null],
];

for (const [name, values, method, path, body] of CALLS) {
  test(`${name} sends ${method} ${path}; only writes carry a key`, () => against(
    [() => ({ body: { ok: true } })], async (client, node) => {
      assert.deepEqual(await client[name](...values), { ok: true });
      const [seen] = node.seen;
      assert.deepEqual([seen.method, seen.path, seen.body], [method, path, body]);
      assert.equal('idempotency-key' in seen.headers, method !== 'GET');
      assert.match(seen.headers['user-agent'], /^orchestry-node\/\d/);
    }));
}

const ERRORS = [
  [400, 'INVALID_SPEC', 'InvalidRequest'], [401, 'UNAUTHORIZED', 'Forbidden'],
  [403, 'FORBIDDEN', 'Forbidden'], [404, 'APP_NOT_FOUND', 'NotFound'],
  [409, 'APP_ALREADY_EXISTS', 'Conflict'], [413, 'PAYLOAD_TOO_LARGE', 'InvalidRequest'],
  [429, 'RATE_LIMIT_EXCEEDED', 'RateLimited'], [500, 'DOCKER_ERROR', 'ApiError'],
  [503, 'NO_LEADER', 'NoLeader'], [503, 'INSUFFICIENT_RESOURCES', 'ApiError'],
  [504, 'TIMEOUT', 'TimedOut'],
];

for (const [status, code, kind] of ERRORS) {
  test(`${status} ${code} is a ${kind} with code, details and request id`, () => against(
    [() => error(status, code, [{ field: 'a.b', message: 'is bad' }], { 'X-Request-Id': 'r1' })],
    (client) => assert.rejects(client.registerApp(SPEC), (thrown) => {
      assert.ok(thrown instanceof Orchestry[kind] && thrown instanceof Orchestry.ClientError);
      assert.deepEqual(
        [thrown.name, thrown.code, thrown.status, thrown.requestId, thrown.details],
        [kind, code, status, 'r1', [{ field: 'a.b', message: 'is bad' }]]);
      assert.match(thrown.message, /a\.b: is bad/);
      return true;
    })));
}

test('a write is repeated with one key at another node when its answer is lost', () => against(
  [() => ({ drop: true }), () => ({ status: 201, body: { ok: 1 } })],
  async (client, first, second) => {
    assert.deepEqual(await client.registerApp(SPEC), { ok: 1 });
    assert.equal(first.seen[0].headers['idempotency-key'],
      second.seen[0].headers['idempotency-key']);
    await client.registerApp(SPEC, { idempotencyKey: 'mine' });
    assert.equal(second.seen[1].headers['idempotency-key'], 'mine');
    assert.equal(first.seen.length, 1);
  }));

test('an unknown outcome is repeated with the same key', () => {
  let turn = 0;
  const script = () => (turn++ ? { body: { ok: 1 } }
    : error(504, 'TIMEOUT', { outcome: 'unknown' }));
  return against([script], async (client, node) => {
    assert.deepEqual(await client.registerApp(SPEC), { ok: 1 });
    assert.equal(new Set(node.seen.map((seen) => seen.headers['idempotency-key'])).size, 1);
    assert.equal(node.seen.length, 2);
  });
});

test('an outcome that stays unknown is said, with the key', () => against(
  [() => ({ drop: true })], (client) => assert.rejects(client.registerApp(SPEC), (thrown) => {
    assert.ok(thrown instanceof Orchestry.TimedOut);
    assert.equal(thrown.details.outcome, 'unknown');
    assert.match(thrown.details.idempotency_key, /^[0-9a-f-]{36}$/);
    return true;
  })));

test('Retry-After is waited out within the time, and told beyond it', () => {
  let turn = 0;
  const script = (seen) => (seen.path === '/health' && turn++ ? { body: { ok: 1 } }
    : error(429, 'RATE_LIMIT_EXCEEDED', null, {
      'Retry-After': seen.path === '/health' ? '1' : '99',
    }));
  return against([script], async (client) => {
    assert.deepEqual(await client.systemHealth(), { ok: 1 });
    await assert.rejects(client.getConfig(), (thrown) => thrown.retryAfterS === 99);
  });
});

test('the token goes to members only: the given ones and those that a member names', async () => {
  const [stranger] = await nodes(() => ({ body: { ok: 1 } }));
  const [named] = await nodes(() => ({ body: { ok: 1 } }));
  let target = stranger.url;
  const script = (seen) => (seen.path === '/cluster/status'
    ? { body: { nodes: [{ api_url: named.url }, { api_url: 7 }], lease: null } }
    : error(307, 'NOT_LEADER', null, { Location: target + seen.path }));
  try {
    await against([script], async (client, node) => {
      await client.registerApp(SPEC);
      assert.equal(node.seen[0].headers.authorization, 'Bearer secret');
      assert.equal(stranger.seen[0].headers.authorization, undefined);
      target = named.url;
      await stranger.stop();
      await client.registerApp(SPEC);
      assert.equal(named.seen[0].headers.authorization, 'Bearer secret');
      assert.deepEqual(client.urls, [node.url, named.url]);
    }, { token: 'secret' });
  } finally {
    await named.stop();
  }
});

test('writes go to the leader that answered last, and reads wait for what was written', () => {
  const follower = (seen, node) => (seen.method === 'GET' ? { body: { ok: 1 } }
    : error(307, 'NOT_LEADER', null, { Location: node.leader + seen.path }));
  const leader = () => ({ body: { ok: 1 }, headers: { 'X-Orchestry-Index': '17' } });
  return against([follower, leader], async (client, first, second) => {
    first.leader = second.url;
    await client.registerApp(SPEC);
    await client.registerApp(SPEC);
    assert.equal(first.seen.length, 1);
    await client.getAppStatus('web');
    assert.equal(second.seen.at(-1).path, `${WEB}?min_index=17`);
  });
});

test('nobody there, something else there, and a silent node are told apart', async () => {
  const nobody = new Orchestry('http://127.0.0.1:1');
  await assert.rejects(nobody.listApps(), Orchestry.NotReachable);
  await against([() => ({ body: '<html>' })], (client) => assert.rejects(
    client.listApps(), { code: 'UNREADABLE_ANSWER' }));
  await against([() => new Promise(() => {})], (client) => assert.rejects(
    client.listApps(), Orchestry.NotReachable), { timeout: 0.3 });
  // The deadline may cut the last try short, of which nobody knows then what became.
  await against([() => error(503, 'CLUSTER_NOT_READY')], (client) => assert.rejects(
    client.registerApp(SPEC), (thrown) => (
      thrown instanceof Orchestry.NoLeader || thrown.details.outcome === 'unknown')),
  { timeout: 2 });
});

test('a degraded controller answers about its health', () => against(
  [() => ({ status: 503, body: { status: 'degraded' } })],
  async (client) => assert.deepEqual(await client.clusterHealth(), { status: 'degraded' })));

test('what cannot be sent is refused before', () => against([() => ({})], async (client, node) => {
  const circle = {};
  circle.self = circle;
  for (const call of [
    () => client.getAppStatus('..'), () => client.getAppStatus(), () => client.registerApp(circle),
    () => client.getAppStatus('\ud800'), () => client.startApp('web', { timeout: 'x' }),
    () => client.scaleApp('web', NaN), () => client.registerApp(SPEC, { idempotencyKey: 'a b' }),
  ]) await assert.rejects(call, Orchestry.InvalidRequest);
  assert.equal(node.seen.length, 0);
  for (const url of ['nonsense', 'ftp://a', 'http://a/path', 'http://u:p@a', 'http://a?x', []]) {
    assert.throws(() => new Orchestry(url), TypeError);
  }
  for (const options of [{ token: 'a b' }, { timeout: 0 }, { timeout: '9' }]) {
    assert.throws(() => new Orchestry('http://a', options), TypeError);
  }
}));

test('localhost is found whichever of its addresses a controller listens on', () => against(
  [() => ({ body: { ok: 1 } })], async (_, node) => {
    const client = new Orchestry(node.url.replace('127.0.0.1', 'localhost'));
    assert.deepEqual(await client.systemHealth(), { ok: 1 });
    client.close();
  }));

/** For so long a silent controller is awaited where there is no other, and no shorter limit. */
const AWAITED_MS = 10_000;

test('a controller that hangs is passed by, and told when it is alone', async () => {
  const silent = net.createServer();
  await new Promise((resolve) => { silent.listen(0, '127.0.0.1', resolve); });
  const url = `http://127.0.0.1:${silent.address().port}`;
  const sockets = [];
  silent.on('connection', (socket) => sockets.push(socket));
  const [node] = await nodes(() => ({ body: { total: 1, current_replicas: 2 } }));
  try {
    for (const ask of [(one) => one.listApps(), (one) => one.scaleApp('web', 2)]) {
      const client = new Orchestry([url, node.url]);
      const begunMs = performance.now();
      assert.equal((await ask(client)).total, 1);
      assert.ok(performance.now() - begunMs < AWAITED_MS);
      client.close();
    }
    const alone = new Orchestry(url, { timeout: 1 });
    const begunMs = performance.now();
    await assert.rejects(alone.listApps(), (error) => (
      error instanceof Orchestry.NotReachable && error.code === 'NO_ANSWER'
      && String(error.details).includes(url)));
    assert.ok(performance.now() - begunMs < AWAITED_MS);
    alone.close();
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => { silent.close(resolve); });
    await node.stop();
  }
});

test('what is told only once is awaited where a controller answers at all', async () => {
  const slow = async (seen, node) => {
    await new Promise((resolve) => { setTimeout(resolve, 2500); });
    return { status: 201, body: { token: node.seen.length === 1 ? 't' : null } };
  };
  await against([slow, slow], async (client, node) => {
    assert.equal((await client.createToken('ci', 'viewer')).token, 't');
    assert.equal(node.seen.length, 1);
  });
});
