"""When a slot is tried again, and what the restart policy makes of an end: pure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control import backoff
from cluster.control.backoff import DELAY_MAX_S, RESET_S, restart_delay_s
from cluster.control.last_lines import CHARACTERS_MAX, LINE_CHARACTERS_MAX, LINES, fit, hidden
from cluster.state.exits import Attempts, Exit, grown
from orchestry.spec.model import AppSpec, EnvVar, Port

SPEC = AppSpec("shop", "shop:1", (Port(8080),))
SLOT = Attempts(5, 1)


def end(number: int = 1, *, code: int = 1, reason: Any = "exited") -> Exit:
    """The end of one container."""
    return Exit(f"c{number}", reason, 0, code, backoff.signal_of(code))


def fail(slot: Attempts, *at_s: float, up_s: float = 0.0) -> Attempts:
    """Failures at these times."""
    for number, one_s in enumerate(at_s):
        slot = backoff.failed(
            slot, end(number), app="shop", now_ms=round(one_s * 1000), up_s=up_s)
    return slot


def test_delays_double_from_one_second_to_one_minute_within_a_fifth() -> None:
    """The first failure is repaired at once; the share of chance is the same each time."""
    found = [restart_delay_s(number, "shop:1") for number in range(1, 13)]
    assert found[0] == 0
    for delay_s, base_s in zip(
        found[1:], [1, 2, 4, 8, 16, 32, *[DELAY_MAX_S] * 5], strict=True
    ):
        assert 0.8 * base_s <= delay_s <= 1.2 * base_s
    assert found == [restart_delay_s(number, "shop:1") for number in range(1, 13)]


def test_slots_that_fail_together_do_not_come_back_together() -> None:
    """Fifty slots at the longest delay are spread over most of its fifths."""
    found = sorted(restart_delay_s(20, f"shop:{slot}") for slot in range(1, 51))
    assert found[-1] - found[0] > 0.3 * DELAY_MAX_S
    assert len({round(one, 1) for one in found}) > 25


@given(st.integers(0, 10**6), st.text(max_size=20))
def test_no_delay_is_endless(number: int, seed: str) -> None:
    """However often it failed."""
    assert 0 <= restart_delay_s(number, seed) <= 1.2 * DELAY_MAX_S


def test_five_failures_in_five_minutes_are_a_crash_loop() -> None:
    """Four are none, nor are five that took longer; it stays one while failures get rarer."""
    assert not fail(SLOT, 0, 10, 20, 30).looping
    assert not fail(SLOT, 0, 80, 160, 240, 301).looping
    looping = fail(SLOT, 0, 1, 2, 4, 300)
    assert looping.looping
    assert fail(looping, 900, 1500).looping


def test_a_minute_up_makes_the_next_failure_the_first() -> None:
    """Whether the reset was written down while it ran, or not before it ended."""
    before = fail(SLOT, 0, 1, 2, 3, 4)
    for after in (
        fail(before, 900, up_s=RESET_S),
        fail(backoff.settled(before), 900),
    ):
        assert (after.in_a_row, after.looping, after.failures) == (1, False, 6)
        assert after.next_at_ms == 900_000
    assert fail(before, 900, up_s=RESET_S - 1).in_a_row == 6


@pytest.mark.parametrize(
    ("policy", "code", "over"),
    [("Always", 0, ""), ("Always", 1, ""), ("OnFailure", 0, "finished"), ("OnFailure", 1, ""),
     ("Never", 0, "finished"), ("Never", 1, "failed")],
)
def test_what_a_policy_makes_of_an_end(policy: Any, code: int, over: str) -> None:
    """Each policy with each kind of end; only what ended well is no failure."""
    spec = replace(SPEC, restart_policy=policy)
    after = backoff.ended(SLOT, end(code=code), spec, app="shop", now_ms=0, up_s=1.0)
    assert after.over == over == backoff.over(after.last, spec)
    assert after.failures == (0 if over == "finished" else 1)
    assert backoff.over(after.last, replace(spec, restart_policy="Always")) == ""


def test_a_kill_for_want_of_memory_is_told_apart() -> None:
    """It is a failure with a reason and a counter of its own."""
    killed = end(code=137, reason="oom_killed")
    after = backoff.ended(SLOT, killed, SPEC, app="shop", now_ms=0, up_s=1.0)
    assert (after.failures, after.oom_kills) == (1, 1)
    assert backoff.words(after.last) == "it was killed for want of memory"
    assert backoff.words(end(code=137)) == "it ended by SIGKILL (exit code 137)"
    assert backoff.words(end(code=3)) == "it ended with exit code 3"


@pytest.mark.parametrize(
    ("code", "name"), [(0, ""), (1, ""), (128, ""), (139, "SIGSEGV"), (143, "SIGTERM"), (255, "")])
def test_signals_by_exit_code(code: int, name: str) -> None:
    """128 and above, where there is such a signal."""
    assert backoff.signal_of(code) == name


def test_the_problem_of_an_app_names_its_slots() -> None:
    """Crash loops first, then what its policy leaves as it is; nothing while all is well."""
    looping = fail(SLOT, 0, 1, 2, 3, 4)
    lost = replace(SLOT, slot=2, over="failed", last=end(code=3))
    assert backoff.problem("shop", [fail(SLOT, 0)]) == ("", "")
    assert backoff.problem("shop", [lost]) == (
        "shop-2 is not started again by restartPolicy Never: it ended with exit code 3",
        "REPLICA_FAILED")
    assert backoff.problem("shop", [looping, replace(looping, slot=3), lost]) == (
        "shop-1 and 1 more are in a crash loop: it ended with exit code 1; 5 failures in a row",
        "CRASH_LOOP")


def test_counters_of_an_app_only_grow() -> None:
    """Slots that are forgotten, or seen again from nothing, take nothing away."""
    first = fail(SLOT, 0, 1)
    assert grown((), (first,)) == (2, 0)
    assert grown((first,), (first,)) == (0, 0)
    assert grown((first,), ()) == (0, 0)
    assert grown((first,), (fail(first, 2), replace(SLOT, slot=2, failures=1))) == (2, 0)
    assert grown((first,), (SLOT,)) == (0, 0)


def test_lines_are_masked_before_they_are_cut() -> None:
    """No secret, nor the beginning of one at the end of a line, is left."""
    spec = replace(SPEC, environment=(
        EnvVar("DB_PASSWORD", "hunter2hunter2"), EnvVar("MODE", "fast"),
        EnvVar("API", source="secret", key="api")))
    hide = hidden(spec, ["s3cr3t-value", "first line\nsecond line", "a", ""])
    assert hide[0] == "first line␊second line"
    long = "x" * (LINE_CHARACTERS_MAX - 4) + "s3cr3t-value"
    found = fit(["password hunter2hunter2 in fast mode", "got second line", long, "a"], hide)
    assert found == (
        "password ******** in fast mode", "got ********", "x" * (LINE_CHARACTERS_MAX - 4) + "****",
        "a")


def test_lines_are_few_and_the_newest() -> None:
    """Twenty of them, and of long ones no more than an event has room for."""
    assert fit([str(number) for number in range(50)], ()) == tuple(
        str(number) for number in range(50 - LINES, 50))
    found = fit(["y" * 1000] * 50, ())
    assert sum(map(len, found)) <= CHARACTERS_MAX
    assert len(found) == CHARACTERS_MAX // LINE_CHARACTERS_MAX
