'use strict';

/** Every call against a real cluster; ORCHESTRY_URL names its controllers, the leader last. */

const assert = require('node:assert/strict');
const { after, test } = require('node:test');

const Orchestry = require('../index.js');
const { spec } = require('./spec.js');

const urls = process.env.ORCHESTRY_URL.split(',');
const client = new Orchestry(urls);
after(() => client.close());

test('a follower sends a write on to the leader', async () => {
  const follower = new Orchestry(urls[0]);
  assert.notEqual((await follower.clusterLeader()).api_url, follower.urls[0]);
  assert.equal((await follower.registerApp(spec('web'))).status, 'registered');
  follower.close();
});

test('the life of an app', async () => {
  assert.equal((await client.startApp('web', { replicas: 2 })).status, 'running');
  const scaled = await client.scaleApp('web', 3);
  assert.deepEqual([scaled.previous_replicas, scaled.current_replicas], [2, 3]);
  const status = await client.getAppStatus('web');
  assert.deepEqual([status.status, status.replicas.desired, status.containers.length],
    ['running', 3, 3]);
  assert.equal((await client.stopApp('web', { timeout: 1 })).status, 'stopped');
});

test('reads', async () => {
  const list = await client.listApps();
  assert.deepEqual([list.total, list.apps[0].name], [1, 'web']);
  assert.equal((await client.listApps({ status: 'error' })).apps.length, 0);
  assert.equal('apps' in await client.listApps({ format: 'summary' }), false);
  assert.deepEqual(await client.getAppSpec('web'), spec('web'));
  const whole = await client.getAppSpec('web', { resolved: true });
  assert.ok(whole.scaling.maxReplicas >= 1);
  assert.equal((await client.getAppMetrics('web', { history: 5 })).app_name, 'web');
  const { events } = await client.getAppEvents('web', { limit: 2 });
  assert.equal(events.length, 2);
  const before = await client.getAppEvents('web', { before: events[1].id, limit: 1 });
  assert.ok(before.events[0].id < events[1].id);
  assert.ok((await client.getEvents({ app: 'web', type: 'config' })).events.length);
  assert.ok(Array.isArray((await client.getAppLogs('web', { tail: 5 })).logs));
  assert.equal((await client.getHealth('web')).app_name, 'web');
  assert.equal(typeof (await client.checkHealth('web')).containers_checked, 'number');
});

test('policy and configuration', async () => {
  const changed = await client.updateScalingPolicy('web', { max_replicas: 9 });
  assert.equal(changed.new_policy.max_replicas, 9);
  assert.equal((await client.getScalingPolicy('web')).policy.max_replicas, 9);
  await client.updateConfig({ scaling: { default_cooldown: 77 } });
  assert.equal((await client.getConfig()).scaling.default_cooldown, 77);
});

test('the cluster', async () => {
  assert.equal((await client.clusterStatus()).cluster_size, urls.length);
  assert.equal((await client.clusterLeader()).api_url, urls.at(-1));
  assert.equal((await client.clusterHealth()).status, 'healthy');
  assert.equal((await client.systemHealth()).applications.total, 1);
  assert.ok((await client.systemMetrics()).system);
});

test('refusals are typed errors', async () => {
  await assert.rejects(client.getAppStatus('none'), (error) => (
    error instanceof Orchestry.NotFound && error.code === 'APP_NOT_FOUND'
    && error.status === 404 && Boolean(error.requestId)));
  await assert.rejects(client.registerApp(spec('web')), (error) => (
    error instanceof Orchestry.Conflict && error.code === 'APP_ALREADY_EXISTS'));
  await assert.rejects(client.registerApp({ kind: 'App' }), (error) => (
    error instanceof Orchestry.InvalidRequest && error.details.every((fault) => fault.field)));
});

test('streams begin at once and end with the app', async () => {
  const control = new AbortController();
  const { events: [newest] } = await client.getEvents({ limit: 1 });
  const told = [];
  const watching = (async () => {
    const { signal } = control;
    for await (const event of client.streamEvents({ sinceId: newest.id, app: 'web', signal })) {
      told.push(event.message);
    }
  })();
  const measured = client.streamMetrics('web');
  assert.equal((await measured.next()).value.app_name, 'web');
  const lines = client.streamLogs('web', { tail: 5 });
  const noLine = lines.next();
  const removed = await client.removeApp('web', { force: true });
  assert.equal(removed.app_name, 'web');
  while (!(await measured.next()).done);
  assert.equal((await noLine).done, true);
  while (!told.some((message) => /deleted/i.test(message))) {
    await new Promise((resolve) => { setTimeout(resolve, 20); });
  }
  control.abort();
  await watching;
});
