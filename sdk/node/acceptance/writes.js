'use strict';

/**
 * WRITES writes and more while the file GO_ON is there, GAP_MS apart, while somebody kills
 * leaders, and a stream of the events that they make. Prints `{"apps": [...], "told": [...], "slowest_ms": N}`: the apps registered and
 * the ids and apps of the stream; any error of any call ends it.
 */

const fs = require('node:fs');
const Orchestry = require('../index.js');
const { spec } = require('./spec.js');

const WRITES = Number(process.env.WRITES);
const GAP_MS = Number(process.env.GAP_MS);

let last = '';

async function write(client, apps) {
  let slowestMs = 0;
  for (let number = 0; last === ''; number += 1) {
    if (number >= WRITES - 1 && !fs.existsSync(process.env.GO_ON)) last = `app-${number}`;
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
    if (app !== null && app === last) return told;
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
