'use strict';

const assert = require('node:assert/strict');
const { test } = require('node:test');

const Orchestry = require('../index.js');
const { EVENT_CHARS_MAX, SseParser } = require('../src/sse.js');
const { LogLines, RECENT_LINES_MAX, afterEnd } = require('../src/streams.js');
const { against, error } = require('./stub.js');

const TEXT = 'retry: 1000\n\n: ping\n\nid: 7\ndata: {"id":7}\n\nevent: close\ndata: {}\n\n';
const WANTED = [
  { name: 'message', data: '{"id":7}', id: '7' }, { name: 'close', data: '{}', id: null }];

function event(id) {
  return `id: ${id}\ndata: ${JSON.stringify({ id, type: 'config' })}\n\n`;
}

function line(second, message, container = 'web-1') {
  const timestamp = `2026-01-01T00:00:${String(second).padStart(2, '0')}.000000001Z`;
  return { timestamp, container, level: 'INFO', message, stream: 'stdout' };
}

function close(code, reason = 'why') {
  return `event: close\ndata: ${JSON.stringify({ code, reason })}\n\n`;
}

async function collected(stream) {
  const found = [];
  for await (const message of stream) found.push(message);
  return found;
}

test('events are parsed wherever the text is cut, with either end of line', () => {
  for (const text of [TEXT, TEXT.replaceAll('\n', '\r\n')]) {
    for (let size = 1; size < text.length; size += 1) {
      const parser = new SseParser();
      const found = [];
      for (let at = 0; at < text.length; at += size) {
        found.push(...parser.push(text.slice(at, at + size)));
      }
      assert.deepEqual(found, WANTED);
    }
  }
});

test('an event without an end is not kept without a limit', () => {
  const whole = new SseParser();
  assert.throws(() => whole.push('x'.repeat(EVENT_CHARS_MAX + 1)), RangeError);
  const lines = new SseParser();
  const piece = `data: ${'x'.repeat(1000)}\n`;
  assert.throws(() => {
    for (let bytes = 0; bytes < 2 * EVENT_CHARS_MAX; bytes += piece.length) lines.push(piece);
  }, RangeError);
});

test('events resume at the next node after the last id, without a double', () => against(
  [() => ({ stream: ['retry: 1\n\n', event(4), event(5)] }),
    () => ({ stream: [event(5), event(6), close(1000)] })],
  async (client, first, second) => {
    const found = await collected(client.streamEvents({ sinceId: 3, app: 'web' }));
    assert.deepEqual(found.map((each) => each.id), [4, 5, 6]);
    assert.equal(first.seen[0].path, '/api/v1/events/stream?app=web&since_id=3');
    assert.equal(first.seen[0].headers.accept, 'text/event-stream');
    assert.equal(second.seen[0].path, '/api/v1/events/stream?app=web&since_id=5');
  }));

test('"from now on" has an id, so that nothing is lost before the first event', () => against(
  [(seen) => (seen.path.includes('stream') ? { stream: [event(9), close(1000)] }
    : { body: { events: [{ id: 8 }] } })],
  async (client, node) => {
    assert.equal((await collected(client.streamEvents()))[0].id, 9);
    assert.equal(node.seen[1].path, '/api/v1/events/stream?since_id=8');
  }));

test('a stream that cannot begin throws what the cluster said', () => against(
  [() => error(404, 'APP_NOT_FOUND')],
  (client) => assert.rejects(collected(client.streamMetrics('web')), (thrown) => {
    assert.ok(thrown instanceof Orchestry.NotFound);
    assert.equal(thrown.code, 'APP_NOT_FOUND');
    return true;
  })));

test('a node without its engine hands the stream on to the next', () => against(
  [() => error(500, 'DOCKER_ERROR', 'away'),
    () => ({ stream: [`data: ${JSON.stringify(line(1, 'hello'))}\n\n`, close(1000)] })],
  async (client) => {
    assert.equal((await collected(client.streamLogs('web')))[0].message, 'hello');
  }));

test('streams that end at once again and again are given up, with the reason', () => against(
  [() => ({ stream: [close(1011, 'events are missing')] })],
  (client, node) => assert.rejects(collected(client.streamEvents({ sinceId: 0 })), (thrown) => {
    assert.ok(thrown instanceof Orchestry.NotReachable);
    assert.equal(thrown.details, 'events are missing');
    assert.ok(node.seen.length > 2 && node.seen.length < 12);
    return true;
  }), { timeout: 3 }));

