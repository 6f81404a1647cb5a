'use strict';

/** Streams: server-sent events as async iterators that go on at another controller. */

const { setTimeout: sleep } = require('node:timers/promises');

const { BACKOFF_MAX_S, PATIENCE_S, backoff } = require('./attempts.js');
const { NotFound, NotReachable } = require('./errors.js');
const { SseParser } = require('./sse.js');
const { nowS } = require('./transport.js');

/** A controller sends something every 20 s. */
const SILENCE_S = 45;
/** A stream that lasted this long was a good one, even if nothing happened. */
const HELD_S = 5;
/** What ends sooner is not followed at once by the next. */
const BRIEF_S = 1;
const NORMAL = 1000;
const TOO_SLOW = 1013;
/** Lines of different replicas overtake one another by less than this. */
const OVERLAP_MS = 5000;
const RECENT_LINES_MAX = 10_000;

/** Events after an id; `newest` tells where "from now on" begins. */
class Events {
  path = '/api/v1/events/stream';
  #filter;
  #newest;
  #lastId;

  constructor(filter, sinceId, newest) {
    this.#filter = filter;
    this.#lastId = sinceId;
    this.#newest = newest;
  }

  async begin() {
    this.#lastId ??= await this.#newest();
  }

  query() {
    return { ...this.#filter, since_id: this.#lastId };
  }

  opened() {}

  take(event) {
    if (event.id <= this.#lastId) return undefined;
    this.#lastId = event.id;
    return event;
  }
}

/** Measurements: each replaces the one before. */
class Measurements {
  #last = '';

  constructor(path) {
    this.path = path;
  }

  async begin() {}

  query() {
    return {};
  }

  opened() {}

  take(measured) {
    const text = JSON.stringify(measured);
    if (text === this.#last) return undefined;
    this.#last = text;
    return measured;
  }
}

/**
 * Log lines. They have no ids: after a break the last seconds are asked for again, and what
 * came already is left out.
 */
class LogLines {
  #asked;
  #past;
  #begunMs = null;
  #newestMs = null;
  #recent = [];
  #known = new Set();

  constructor(path, { tail, since, ...filter }) {
    this.path = path;
    this.#asked = filter;
    this.#past = { tail, since };
  }

  async begin() {}

  query() {
    if (this.#newestMs !== null) {
      this.#known = new Set(this.#recent.map((line) => line.key));
      const cut = this.#recent.length >= RECENT_LINES_MAX;
      return this.#since(cut ? this.#recent[0].atMs : this.#newestMs - OVERLAP_MS);
    }
    const past = this.#past.tail || this.#past.since !== undefined;
    if (this.#begunMs === null || past) return { ...this.#asked, ...this.#past };
    return this.#since(this.#begunMs);
  }

  #since(atMs) {
    return { ...this.#asked, since: new Date(Math.max(0, atMs)).toISOString() };
  }

  opened(headers) {
    // By the controller's clock, since this one may be wrong.
    const atMs = Date.parse(headers.date);
    if (!Number.isNaN(atMs)) this.#begunMs ??= atMs;
  }

  take(line) {
    const key = JSON.stringify([line.timestamp, line.container, line.stream, line.message]);
    if (this.#known.delete(key)) return undefined;
    const atMs = Date.parse(line.timestamp);
    this.#newestMs = Math.max(this.#newestMs ?? 0, atMs);
    this.#recent.push({ key, atMs });
    while (this.#recent.length > RECENT_LINES_MAX
      || this.#recent[0].atMs < this.#newestMs - OVERLAP_MS) this.#recent.shift();
    return line;
  }
}

/**
 * All messages of a source, until the cluster ends it, `signal` is aborted or the caller
 * breaks. Nothing is read ahead: a slow caller slows the controller down, which drops it at
 * some point, and then the stream resumes.
 *
 * @throws {ClientError} it cannot begin, or no controller has continued it for `timeoutS`
 */
async function* follow(transport, source, { timeoutS, signal }) {
  const trouble = { inARow: 0, sinceS: null };
  let start;
  let indexFloor = 0;
  try {
    await source.begin();
    for (let first = true; !signal?.aborted; first = false) {
      const opened = await open(transport, source, {
        start, indexFloor, signal, budgetS: timeoutS, patienceS: first ? PATIENCE_S : timeoutS,
      }, first);
      if (opened === null) return;
      indexFloor = Math.max(indexFloor, Number(opened.headers['x-orchestry-index']) || 0);
      source.opened(opened.headers);
      const end = yield* messages(opened.stream, source);
      if (end.code === NORMAL) return;
      const delayS = afterEnd(trouble, end, nowS(), timeoutS, Math.random());
      if (delayS === null) throw endsAgain(end.reason);
      start = after(transport.members, opened.node);
      if (delayS) await sleep(1000 * delayS, undefined, { signal });
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

/** The open stream; null when the app went while there was none. */
async function open(transport, source, options, first) {
  try {
    return await transport.open({
      path: source.path, query: source.query(), readTimeoutS: SILENCE_S, ...options,
    });
  } catch (error) {
    if (!first && error instanceof NotFound) return null;
    throw error;
  }
}

/** The messages of one connection; returns how it ended. */
async function* messages(stream, source) {
  const begunS = nowS();
  const parser = new SseParser();
  let fresh = 0;
  let close = { code: null, reason: 'the connection broke' };
  try {
    for await (const text of stream) {
      for (const event of parser.push(text)) {
        const message = JSON.parse(event.data);
        if (event.name === 'close') {
          close = message;
          continue;
        }
        const wanted = source.take(message);
        if (wanted === undefined) continue;
        fresh += 1;
        yield wanted;
      }
    }
  } catch (error) {
    close.reason = error.message;
  } finally {
    stream.destroy();
  }
  return { ...close, fresh, lastedS: nowS() - begunS };
}

/**
 * How many seconds to wait before the next stream; null to give up.
 *
 * @param {{inARow: number, sinceS: number | null}} trouble changed: how many streams in a row
 *   were of no use, and since when
 * @param {{code: number | null, fresh: number, lastedS: number}} end of the last stream
 */
function afterEnd(trouble, end, atS, timeoutS, jitter) {
  if (end.fresh || end.lastedS >= HELD_S) {
    trouble.inARow = 0;
    trouble.sinceS = null;
    if (end.code === TOO_SLOW) return BACKOFF_MAX_S;
    return end.lastedS < BRIEF_S ? backoff(1, jitter) : 0;
  }
  trouble.inARow += 1;
  trouble.sinceS ??= atS;
  if (atS - trouble.sinceS >= timeoutS) return null;
  return backoff(trouble.inARow, jitter);
}

function endsAgain(reason) {
  return new NotReachable(
    'NOT_REACHABLE', 'No controller continues the stream', reason || 'it ends at once');
}

function after(nodes, node) {
  return nodes[(nodes.indexOf(node) + 1) % nodes.length];
}

module.exports = { Events, LogLines, Measurements, RECENT_LINES_MAX, afterEnd, follow };
