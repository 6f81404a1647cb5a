"""The judge of recorded histories, on histories whose verdict is known."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults import wanted
from tests.faults.linearizability import NEVER_S, Call, NotLinearizable, TooHard, check
from tests.faults.wanted import ABSENT, EXISTS, MISSING, SCALING, Absent, Wanted

ONE = Wanted(7, 1)


def call(kind: str, argument: int, answer: object, begin_s: float, end_s: float) -> Call:
    """A call on the one app of these tests."""
    return Call("shop", kind, argument, answer, begin_s, end_s)


def read(replicas: int, begin_s: float, end_s: float) -> Call:
    """A read that saw so many replicas."""
    return call("read", 0, (7, replicas), begin_s, end_s)


def start(replicas: int, begin_s: float, end_s: float) -> Call:
    """An acknowledged start."""
    return call("start", replicas, "ok", begin_s, end_s)


def lost(replicas: int, begin_s: float) -> Call:
    """A start whose outcome nobody knows."""
    return call("start", replicas, None, begin_s, NEVER_S)


GOOD = {
    "one after the other": [start(2, 0, 1), read(2, 2, 3)],
    "a read beside a write sees either": [start(2, 0, 9), read(1, 1, 2), read(2, 3, 4)],
    "writes that overlap, in the other order": [start(2, 0, 9), start(3, 1, 8), read(2, 10, 11)],
    "an unknown write that happened": [lost(5, 0), read(5, 3, 4)],
    "an unknown write that did not": [lost(5, 0), read(1, 3, 4)],
    "an unknown write that happened late": [lost(5, 0), read(1, 3, 4), read(5, 5, 6)],
    "a scale tells what was before": [start(4, 0, 1), call("scale", 2, 4, 2, 3), read(2, 4, 5)],
    "a refused scale changes nothing": [call("scale", 9, SCALING, 0, 1), read(1, 2, 3)],
    "a stop": [call("stop", 0, "ok", 0, 1), read(0, 2, 3)],
}
BAD = {
    "a stale read": [start(2, 0, 1), read(1, 2, 3)],
    "a lost write": [start(2, 0, 1), read(2, 2, 3), read(1, 4, 5)],
    "a write that happened twice": [start(2, 0, 1), start(3, 2, 3), read(3, 4, 5), read(2, 6, 7)],
    "an unknown write that happened twice": [
        lost(5, 0), read(5, 1, 2), start(3, 3, 4), read(3, 5, 6), read(5, 7, 8)],
    "a read from the future": [read(2, 0, 1), start(2, 2, 3)],
    "an unknown write before its begin": [read(5, 0, 1), lost(5, 2)],
    "new, then old": [start(2, 0, 9), read(2, 1, 2), read(1, 3, 4)],
    "a scale that tells a wrong before": [start(4, 0, 1), call("scale", 2, 1, 2, 3)],
    "two scales that both saw the same": [
        call("scale", 2, 1, 0, 9), call("scale", 3, 1, 0, 9)],
    "another revision": [call("read", 0, (8, 1), 0, 1)],
    "an app that vanished": [call("read", 0, MISSING, 0, 1)],
    "a second registration": [call("register", 0, (9,), 0, 1)],
}


@pytest.mark.parametrize("name", GOOD)
def test_known_good(name: str) -> None:
    """A history that one server could have given is accepted."""
    check(GOOD[name], wanted.step, lambda _: ONE)


@pytest.mark.parametrize("name", BAD)
def test_known_bad(name: str) -> None:
    """A history that no server could have given is refused."""
    with pytest.raises(NotLinearizable, match="shop is not linearizable"):
        check(BAD[name], wanted.step, lambda _: ONE)


def test_registrations() -> None:
    """An app is registered once, and is not there before."""
    missing = call("read", 0, MISSING, 0, 1)
    created = call("register", 0, (7,), 2, 3)
    refused = call("register", 0, EXISTS, 4, 5)
    check([missing, created, refused, read(0, 6, 7)], wanted.step, lambda _: ABSENT)
    for bad in ([created, replace(missing, invoked_s=4, returned_s=5)],
                [replace(refused, invoked_s=0, returned_s=1), created],
                [created, replace(created, invoked_s=4, returned_s=5, answer=(8,))]):
        with pytest.raises(NotLinearizable):
            check(bad, wanted.step, lambda _: ABSENT)
    unknown = call("register", 0, None, 0, NEVER_S)
    check([unknown, refused, read(0, 6, 7)], wanted.step, lambda _: ABSENT)
    check([unknown, missing], wanted.step, lambda _: ABSENT)


def test_the_shortest_stuck_prefix_is_shown() -> None:
    """The message ends with the answer that nothing explains, whatever came after it."""
    good = [start(n % 5, 2 * n, 2 * n + 1) for n in range(40)]
    bad = [*good[:20], read(3, 39.2, 39.4), *good[20:]]
    with pytest.raises(NotLinearizable) as refused:
        check(bad, wanted.step, lambda _: ONE)
    message = str(refused.value)
    assert "after 21 of 41 calls" in message
    assert "no order explains: 39.2000-39.4000  read -> (7, 3)" in message
    assert "could have been: Wanted(revision=7, replicas=4)" in message
    assert message.endswith("39.2000-39.4000  read -> (7, 3)")


def test_each_key_is_judged_alone() -> None:
    """The key that is wrong is named."""
    fine = [replace(one, key="fine") for one in GOOD["a stop"]]
    with pytest.raises(NotLinearizable, match=r"^shop "):
        check([*fine, *BAD["a stale read"]], wanted.step, lambda _: ONE)


def test_a_search_without_end_is_given_up() -> None:
    """More steps than allowed are neither a yes nor a no."""
    with pytest.raises(TooHard, match="more than 100 steps"):
        check([*(lost(n, 0) for n in range(30)), read(77, 100, 101)], wanted.step,
              lambda _: ONE, steps_max=100)


def test_a_long_history_is_judged_soon() -> None:
    """Three thousand calls of eight clients, a tenth of them unknown, are no hard case."""
    check(overlapping(random.Random(1), 3000, clients=8), wanted.step, lambda _: ONE)


def overlapping(dice: random.Random, count: int, clients: int) -> list[Call]:
    """Calls of several clients around moments at which one server executes them in turn."""
    state = ONE
    free_s = [0.0] * clients
    calls = []
    for moment_s in range(1, count + 1):
        client = dice.choice([c for c in range(clients) if free_s[c] < moment_s])
        kind = dice.choice(["start", "scale", "stop", "read"])
        argument = dice.randint(1, 9) if kind in ("start", "scale") else 0
        begin_s = max(dice.uniform(moment_s - 4, moment_s), free_s[client])
        end_s = dice.uniform(moment_s, moment_s + 0.9)
        answer: object = {"start": "ok", "stop": "ok", "scale": state.replicas,
                          "read": (state.revision, state.replicas)}[kind]
        if kind != "read":
            state = Wanted(state.revision, argument)
        if dice.random() < 0.1 and kind != "read":
            answer, end_s = None, NEVER_S
        calls.append(call(kind, argument, answer, begin_s, end_s))
        free_s[client] = end_s if end_s != NEVER_S else moment_s
    return calls


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 5))
def test_what_a_server_did_is_accepted(seed: int, count: int, clients: int) -> None:
    """However calls overlap, a history with a real order behind it is accepted."""
    calls = overlapping(random.Random(seed), count, clients)
    random.Random(seed).shuffle(calls)
    check(calls, wanted.step, lambda _: ONE)


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 5))
def test_an_answer_that_no_state_gives_is_refused(seed: int, count: int, clients: int) -> None:
    """A read of a number that nobody ever asked for is found, wherever it is."""
    dice = random.Random(seed)
    calls = overlapping(dice, count, clients)
    changed = dice.randrange(len(calls))
    calls[changed] = replace(
        calls[changed], kind="read", argument=0, answer=(7, 99),
        returned_s=min(calls[changed].returned_s, calls[changed].invoked_s + 5))
    with pytest.raises(NotLinearizable):
        check(calls, wanted.step, lambda _: ONE)


@given(st.integers(0, 2**32), st.integers(1, 6))
def test_the_verdict_is_that_of_all_orders(seed: int, count: int) -> None:
    """On small histories with random answers the search says what trying all orders says."""
    dice = random.Random(seed)
    calls = []
    for _ in range(count):
        begin_s = dice.uniform(0, 4)
        kind = dice.choice(["start", "read"])
        value = dice.randint(1, 2)
        known = kind == "read" or dice.random() < 0.8
        calls.append(call(
            kind, value if kind == "start" else 0,
            None if not known else "ok" if kind == "start" else (7, value),
            begin_s, begin_s + dice.uniform(0, 2) if known else NEVER_S))
    try:
        check(calls, wanted.step, lambda _: ONE)
    except NotLinearizable:
        accepted = False
    else:
        accepted = True
    assert accepted == explained(calls, ONE)


def explained(calls: list[Call], state: Wanted | Absent) -> bool:
    """Every order, without any cleverness."""
    if all(one.answer is None for one in calls):
        return True
    for one in calls:
        rest = [other for other in calls if other is not one]
        if any(other.returned_s < one.invoked_s for other in rest):
            continue
        after = wanted.step(state, one)
        if isinstance(after, Wanted | Absent) and explained(rest, after):
            return True
    return False
