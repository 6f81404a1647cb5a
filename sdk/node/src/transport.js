'use strict';

/** Calls to a cluster: any controller, leader memory, redirects, retries. */

const { randomUUID } = require('node:crypto');
const { setTimeout: sleep } = require('node:timers/promises');

const { HASTE_S, PATIENCE_S, begun, newCall, nextAttempt } = require('./attempts.js');
const {
  ClientError, InvalidRequest, NoLeader, NotReachable, TimedOut, fromAnswer, invalid, seconds,
} = require('./errors.js');
const { ANSWER_BYTES_MAX, Connections, SSE, TooLarge } = require('./http.js');
const { handshake } = require('./websocket.js');

const READ_TIMEOUT_S = 10;
const LEARN_TIMEOUT_S = 2;
const PULSE_PATH = '/cluster/is-leader';
const LEFT_MIN_S = 0.05;
const NODES_MAX = 64;
const UNKNOWN_CA = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);
const KEY = /^[\x21-\x7e]{1,128}$/;

/**
 * A controller's address, normalised.
 *
 * @throws {TypeError} with what would be right
 */
function nodeUrl(text) {
  let url = null;
  try {
    url = new URL(String(text).trim());
  } catch {
    // told below
  }
  const plain = url && ['http:', 'https:'].includes(url.protocol) && url.hostname
    && url.pathname === '/' && !url.search && !url.hash && !url.username && !url.password
    && url.port !== '0';
  if (!plain) {
    throw new TypeError(
      `${JSON.stringify(text)} is no controller address; give one like http://127.0.0.1:8001`);
  }
  return `${url.protocol}//${url.hostname}:${url.port || (url.protocol === 'https:' ? 443 : 80)}`;
}

/**
 * Sends calls until one is final. The token goes only to members: the configured addresses and
 * those that a member names in `/cluster/status`.
 */
class Transport {
  #connections;
  #token;
  #agent;
  #preferred;
  #leader = null;
  #indexFloor = 0;
  #heardS = new Map();

  constructor(urls, token, userAgent, tls = {}) {
    if (urls.length < 1 || urls.length > NODES_MAX) {
      throw new TypeError(`give between 1 and ${NODES_MAX} controller addresses`);
    }
    this.members = [...new Set(urls.map(nodeUrl))];
    this.#connections = new Connections(tls);
    this.#token = token;
    this.#agent = userAgent;
    this.#preferred = this.members[0];
  }

  close() {
    this.#connections.close();
  }

  /**
   * Carry out one call.
   *
   * @param {object} request `{method, path, query, body, budgetS, readTimeoutS, key,
   *   bodyStatuses, once}`: `budgetS` bounds all its tries, `readTimeoutS` the silence of one;
   *   `once`: a repeat does not get the same answer, so a controller that is there is awaited
   * @returns {Promise<object>} the JSON object of the answer
   * @throws {ClientError}
   */
  async send(request) {
    const { call, reply } = await this.#carryOut(request);
    return this.#answer(request, call, reply);
  }

  /**
   * Open a stream of server-sent events, or a WebSocket with the key `request.upgrade`, at
   * `request.start`, or at another controller.
   *
   * @returns {Promise<{node: string, headers: object, stream: object}>} destroy `stream` after
   * @throws {ClientError}
   */
  async open(request) {
    const { call, reply } = await this.#carryOut({ ...request, method: 'GET', stream: true });
    // What looks like success is none without a stream.
    if (!reply.stream) {
      this.#answer(request, call, reply.status >= 400 ? reply : { ...reply, body: null });
    }
    return { node: call.node, headers: reply.headers, stream: reply.stream };
  }

