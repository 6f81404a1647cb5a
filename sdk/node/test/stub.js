'use strict';

const http = require('node:http');

const Orchestry = require('../index.js');

/**
 * Small controllers for tests: `script(seen, node)` gives `{status, body, headers}`, or
 * `{drop: true}`, or `{stream: [pieces], hold: true}` for server-sent events.
 */
async function nodes(...scripts) {
  return Promise.all(scripts.map(async (script) => {
    const node = { seen: [], url: '' };
    const server = http.createServer(async (request, response) => {
      let body = '';
      for await (const part of request) body += part;
      const seen = {
        method: request.method, path: request.url, headers: request.headers,
        body: body ? JSON.parse(body) : null,
      };
      if (seen.path === '/cluster/is-leader') { // before a client waits for long
        say(request, response, {});
        return;
      }
      node.seen.push(seen);
      say(request, response, await script(seen, node));
    });
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    node.url = `http://127.0.0.1:${server.address().port}`;
    node.stop = () => {
      server.closeAllConnections();
      return new Promise((resolve) => { server.close(resolve); });
    };
    return node;
  }));
}

function say(request, response, { status = 200, body = {}, headers = {}, drop, stream, hold }) {
  if (drop) {
    request.socket.destroy();
    return;
  }
  if (stream) {
    response.writeHead(status, { 'Content-Type': 'text/event-stream', ...headers });
    for (const piece of stream) response.write(piece);
    if (!hold) response.end();
    return;
  }
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
  response.end(text);
}

function error(status, code, details = null, headers = {}) {
  return { status, headers, body: { error: code.toLowerCase(), details, code } };
}

/** Run `use(client, ...stubs)` against one stub for each script. */
async function against(scripts, use, options) {
  const stubs = await nodes(...scripts);
  const client = new Orchestry(stubs.map((stub) => stub.url), options);
  try {
    return await use(client, ...stubs);
  } finally {
    client.close();
    await Promise.all(stubs.map((stub) => stub.stop()));
  }
}

module.exports = { against, error, nodes };
