'use strict';

const assert = require('node:assert/strict');
const { createHash } = require('node:crypto');
const { once } = require('node:events');
const http = require('node:http');
const { test } = require('node:test');
const { setFlagsFromString } = require('node:v8');
const { runInNewContext } = require('node:vm');

const Orchestry = require('../index.js');
const ws = require('../src/websocket.js');

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** A server's frame, which is not masked. */
function said(opcode, data, { last = true } = {}) {
  const bytes = Buffer.from(data);
  const head = bytes.length < 126 ? Buffer.from([0, bytes.length])
    : Buffer.from([0, 126, bytes.length >> 8, bytes.length & 255]);
  head[0] = (last ? 0x80 : 0) | opcode;
  return Buffer.concat([head, bytes]);
}

const told = (message) => said(ws.TEXT, JSON.stringify(message));
const wrote = (channel, text) => said(ws.BINARY, Buffer.concat([
  Buffer.from([channel]), Buffer.from(text)]));
const STARTED = told({ type: 'started', replica: 'web-1' });

/** A client's frames, unmasked, of which this stub needs only small ones. */
function heard(data) {
  const found = [];
  for (let at = 0; at < data.length;) {
    let size = data[at + 1] & 127;
    let head = 6;
    if (size === 126) {
      size = data.readUInt16BE(at + 2);
      head = 8;
    }
    const mask = data.subarray(at + head - 4, at + head);
    const text = Buffer.from(data.subarray(at + head, at + head + size));
    for (let n = 0; n < size; n += 1) text[n] ^= mask[n & 3];
    found.push({ opcode: data[at] & 15, data: text });
    at += head + size;
  }
  return found;
}

/** A controller that takes a session, and does with its socket what `script` says. */
async function controller(script) {
  const server = http.createServer((request, response) => {
    response.writeHead(404, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ error: 'none', details: null, code: 'APP_NOT_FOUND' }));
  });
  const sockets = new Set();
  server.on('upgrade', (request, socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const key = request.headers['sec-websocket-key'];
    const accept = createHash('sha1').update(key + GUID).digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n'
      + `Connection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    socket.once('data', (data) => script(socket, heard(data), request));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return {
    client: new Orchestry(`http://127.0.0.1:${server.address().port}`, { token: 'tok' }),
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => { server.close(resolve); });
    },
  };
}

async function against(script, body) {
  const stub = await controller(script);
  try {
    await body(stub.client);
  } finally {
    stub.client.close();
    await stub.stop();
  }
}

test('a command gives its output and exit code', async () => {
  let asked;
  await against((socket, messages, request) => {
    asked = { url: request.url, token: request.headers.authorization, messages };
    socket.write(Buffer.concat([
      STARTED, wrote(1, 'o'), wrote(2, 'wrong'), wrote(1, 'ut'),
      told({ type: 'exit', exit_code: 3, reason: null })]));
  }, async (client) => {
    assert.deepEqual(await client.execApp('web', ['ls', '/'], { replica: 2 }), {
      app_name: 'web', replica: 'web-1', exit_code: 3, stdout: 'out', stderr: 'wrong',
      truncated: false, reason: null,
    });
  });
  assert.equal(asked.url, '/api/v1/apps/web/exec?replica=2');
  assert.equal(asked.token, 'Bearer tok');
  assert.deepEqual(JSON.parse(asked.messages[0].data), {
    type: 'start', command: ['ls', '/'], stdin: false, terminal: null });
});

test('input goes with its channel, and ends', async () => {
  await against((socket, messages) => {
    const input = messages.slice(1);
    const answer = (more) => {
      input.push(...more);
      if (!input.some(({ opcode }) => opcode === ws.TEXT)) return;
      assert.deepEqual(JSON.parse(input.at(-1).data), { type: 'eof' });
      assert.deepEqual([...input[0].data], [0, ...Buffer.from('in')]);
      socket.write(Buffer.concat([STARTED, told({ type: 'exit', exit_code: 0, reason: 'r' })]));
    };
    answer([]);
    socket.on('data', (data) => answer(heard(data)));
  }, async (client) => {
    const found = await client.execApp('web', ['cat'], { stdin: 'in' });
    assert.equal(found.reason, 'r');
  });
});

