"""The decision after each try of a call, as a table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestry.client.attempts import (
    PATIENCE_S,
    REDIRECTS_MAX,
    TRIES_MAX,
    Answered,
    Call,
    Failed,
    GiveUp,
    Return,
    Try,
    begun,
    next_attempt,
)

A, B, C, X = "http://a:1", "http://b:1", "http://c:1", "http://x:1"
READ = Call((A, B, C), A, write=False, deadline_s=30.0)
WRITE = replace(READ, write=True)
NOT_READY = Answered(503, "CLUSTER_NOT_READY")
REFUSED = Failed(sent=False)
# The Node client decides by the same tables: sdk/node/test/attempts.test.js reads them too.
TABLES = json.loads(Path(__file__).with_name("next_attempt.json").read_text())


def made(fields: dict[str, Any]) -> Call:
    """A call of the tables: what they leave out is as in READ."""
    return replace(READ, **fields)


def outcome_of(fields: dict[str, Any]) -> Answered | Failed:
    """An outcome of the tables."""
    return Failed(**fields) if "sent" in fields else Answered(**fields)


FINAL = [(made(call), outcome_of(outcome)) for call, outcome in TABLES["final"]]
AGAIN = [
    (made(call), outcome_of(outcome), node, maybe_done)
    for call, outcome, node, maybe_done in TABLES["again"]
]
ENDS = [(made(call), outcome_of(outcome), why) for call, outcome, why in TABLES["ends"]]


@pytest.mark.parametrize(("call", "outcome"), FINAL)
def test_final_answers_are_returned(call: Call, outcome: Answered | Failed) -> None:
    """An answer that would not change is never asked for again."""
    assert next_attempt(call, outcome, now_s=0.0, jitter=0.5) == Return()


@pytest.mark.parametrize(("call", "outcome", "node", "maybe_done"), AGAIN)
def test_other_outcomes_lead_to_another_try(
    call: Call, outcome: Answered | Failed, node: str, maybe_done: bool
) -> None:
    """The next try goes to the right node and remembers a possibly done write."""
    action = next_attempt(call, outcome, now_s=0.0, jitter=0.5)
    assert isinstance(action, Try)
    assert action.call.node == node
    assert action.call.maybe_done is maybe_done
    assert action.call.tries == call.tries + 1


@pytest.mark.parametrize(("call", "outcome", "why"), ENDS)
@pytest.mark.parametrize("limit", [{"deadline_s": 1.0}, {"tries": TRIES_MAX}])
def test_limits_end_a_call(
    call: Call, outcome: Answered | Failed, why: str, limit: dict[str, float]
) -> None:
    """At the deadline or the last try the call ends and tells what is known of its outcome."""
    ended = replace(call, **limit)  # type: ignore[arg-type]
    assert next_attempt(ended, outcome, now_s=1.0, jitter=0.0) == GiveUp(why)  # type: ignore[arg-type]


def test_every_node_is_asked_at_once_and_then_with_pauses() -> None:
    """A survivor is found without delay; only whole rounds of failures wait."""
    call: Call = READ
    delays = []
    for _ in range(6):
        action = next_attempt(call, REFUSED, now_s=0.0, jitter=0.5)
        assert isinstance(action, Try)
        call = action.call
        delays.append(action.delay_s)
    assert [delay > 0 for delay in delays] == [False, False, True, False, False, True]
    assert delays[5] > delays[2]


def test_nobody_there_is_said_soon() -> None:
    """A call ends long before its deadline while no node takes a connection."""
    call = replace(READ, failures=5, failing_since_s=0.0)
    assert next_attempt(call, REFUSED, now_s=PATIENCE_S, jitter=0.5) == GiveUp("unreachable")
    answered = next_attempt(call, NOT_READY, now_s=PATIENCE_S, jitter=0.5)
    assert isinstance(answered, Try)
    assert answered.call.failures == 0


def test_redirects_in_a_circle_end() -> None:
    """The first redirect is followed at once, later ones slower, and not for ever."""
    call: Call = WRITE
    waited_s = 0.0
    for turn in range(REDIRECTS_MAX):
        action = next_attempt(
            call, Answered(307, "NOT_LEADER", redirect_to=B), now_s=waited_s, jitter=0.5
        )
        assert isinstance(action, Try)
        assert (action.delay_s == 0) is (turn == 0)
        call, waited_s = action.call, waited_s + action.delay_s
    last = next_attempt(call, Answered(307, "NOT_LEADER", redirect_to=B), now_s=0.0, jitter=0.5)
    assert last == GiveUp("no_leader")
    assert waited_s > 3


def outcome_at(does: str, allowed_s: float) -> tuple[Answered | Failed, float]:
    """What comes of a try at such a controller, and after how long."""
    if does == "hangs":
        return Failed(sent=True, silent=True), allowed_s
    return (Answered(200), 0.0) if does == "answers" else (REFUSED, 0.0)


@pytest.mark.parametrize(("nodes", "tries", "ends_s"), TABLES["silences"])
def test_controllers_that_hang_are_passed_by(
    nodes: dict[str, str], tries: list[tuple[str, float]], ends_s: float
) -> None:
    """Each is asked briefly first; all silence together is bounded, whoever is silent."""
    call: Call = replace(READ, nodes=tuple(nodes), node=next(iter(nodes)))
    seen, now_s = [], 0.0
    while True:
        call = begun(call, now_s)
        seen.append((call.node, round(call.silence_s, 3)))
        outcome, took_s = outcome_at(nodes[call.node], call.silence_s)
        now_s += took_s
        action = next_attempt(call, outcome, now_s=now_s, jitter=0.5)
        if not isinstance(action, Try):
            break
        call, now_s = action.call, now_s + action.delay_s
    assert seen == [tuple(one) for one in tries]
    assert now_s == pytest.approx(ends_s)
    assert isinstance(action, Return) is ("answers" in nodes.values())


def test_a_controller_that_was_cut_short_has_its_time_at_the_second_try() -> None:
    """What takes long at the leader is not asked for again and again."""
    first = begun(WRITE, 0.0)
    action = next_attempt(first, Failed(sent=True, silent=True), now_s=2.0, jitter=0.5)
    assert isinstance(action, Try)
    action = next_attempt(
        begun(action.call, 2.0), Answered(307, "NOT_LEADER", redirect_to=A), now_s=2.0, jitter=0.5)
    assert isinstance(action, Try)
    assert (action.call.node, begun(action.call, 2.0).silence_s) == (A, 10.0)


OUTCOMES = st.one_of(
    st.builds(Failed, sent=st.booleans(), silent=st.booleans()),
    st.builds(
        Answered,
        status=st.sampled_from([200, 307, 400, 404, 429, 500, 502, 503, 504]),
        code=st.sampled_from([None, "", "CLUSTER_NOT_READY", "TIMEOUT"]),
        redirect_to=st.sampled_from([None, B, X]),
        retry_after_s=st.sampled_from([None, 0.0, 1.0, 1e9]),
        outcome_unknown=st.booleans(),
    ),
)


@given(st.lists(OUTCOMES, min_size=TRIES_MAX, max_size=TRIES_MAX), st.booleans(),
       st.sampled_from([(A,), (A, B), (A, B, C)]))
def test_every_call_ends_within_its_limits(
    outcomes: list[Answered | Failed], write: bool, members: tuple[str, ...]
) -> None:
    """Whatever the cluster does, a call ends before its deadline and within its tries."""
    call, now_s = Call(members, members[0], write, deadline_s=30.0), 0.0
    for outcome in outcomes:
        call = begun(call, now_s)
        assert 0 < call.silence_s <= 10.0
        action = next_attempt(call, outcome, now_s=now_s, jitter=0.99)
        if not isinstance(action, Try):
            return
        now_s += action.delay_s
        assert now_s < 30.0
        call = action.call
    raise AssertionError("the call never ended")
