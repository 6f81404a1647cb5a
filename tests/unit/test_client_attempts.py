"""The decision after each try of a call, as a table."""

from __future__ import annotations

from dataclasses import replace

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
    next_attempt,
)

A, B, C, X = "http://a:1", "http://b:1", "http://c:1", "http://x:1"
READ = Call((A, B, C), A, write=False, deadline_s=30.0)
WRITE = replace(READ, write=True)
NOT_READY = Answered(503, "CLUSTER_NOT_READY")
UNKNOWN = Answered(504, "TIMEOUT", outcome_unknown=True)
LIMITED = Answered(429, "RATE_LIMIT_EXCEEDED", retry_after_s=31.0)
REFUSED, LOST = Failed(sent=False), Failed(sent=True)

FINAL = [
    (READ, Answered(200, "")),
    (WRITE, Answered(201, "")),
    (WRITE, Answered(400, "INVALID_SPEC")),
    (WRITE, Answered(401, "UNAUTHORIZED")),
    (WRITE, Answered(403, "FORBIDDEN")),
    (READ, Answered(404, "APP_NOT_FOUND")),
    (WRITE, Answered(409, "APP_ALREADY_EXISTS")),
    (WRITE, Answered(409, "SCALING_IN_PROGRESS")),
    (WRITE, Answered(413, "PAYLOAD_TOO_LARGE")),
    (WRITE, LIMITED),
    (WRITE, Answered(429, "RATE_LIMIT_EXCEEDED")),
    (WRITE, Answered(500, "DOCKER_ERROR")),
    (WRITE, Answered(500, "INTERNAL_ERROR")),
    (replace(READ, tries=3), Answered(503, "NO_LEADER")),
    (WRITE, Answered(503, "INSUFFICIENT_RESOURCES")),
    (READ, Answered(503, "")),
    (WRITE, Answered(504, "TIMEOUT")),
    (replace(READ, tries=4), Answered(504, "TIMEOUT")),
]

AGAIN = [
    (WRITE, Answered(307, "NOT_LEADER", redirect_to=C), C, False),
    (WRITE, Answered(307, "NOT_LEADER", redirect_to=X), X, False),
    (WRITE, Answered(307, "NOT_LEADER"), B, False),
    (WRITE, NOT_READY, B, False),
    (replace(WRITE, node=C), NOT_READY, A, False),
    (replace(WRITE, node=X), NOT_READY, A, False),
    (WRITE, UNKNOWN, B, True),
    (READ, UNKNOWN, B, False),
    (READ, Answered(504, "TIMEOUT"), B, False),
    (READ, Answered(503, "NO_LEADER"), B, False),
    (WRITE, Answered(502, None), B, True),
    (READ, Answered(503, None), B, False),
    (WRITE, Answered(429, "RATE_LIMIT_EXCEEDED", retry_after_s=2.0), A, False),
    (WRITE, REFUSED, B, False),
    (WRITE, LOST, B, True),
    (READ, LOST, B, False),
]


@pytest.mark.parametrize(("call", "outcome"), FINAL)
def test_final_answers_are_returned(call: Call, outcome: Answered) -> None:
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


@pytest.mark.parametrize(("call", "outcome", "why"), [
    (WRITE, NOT_READY, "no_leader"),
    (READ, REFUSED, "unreachable"),
    (WRITE, REFUSED, "unreachable"),
    (WRITE, LOST, "unknown_outcome"),
    (WRITE, UNKNOWN, "unknown_outcome"),
    (replace(WRITE, maybe_done=True), NOT_READY, "unknown_outcome"),
    (replace(WRITE, maybe_done=True), LIMITED, "unknown_outcome"),
    (replace(WRITE, maybe_done=True), REFUSED, "unknown_outcome"),
    (WRITE, Answered(307, "NOT_LEADER", redirect_to=B), "no_leader"),
])
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


OUTCOMES = st.one_of(
    st.builds(Failed, sent=st.booleans()),
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
        action = next_attempt(call, outcome, now_s=now_s, jitter=0.99)
        if not isinstance(action, Try):
            return
        now_s += action.delay_s
        assert now_s < 30.0
        call = action.call
    raise AssertionError("the call never ended")
