'use strict';

/**
 * What to do after each try of a call: pure, so that every case is one line of a table.
 * The Python client decides by the same rules; both are tested with the same tables.
 *
 * A call: `{nodes, node, write, deadlineS, tries, redirects, failures, failingSinceS,
 * maybeDone, patienceS, ...}`. `nodes` are the known controllers, `node` is where the last try went,
 * `failingSinceS` is the time of the first of the last tries in a row without any answer, and
 * `maybeDone` says that a write may have been carried out although nobody confirmed it. The
 * present try began at `begunS` and may be silent for `silenceS`; a `hasty` one is cut short,
 * since others may answer; `silent` are those that were cut short and have not had their second
 * turn, `cuts` is how often that was.
 */

const TRIES_MAX = 100;
const BACKOFF_FIRST_S = 0.05;
const BACKOFF_MAX_S = 1.0;
/** How long a call goes on while no controller at all takes a connection, unless it says more. */
const PATIENCE_S = 1.5;
/** How long a controller may be silent before the next one is asked, if there is another one. */
const HASTE_S = 2.0;
/** How long at its second turn, if several were silent. */
const TURN_S = 4.0;
/** Controllers stop naming a dead leader after its election timeout; these many take 5 s. */
const REDIRECTS_MAX = 10;
/** A proxy before the controllers answers with these while it finds no controller. */
const PROXY_STATUSES = new Set([502, 503, 504]);
/** A controller answers a read with these for reasons of its own. */
const NODE_STATUSES = new Set([500, 504]);

/** A call before its first try. */
function newCall(fields) {
  return {
    tries: 1, redirects: 0, failures: 0, failingSinceS: null, maybeDone: false,
    patienceS: PATIENCE_S, silenceMaxS: 10, begunS: 0, silenceS: 10, hasty: false, silent: [],
    cuts: 0, ...fields,
  };
}

/**
 * The call as its next try begins. A controller that hangs is passed by soon. When nobody else
 * has answered each that was cut short has another, longer turn, and one that is alone, or the
 * last of several, all of the silence that may be: all of them may be slow.
 */
function begun(call, nowS) {
  const pastS = call.failingSinceS === null ? 0 : nowS - call.failingSinceS;
  const turnS = Math.min(TURN_S, call.silenceMaxS);
  const others = call.nodes.filter((node) => node !== call.node);
  const hasty = others.length > 0 && !call.silent.includes(call.node);
  let silenceS = Math.max(call.silenceMaxS - pastS, turnS);
  if (hasty) {
    silenceS = Math.min(HASTE_S, call.silenceMaxS / 2, (call.deadlineS - nowS) / 2);
  } else if (others.some((node) => call.silent.includes(node))) {
    silenceS = turnS;
  } else if (call.cuts > 1) {
    silenceS = call.silenceMaxS;
  }
  return { ...call, begunS: nowS, silenceS, hasty };
}

/**
 * Decide what follows a try. A write is repeated only because all its tries carry one key.
 *
 * @param {object} call
 * @param {object} outcome an answer `{status, code, redirectTo, retryAfterS, outcomeUnknown}`,
 *   whose `code` is null when a proxy gave it, or a failure `{sent, silent}`: no answer, whether
 *   the request may have reached the controller, and whether it was awaited in vain
 * @param {number} nowS the same clock as `call.deadlineS`
 * @param {number} jitter random, in [0, 1)
 * @returns {{kind: 'return'} | {kind: 'try', call: object, delayS: number}
 *   | {kind: 'giveUp', why: 'unreachable' | 'no_leader' | 'unknown_outcome'}}
 */
function nextAttempt(call, outcome, nowS, jitter) {
  if (outcome.sent !== undefined) return afterFailure(call, outcome, nowS, jitter);
  const { status, code } = outcome;
  const backoffS = backoff(call.tries, jitter);
  const silent = call.silent.filter((node) => node !== call.node);
  call = { ...call, failures: 0, failingSinceS: null, silent };
  if (status === 307) return afterRedirect(call, outcome, nowS, jitter);
  if (code === 'CLUSTER_NOT_READY') return again(call, nextNode(call), backoffS, nowS, 'no_leader');
  if (code === 'NO_LEADER' && call.tries < call.nodes.length) {
    // A controller that has just started does not know the leader yet; another one does.
    return again(call, nextNode(call), 0, nowS, 'no_leader');
  }
  if (code === null && PROXY_STATUSES.has(status)) {
    call.maybeDone ||= call.write;
    return again(call, nextNode(call), backoffS, nowS, 'unreachable');
  }
  if (status === 504 && call.write && outcome.outcomeUnknown) {
    call.maybeDone = true;
    return again(call, nextNode(call), backoffS, nowS, 'unknown_outcome');
  }
  if (NODE_STATUSES.has(status) && !call.write && call.tries <= call.nodes.length) {
    // One controller lags behind or has lost its engine; the others may not.
    return again(call, nextNode(call), 0, nowS, 'unreachable');
  }
  if (status === 429 && outcome.retryAfterS != null) {
    const action = again(call, call.node, outcome.retryAfterS, nowS, 'unreachable');
    return action.kind === 'try' || call.maybeDone ? action : { kind: 'return' };
  }
  return { kind: 'return' };
}

function afterFailure(call, outcome, nowS, jitter) {
  const silent = call.silent.filter((node) => node !== call.node);
  const cut = Boolean(outcome.silent && call.hasty);
  if (cut) silent.push(call.node);
  call = {
    ...call,
    silent,
    cuts: call.cuts + Number(cut),
    failures: call.failures + 1,
    failingSinceS: call.failingSinceS ?? (outcome.silent ? call.begunS : nowS),
    maybeDone: call.maybeDone || (call.write && outcome.sent),
  };
  const rounds = Math.floor(call.failures / call.nodes.length);
  const patient = nowS - call.failingSinceS < call.patienceS || silent.length > 0;
  if (rounds && !patient) return giveUp(call, 'unreachable');
  // Every node is asked once without delay, since a survivor answers at once.
  const delayS = call.failures % call.nodes.length ? 0 : backoff(rounds, jitter);
  return again(call, nextNode(call), delayS, nowS, 'unreachable');
}

function afterRedirect(call, outcome, nowS, jitter) {
  // The first redirect is the normal way; more of them mean that the named leader is gone.
  const delayS = call.redirects ? backoff(call.redirects, jitter) : 0;
  const node = outcome.redirectTo ?? nextNode(call);
  call = { ...call, redirects: call.redirects + 1 };
  if (call.redirects > REDIRECTS_MAX) return giveUp(call, 'no_leader');
  return again(call, node, delayS, nowS, 'no_leader');
}

function again(call, node, delayS, nowS, why) {
  if (call.tries >= TRIES_MAX || nowS + delayS >= call.deadlineS) return giveUp(call, why);
  return { kind: 'try', call: { ...call, node, tries: call.tries + 1 }, delayS };
}

function giveUp(call, why) {
  return { kind: 'giveUp', why: call.maybeDone ? 'unknown_outcome' : why };
}

function nextNode(call) {
  return call.nodes[(call.nodes.indexOf(call.node) + 1) % call.nodes.length];
}

/** Seconds to wait before round `round`. */
function backoff(round, jitter) {
  const fullS = Math.min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** Math.min(round, 10));
  return fullS * (0.5 + jitter / 2);
}

module.exports = {
  BACKOFF_MAX_S, HASTE_S, PATIENCE_S, REDIRECTS_MAX, TRIES_MAX, backoff, begun, newCall,
  nextAttempt, nextNode,
};