  async #carryOut(request) {
    const write = request.method !== 'GET';
    if (write) request = { ...request, key: checkedKey(request.key) };
    let call = newCall({
      nodes: this.members,
      node: request.start ?? ((write && this.#leader) || this.#preferred),
      write,
      deadlineS: nowS() + request.budgetS,
      patienceS: request.patienceS ?? PATIENCE_S,
      silenceMaxS: Math.min(READ_TIMEOUT_S, request.readTimeoutS),
    });
    let namedLeader = null;
    for (;;) {
      call = begun(call, nowS());
      const { reply, outcome, reason } = await this.#attempt(request, call);
      namedLeader = outcome.redirectTo ?? namedLeader;
      const action = nextAttempt(call, outcome, nowS(), Math.random());
      if (action.kind === 'return') return { call, reply };
      if (action.kind === 'giveUp') {
        const { silent } = outcome;
        throw givenUp(action.why, call, request, { reply, reason, namedLeader, silent });
      }
      call = { ...action.call, nodes: this.members };
      if (action.delayS) {
        await sleep(1000 * action.delayS, undefined, { signal: request.signal });
      }
    }
  }

  async #attempt(request, call) {
    let reply;
    try {
      reply = await this.#tried(request, call);
    } catch (error) {
      if (request.signal?.aborted) throw error;
      if (error instanceof TooLarge) throw tooLarge(call.node);
      if (call.node === this.#leader) this.#leader = null;
      const outcome = { sent: Boolean(error.sent), silent: Boolean(error.silent) };
      return { reply: null, outcome, reason: `${call.node}: ${reasonOf(error)}` };
    }
    this.#heardS.set(call.node, nowS());
    const redirectTo = reply.status === 307 ? await this.#redirectTarget(reply, call.node) : null;
    const outcome = {
      status: reply.status,
      code: reply.body === null ? null : String(reply.body.code ?? ''),
      redirectTo,
      retryAfterS: seconds(reply.headers['retry-after']),
      outcomeUnknown: reply.body?.details?.outcome === 'unknown',
    };
    return { reply, outcome, reason: '' };
  }

  /** One try; a controller that may take minutes to answer shows first that it is there. */
  async #tried(request, call) {
    let { silenceS } = call;
    if ((request.once || request.readTimeoutS > READ_TIMEOUT_S) && !request.stream) {
      if ((this.#heardS.get(call.node) ?? -Infinity) < nowS() - HASTE_S) {
        await this.#pulse(call.node, silenceS, request.signal);
      }
      silenceS = request.readTimeoutS;
    }
    const leftS = Math.max(LEFT_MIN_S, call.deadlineS - nowS());
    return this.#exchange(this.#withFloor(request, call), call.node, leftS, silenceS);
  }

  async #pulse(node, silenceS, signal) {
    const request = { method: 'GET', path: PULSE_PATH, readTimeoutS: silenceS, signal };
    try {
      await this.#exchange(request, node, silenceS, silenceS);
    } catch (error) {
      error.sent = false;
      throw error;
    }
  }

  /**
   * Reads see what this client wrote, whichever controller answers. After every node had its
   * turn the floor goes: the cluster may have started afresh.
   */
  #withFloor(request, call) {
    const floor = Math.max(this.#indexFloor, request.indexFloor ?? 0);
    if (call.write || !floor || call.tries - call.cuts > call.nodes.length
      || !request.path.startsWith('/api/')) return request;
    return { ...request, query: { ...request.query, min_index: floor } };
  }

  async #exchange(request, node, leftS, headS) {
    const url = new URL(node + request.path);
    for (const [name, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined && value !== null) url.searchParams.set(name, String(value));
    }
    const headers = { 'User-Agent': this.#agent };
    headers.Accept = request.stream && !request.upgrade ? SSE : 'application/json';
    if (request.upgrade) Object.assign(headers, handshake(request.upgrade));
    if (request.body !== undefined) {
      headers['Content-Type'] = 'application/json';
    }
    if (request.method !== 'GET') {
      headers['Content-Length'] = Buffer.byteLength(request.body ?? '');
    }
    if (request.key) headers['Idempotency-Key'] = request.key;
    if (this.#token !== null && this.members.includes(node)) {
      headers.Authorization = `Bearer ${this.#token}`;
    }
    const reply = await this.#connections.exchange(url, {
      method: request.method, headers, body: request.body, silenceS: request.readTimeoutS, leftS,
      headS, stream: request.stream, upgrade: request.upgrade, signal: request.signal,
    });
    return { ...reply, body: objectOf(reply.text) };
  }

  async #redirectTarget(reply, node) {
    let target;
    try {
      target = nodeUrl(new URL(reply.headers.location).origin);
    } catch {
      return null;
    }
    if (exposes(node, target)) return null;
    if (!this.members.includes(target) && this.#token !== null) await this.#learn(node);
    return target;
  }

  /** Add the controllers that a member names; best effort, the caller goes on anyway. */
  async #learn(node) {
    if (!this.members.includes(node)) return;
    let body;
    try {
      const request = { method: 'GET', path: '/cluster/status', readTimeoutS: LEARN_TIMEOUT_S };
      ({ body } = await this.#exchange(request, node, LEARN_TIMEOUT_S, LEARN_TIMEOUT_S));
    } catch {
      return;
    }
    const nodes = Array.isArray(body?.nodes) ? body.nodes : [];
    const named = [body?.lease, ...nodes].flatMap((entry) => {
      try {
        return [nodeUrl(entry.api_url)];
      } catch {
        return [];
      }
    }).filter((url) => !exposes(node, url));
    this.members = [...new Set([...this.members, ...named])].slice(0, NODES_MAX);
  }

  #answer(request, call, reply) {
    if (this.members.includes(call.node)) this.#preferred = call.node;
    const good = reply.status >= 200 && reply.status < 300;
    const told = request.bodyStatuses?.includes(reply.status) && !('error' in (reply.body ?? {}));
    if (reply.body !== null && (good || told)) {
      if (call.write) this.#wrote(call.node, reply.headers['x-orchestry-index'] ?? '');
      return reply.body;
    }
    if (good) {
      throw new ClientError(
        'UNREADABLE_ANSWER', `${call.node} did not answer as a controller does`,
        "check the address; it should be a controller's", { status: reply.status });
    }
    throw fromAnswer(reply.status, reply.body, reply.headers);
  }

  #wrote(node, index) {
    this.#leader = node;
    if (/^\d+$/.test(index)) this.#indexFloor = Math.max(this.#indexFloor, Number(index));
  }
}

