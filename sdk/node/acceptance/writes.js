'use strict';

/**
 * WRITES writes, GAP_MS apart, while somebody kills leaders, and a stream of the events that
 * they make. Prints `{"apps": [...], "told": [...], "slowest_ms": N}`: the apps registered and
 * the ids and apps of the stream; any error of any call ends it.
 */

const Orchestry = require('../index.js');
const { spec } = require('./spec.js');

const WRITES = Number(process.env.WRITES);
const GAP_MS = Number(process.env.GAP_MS);

async function write(client, apps) {
  let slowestMs = 0;
  for (let number = 0; number < WRITES; number += 1) {
    const begunMs = performance.now();
    const { app_name: name, status } = await client.registerApp(spec(`app-${number}`));
    if (status !== 'registered') throw new Error(`app-${number}: ${status}`);
    apps.push(name);
    slowestMs = Math.max(slowestMs, performance.now() - begunMs);
    await new Promise((resolve) => { setTimeout(resolve, GAP_MS); });
  }
  return slowestMs;
}

async function watch(client) {
  const told = [];
  for await (const { id, app_name: app, type } of client.streamEvents({ sinceId: 0 })) {
    told.push([id, app, type]);
    if (app === `app-${WRITES - 1}`) return told;
  }
  throw new Error('the stream ended');
}

async function main() {
  const client = new Orchestry(process.env.ORCHESTRY_URL.split(','));
  const apps = [];
  const [slowestMs, told] = await Promise.all([write(client, apps), watch(client)]);
  client.close();
  console.log(JSON.stringify({ apps, told, slowest_ms: slowestMs }));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
