"""backoff: when a slot whose replica ended may be tried again, and when it is hopeless; pure."""

from __future__ import annotations

import signal
import zlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Literal

from cluster.engine.base import Container
from cluster.state.exits import Attempts, Exit, ExitReason
from cluster.state.replicas import name_of_slot
from orchestry.spec.model import AppSpec

DELAY_MAX_S = 60.0
JITTER = 0.2
LOOP_FAILURES = 5
LOOP_WINDOW_S = 300.0
RESET_S = 60.0
"""A replica that was up for so long starts anew: what failed before does not count any more."""


def restart_delay_s(in_a_row: int, seed: str) -> float:
    """Seconds before the next start after so many failures in a row.

    The first is repaired at once; then about 1 s, doubling to 60 s. Up to a fifth more or less,
    which follows from `seed`, so that slots that failed together do not come back together.
    """
    if in_a_row <= 1:
        return 0.0
    base_s = min(2.0 ** min(in_a_row - 2, 20), DELAY_MAX_S)
    share = zlib.crc32(f"{seed}:{in_a_row}".encode()) / 0xFFFFFFFF
    return base_s * (1 - JITTER + 2 * JITTER * share)


def exit_of(container: Container, now_ms: int) -> Exit:
    """How a container ended that is there no more."""
    reason: ExitReason = "oom_killed" if container.oom_killed else "exited"
    return Exit(
        container.id, reason, container.finished_at_ms or now_ms, container.exit_code,
        signal_of(container.exit_code))


def signal_of(exit_code: int) -> str:
    """The name of the signal that an exit code stands for, "" for none."""
    try:
        return signal.Signals(exit_code - 128).name if exit_code > 128 else ""
    except ValueError:
        return ""


def failed(before: Attempts, how: Exit, *, app: str, now_ms: int, up_s: float = 0.0) -> Attempts:
    """One more failure; `up_s` is for how long the replica was up before."""
    in_a_row = 1 if up_s >= RESET_S else before.in_a_row + 1
    recent = (*(before.recent_ms if up_s < RESET_S else ()), now_ms)[-LOOP_FAILURES:]
    dense = len(recent) == LOOP_FAILURES and now_ms - recent[0] <= LOOP_WINDOW_S * 1000
    delay_s = restart_delay_s(in_a_row, f"{app}:{before.slot}")
    return replace(
        before, failures=before.failures + 1,
        oom_kills=before.oom_kills + (how.reason == "oom_killed"), in_a_row=in_a_row,
        recent_ms=recent, looping=dense or (before.looping and up_s < RESET_S),
        next_at_ms=now_ms + round(delay_s * 1000), last=how)


def over(how: Exit | None, spec: AppSpec) -> Literal["", "finished", "failed"]:
    """What the restart policy makes of an end; "" when the replica is to come again."""
    if how is None or how.reason == "unhealthy" or spec.restart_policy == "Always":
        return ""
    if how.exit_code == 0:
        return "finished"
    return "failed" if spec.restart_policy == "Never" else ""


def ended(
    before: Attempts, how: Exit, spec: AppSpec, *, app: str, now_ms: int, up_s: float
) -> Attempts:
    """What a slot is after its container ended, by the restart policy."""
    verdict = over(how, spec)
    if verdict == "finished":
        return replace(before, last=how, next_at_ms=0, looping=False, over=verdict)
    after = failed(before, how, app=app, now_ms=now_ms, up_s=up_s)
    if verdict:
        return replace(after, over=verdict, looping=False, next_at_ms=0)
    return replace(after, over="")


def settled(before: Attempts) -> Attempts:
    """After it was up for long: the next failure is the first again."""
    return replace(before, in_a_row=0, recent_ms=(), looping=False, next_at_ms=0)


def words(how: Exit | None) -> str:
    """How it ended, for people."""
    if how is None:
        return "it ended"
    if how.reason == "oom_killed":
        return "it was killed for want of memory"
    if how.reason == "unhealthy":
        return "it failed its health checks"
    if how.signal:
        return f"it ended by {how.signal} (exit code {how.exit_code})"
    return f"it ended with exit code {how.exit_code}"


def problem(app: str, attempts: Iterable[Attempts]) -> tuple[str, str]:
    """Text and code for the owner of an app whose slots end again and again, "" for none."""
    found = list(attempts)
    looping = [one for one in found if one.looping]
    if looping:
        text = (f"{_names(app, looping)} in a crash loop: {words(looping[0].last)}; "
                f"{looping[0].in_a_row} failures in a row")
        return text, "CRASH_LOOP"
    lost = [one for one in found if one.over == "failed"]
    if lost:
        text = (f"{_names(app, lost)} not started again by restartPolicy Never: "
                f"{words(lost[0].last)}")
        return text, "REPLICA_FAILED"
    return "", ""


def _names(app: str, some: list[Attempts]) -> str:
    first = name_of_slot(app, some[0].slot)
    if len(some) == 1:
        return f"{first} is"
    return f"{first} and {len(some) - 1} more are"