test('an app that goes while no stream is open ends the iteration', () => {
  let turn = 0;
  return against(
    [() => (turn++ ? error(404, 'APP_NOT_FOUND') : { stream: ['data: {"rps":1}\n\n'] })],
    async (client) => assert.deepEqual(
      await collected(client.streamMetrics('web')), [{ rps: 1 }]));
});

test('a measurement that was told already is not told again', () => {
  const pieces = [['data: {"rps":1}\n\n'], ['data: {"rps":1}\n\n', 'data: {"rps":2}\n\n',
    close(1000)]];
  return against([() => ({ stream: pieces.shift() })], async (client) => assert.deepEqual(
    await collected(client.streamMetrics('web')), [{ rps: 1 }, { rps: 2 }]));
});

test('break and abort end the iteration and the connection', () => against(
  [() => ({ stream: [event(1), event(2)], hold: true })], async (client) => {
    for await (const found of client.streamEvents({ sinceId: 0 })) {
      assert.equal(found.id, 1);
      break;
    }
    const control = new AbortController();
    const found = [];
    for await (const each of client.streamEvents({ sinceId: 0, signal: control.signal })) {
      found.push(each.id);
      if (each.id === 2) setTimeout(() => control.abort(), 10);
    }
    assert.deepEqual(found, [1, 2]);
    const soon = new AbortController();
    const unborn = client.streamEvents({ signal: soon.signal }).next();
    soon.abort();
    assert.equal((await unborn).done, true);
    const late = client.streamEvents({ sinceId: 0, signal: AbortSignal.abort() });
    assert.deepEqual(await late.next(), { value: undefined, done: true });
  }));

test('log lines resume a little before the last one and leave out what came', () => {
  const lines = new LogLines('/x', { tail: 10, level: 'WARN' });
  assert.deepEqual(lines.query(), { level: 'WARN', tail: 10, since: undefined });
  lines.opened({ date: 'Thu, 01 Jan 2026 00:00:00 GMT' });
  assert.deepEqual(lines.query(), { level: 'WARN', tail: 10, since: undefined });
  for (const each of [line(10, 'a'), line(11, 'b'), line(11, 'b', 'web-2')]) {
    assert.equal(lines.take(each), each);
  }
  assert.deepEqual(lines.query(), { level: 'WARN', since: '2026-01-01T00:00:06.000Z' });
  assert.equal(lines.take(line(11, 'b')), undefined);
  assert.equal(lines.take(line(10, 'late', 'web-2')).message, 'late');
  assert.equal(lines.take(line(12, 'c')).message, 'c');
});

test('log lines from now on resume at the beginning while none came', () => {
  const lines = new LogLines('/x', {});
  assert.deepEqual(lines.query(), { tail: undefined, since: undefined });
  lines.opened({ date: 'Thu, 01 Jan 2026 00:00:09 GMT' });
  assert.deepEqual(lines.query(), { since: '2026-01-01T00:00:09.000Z' });
});

test('what is remembered of log lines is bounded, and they resume where memory begins', () => {
  const lines = new LogLines('/x', {});
  for (let at = 0; at < RECENT_LINES_MAX; at += 1) lines.take(line(at < 9 ? 1 : 3, `m${at}`));
  for (let at = 0; at < 9; at += 1) lines.take(line(4, `n${at}`));
  assert.equal(lines.query().since, '2026-01-01T00:00:03.000Z');
});

test('pauses between streams grow, except after a good one', () => {
  const trouble = { inARow: 0, sinceS: null };
  const bad = { code: 1011, fresh: 0, lastedS: 0 };
  const delays = [1, 2, 3].map((at) => afterEnd(trouble, bad, at, 30, 0));
  assert.ok(delays[0] > 0 && delays[0] < delays[1] && delays[1] < delays[2]);
  assert.equal(afterEnd(trouble, bad, 31, 30, 0), null);
  assert.equal(afterEnd(trouble, { code: null, fresh: 1, lastedS: 9 }, 32, 30, 0), 0);
  assert.deepEqual(trouble, { inARow: 0, sinceS: null });
  assert.equal(afterEnd(trouble, { code: 1013, fresh: 1, lastedS: 9 }, 33, 30, 0), 1);
  assert.ok(afterEnd(trouble, { code: 1001, fresh: 1, lastedS: 0.1 }, 33, 30, 0) > 0);
});