test('pings are answered, and a message may come in several frames', async () => {
  await against((socket) => {
    const parts = [STARTED, said(ws.BINARY, '\x01on', { last: false }), said(ws.PING, 'p'),
      said(0, 'e')];
    socket.write(Buffer.concat(parts));
    socket.on('data', (data) => {
      assert.deepEqual(heard(data)[0], { opcode: ws.PONG, data: Buffer.from('p') });
      socket.write(told({ type: 'exit', exit_code: 0, reason: null }));
    });
  }, async (client) => {
    assert.equal((await client.execApp('web', ['x'])).stdout, 'one');
  });
});

test('only the beginning of too much output is kept', async () => {
  await against((socket) => socket.write(Buffer.concat([
    STARTED, wrote(1, 'abc'), wrote(1, 'def'), told({ type: 'exit', exit_code: 0, reason: null }),
  ])), async (client) => {
    const found = await client.execApp('web', ['x'], { outputBytesMax: 4 });
    assert.deepEqual([found.stdout, found.truncated], ['abcd', true]);
  });
});

const ENDS = [
  ['a refusal', told({ type: 'error', code: 'DOCKER_ERROR', error: 'e', details: 'd' }),
    { code: 'DOCKER_ERROR', details: 'd' }],
  ['a close', said(ws.CLOSE, Buffer.from([3, 233, 66])), { code: 'SESSION_LOST' }],
  ['a frame that is masked', Buffer.from([0x81, 0x81, 0, 0, 0, 0, 0]), { code: 'SESSION_LOST' }],
  ['the end of the connection', null, { code: 'SESSION_LOST' }],
];
for (const [name, last, wanted] of ENDS) {
  test(`${name} is an error`, async () => {
    await against((socket) => {
      socket.write(STARTED);
      if (last) socket.write(last);
      else socket.destroy();
    }, async (client) => {
      await assert.rejects(client.execApp('web', ['x']), wanted);
    });
  });
}

test('a command that takes too long is left', async () => {
  await against((socket) => socket.write(STARTED), async (client) => {
    await assert.rejects(client.execApp('web', ['x'], { timeout: 0.1 }), (error) => (
      error instanceof Orchestry.TimedOut && error.code === 'TIMEOUT'));
  });
});

test('what is refused before the upgrade is an error as for any call', async () => {
  const server = http.createServer((request, response) => {
    response.writeHead(403, { 'Content-Type': 'application/json' });
    response.end(JSON.stringify({ error: 'no', details: 'off', code: 'FORBIDDEN' }));
  });
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  const client = new Orchestry(`http://127.0.0.1:${server.address().port}`);
  await assert.rejects(client.execApp('web', ['x']), Orchestry.Forbidden);
  await assert.rejects(client.execApp('web', 'ls'), Orchestry.InvalidRequest);
  client.close();
  server.closeAllConnections();
  await new Promise((resolve) => { server.close(resolve); });
});

test('who does not read keeps little', async () => {
  let sent = 0;
  await against((socket) => {
    socket.write(STARTED);
    const piece = wrote(1, 'x'.repeat(32_000));
    const more = () => {
      while (sent < 64_000_000 && socket.write(piece)) sent += 32_000;
    };
    socket.on('drain', more);
    more();
  }, async (client) => {
    const session = await client.openExec('web', ['yes']);
    await session.started();
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    assert.ok(sent < 32_000_000, `${sent} bytes were taken`);
    for (let got = 0; got < 4_000_000;) got += (await session.read()).data.length;
    session.close();
  });
});

test('what is cut off is not kept', async () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  const piece = wrote(1, 'x'.repeat(32 * 1024));
  let keptBytes = Infinity;
  await against(async (socket) => {
    socket.write(STARTED);
    const before = process.memoryUsage().arrayBuffers;
    for (let count = 0; count < 1000; count += 1) {
      if (!socket.write(piece)) await once(socket, 'drain');
    }
    await new Promise((resolve) => { setTimeout(resolve, 300); });
    gc();
    keptBytes = process.memoryUsage().arrayBuffers - before;
    socket.write(told({ type: 'exit', exit_code: 0, reason: null }));
  }, async (client) => {
    const found = await client.execApp('web', ['yes'], { outputBytesMax: 10 });
    assert.deepEqual([found.stdout, found.truncated], ['x'.repeat(10), true]);
  });
  assert.ok(keptBytes < 8 * 1024 * 1024, `${keptBytes}`);
});

test('input of no kind that is known is refused, and ends the session', async () => {
  await against((socket) => { socket.write(STARTED); }, async (client) => {
    await assert.rejects(client.execApp('web', ['cat'], { stdin: 5 }), TypeError);
  });
});
