'use strict';

const assert = require('node:assert/strict');
const { readFileSync } = require('node:fs');
const path = require('node:path');
const { describe, test } = require('node:test');

const {
  PATIENCE_S, REDIRECTS_MAX, TRIES_MAX, begun, newCall, nextAttempt,
} = require('../src/attempts.js');

// The Python client decides by the same tables.
const TABLES = JSON.parse(readFileSync(
  path.join(__dirname, '../../../tests/unit/next_attempt.json')));
const NODES = ['http://a:1', 'http://b:1', 'http://c:1'];
const REFUSED = { sent: false };
const TO_B = { status: 307, code: 'NOT_LEADER', redirectTo: NODES[1] };

function camelCase(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [
    name.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value]));
}

function made(fields) {
  return newCall({ nodes: NODES, node: NODES[0], write: false, deadlineS: 30, ...fields });
}

describe('the shared tables', () => {
  for (const [call, outcome] of TABLES.final) {
    test(`final: ${JSON.stringify([call, outcome])}`, () => {
      const action = nextAttempt(made(camelCase(call)), camelCase(outcome), 0, 0.5);
      assert.deepEqual(action, { kind: 'return' });
    });
  }
  for (const [fields, outcome, node, maybeDone] of TABLES.again) {
    test(`again: ${JSON.stringify([fields, outcome])}`, () => {
      const call = made(camelCase(fields));
      const action = nextAttempt(call, camelCase(outcome), 0, 0.5);
      assert.equal(action.kind, 'try');
      assert.equal(action.call.node, node);
      assert.equal(action.call.maybeDone, maybeDone);
      assert.equal(action.call.tries, call.tries + 1);
    });
  }
  for (const [fields, outcome, why] of TABLES.ends) {
    for (const limit of [{ deadlineS: 1 }, { tries: TRIES_MAX }]) {
      test(`ends: ${JSON.stringify([fields, outcome, limit])}`, () => {
        const call = made({ ...camelCase(fields), ...limit });
        const action = nextAttempt(call, camelCase(outcome), 1, 0);
        assert.deepEqual(action, { kind: 'giveUp', why });
      });
    }
  }
  for (const [nodes, tries, endsS] of TABLES.silences) {
    test(`silences: ${JSON.stringify(nodes)}`, () => {
      const names = Object.keys(nodes);
      let call = made({ nodes: names, node: names[0] });
      const seen = [];
      let nowS = 0;
      for (;;) {
        call = begun(call, nowS);
        seen.push([call.node, Number(call.silenceS.toFixed(3))]);
        const does = nodes[call.node];
        if (does === 'hangs') nowS += call.silenceS;
        const failed = { sent: does === 'hangs', silent: does === 'hangs' };
        const outcome = does === 'answers' ? { status: 200, code: '' } : failed;
        const action = nextAttempt(call, outcome, nowS, 0.5);
        if (action.kind !== 'try') break;
        call = action.call;
        nowS += action.delayS;
      }
      assert.deepEqual(seen, tries);
      assert.ok(Math.abs(nowS - endsS) < 0.001);
    });
  }
  test('are not empty', () => {
    assert.ok(TABLES.final.length > 10 && TABLES.again.length > 10 && TABLES.ends.length > 5
      && TABLES.silences.length > 3);
  });
});

test('every node is asked at once, and then with pauses', () => {
  let call = made();
  const delays = [];
  for (let turn = 0; turn < 6; turn += 1) {
    const action = nextAttempt(call, REFUSED, 0, 0.5);
    assert.equal(action.kind, 'try');
    delays.push(action.delayS);
    call = action.call;
  }
  assert.deepEqual(delays.map((delay) => delay > 0), [false, false, true, false, false, true]);
  assert.ok(delays[5] > delays[2]);
});

test('that nobody is there is said soon, or later if the call is patient', () => {
  const call = made({ failures: 5, failingSinceS: 0 });
  assert.deepEqual(
    nextAttempt(call, REFUSED, PATIENCE_S, 0.5), { kind: 'giveUp', why: 'unreachable' });
  assert.equal(nextAttempt({ ...call, patienceS: 20 }, REFUSED, PATIENCE_S, 0.5).kind, 'try');
});

test('redirects in a circle end', () => {
  let call = made({ write: true });
  let waitedS = 0;
  for (let turn = 0; turn < REDIRECTS_MAX; turn += 1) {
    const action = nextAttempt(call, TO_B, waitedS, 0.5);
    assert.equal(action.kind, 'try');
    assert.equal(action.delayS === 0, turn === 0);
    call = action.call;
    waitedS += action.delayS;
  }
  assert.deepEqual(nextAttempt(call, TO_B, 0, 0.5), { kind: 'giveUp', why: 'no_leader' });
  assert.ok(waitedS > 3);
});