/** Whether going on from one address at the other would give TLS up. */
function exposes(node, named) {
  return node.startsWith('https:') && !named.startsWith('https:');
}

function checkedKey(key) {
  if (key === undefined || key === null) return randomUUID();
  if (typeof key === 'string' && KEY.test(key)) return key;
  throw invalid('idempotencyKey', 'must be 1 to 128 visible ASCII characters');
}

function objectOf(text) {
  try {
    const value = JSON.parse(text);
    return value && typeof value === 'object' && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

function givenUp(why, call, request, { reply, reason, namedLeader, silent }) {
  if (why === 'unknown_outcome') {
    return new TimedOut('TIMEOUT', 'The outcome of the write is unknown', {
      outcome: 'unknown', idempotency_key: request.key, cause: reason,
    });
  }
  if (reply?.body && reply.status !== 307) {
    return fromAnswer(reply.status, reply.body, reply.headers);
  }
  if (namedLeader !== null) {
    return new NoLeader(
      'CLUSTER_NOT_READY', 'The leader could not be reached',
      `the controllers name ${namedLeader}; if it runs, its CONTROLLER_API_URL must be an `
      + 'address that can be reached from here');
  }
  if (reply?.status === 307) {
    return new NoLeader(
      'CLUSTER_NOT_READY', 'The leader could not be reached',
      `${call.node} names ${reply.headers.location}, which is not followed from there; `
      + 'CONTROLLER_API_URL must be an address like those that are given here');
  }
  if (silent) {
    return new NotReachable(
      'NO_ANSWER', 'No controller answered in time', `tried ${call.nodes.join(', ')}; ${reason}`);
  }
  return new NotReachable(
    'NOT_REACHABLE', 'No controller could be reached',
    `tried ${call.nodes.join(', ')}; ${reason || 'a proxy answered without a controller'}`);
}

function tooLarge(node) {
  return new ClientError(
    'ANSWER_TOO_LARGE', `The answer of ${node} is too large`,
    `more than ${ANSWER_BYTES_MAX} bytes; ask for less`);
}

function reasonOf(error) {
  if (UNKNOWN_CA.has(error.code)) {
    return `its certificate is of no known CA: ${error.message}; give the CA with the option ca`;
  }
  // An attempt at several addresses of one name fails with a list and no message.
  return (error.errors?.[0] ?? error).message || error.code || String(error);
}

/** A clock that never goes back, in seconds. */
function nowS() {
  return performance.now() / 1000;
}

/**
 * The text of a request's body.
 *
 * @throws {InvalidRequest} a number that JSON does not have, a circle
 */
function encoded(body) {
  try {
    return JSON.stringify(body, (name, value) => {
      if (typeof value === 'number' && !Number.isFinite(value)) {
        throw new TypeError(`${name} is ${value}`);
      }
      return value;
    });
  } catch (error) {
    throw new InvalidRequest(
      'VALIDATION_ERROR', 'The request is not representable as JSON', error.message);
  }
}

module.exports = { READ_TIMEOUT_S, Transport, encoded, nodeUrl, nowS };
