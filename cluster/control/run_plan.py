"""run_plan: what to do next about one run; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cluster.engine.base import Container
from cluster.state.model import Run
from cluster.state.runs import why_ending

START_MAX_S = 300.0
"""How long it is tried to start one, from when it had its turn."""
LINGER_S = 600.0
"""How long a container stays after its end, for those who read what it wrote."""
LINGERING_MAX = 20

Act = Literal["nothing", "start", "note", "stop", "time up", "read", "end"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the leader knows of a run beside its record and its container.

    `was_there`: this leader saw its container, or was told of it; `is_gone`: a look that began
    later did not find it. `busy`: a call about it is under way. `refused` is why it can never
    be started, `ran_s` for how long this leader has seen it run, up to its last look, `waited_s`
    for how long it tried to start it; `silent`: the last try had no answer. `lines` are None
    until they were read. `unfit` is why a container that ran still was not to go on.
    """

    was_there: bool = False
    is_gone: bool = False
    busy: bool = False
    refused: str = ""
    trouble: str = ""
    silent: bool = False
    ran_s: float = 0.0
    waited_s: float = 0.0
    lines: tuple[str, ...] | None = None
    unfit: str = ""


@dataclass(frozen=True, slots=True)
class Next:
    """What to do; how it ended, for `end`."""

    act: Act
    outcome: Literal["succeeded", "failed", "timed_out", "cancelled", "lost"] = "failed"
    reason: str = ""


NOTHING = Next("nothing")


def retry_delay_s(attempt: int) -> float:
    """How long an attempt waits after the one before: not, then 10 s, doubling to 5 minutes."""
    return 0.0 if attempt <= 1 else min(10.0 * 2.0 ** (attempt - 2), 300.0)


def next_of(run: Run, container: Container | None, facts: Facts) -> Next:
    """The next thing to do about a run that is not over."""
    if facts.busy:
        return NOTHING
    if container is None:
        return _without(run, facts)
    if container.phase == "exited" and container.still_runs:
        return Next("stop")  # it ends when it is gone, not before
    if container.phase == "exited":
        if facts.lines is None:
            return Next("read")
        return _ended(run, container)
    if container.phase == "created":  # made, but not started, by a leader before
        given_up = facts.refused or facts.waited_s >= START_MAX_S
        return Next("stop") if run.ending or given_up else Next("start")
    if run.ending:
        return Next("stop")
    if run.phase == "waiting":
        return Next("note")
    return Next("time up") if facts.ran_s >= run.timeout_s else NOTHING


def _without(run: Run, facts: Facts) -> Next:
    if run.phase == "running" or facts.was_there:
        if not facts.is_gone:
            return NOTHING
        if run.ending:
            return Next("end", run.ending, why_ending(run))
        if facts.unfit:
            return Next("end", "failed", facts.unfit)
        return Next("end", "lost", "its container is gone, nobody knows how it ended")
    if run.ending:
        return Next("end", run.ending, why_ending(run))
    if facts.refused:
        return Next("end", "failed", facts.refused)
    if facts.waited_s >= START_MAX_S and facts.silent:
        return Next("end", "lost", f"nobody knows whether it was started: {facts.trouble}")
    if facts.waited_s >= START_MAX_S:
        return Next("end", "failed", f"it could not be started: {facts.trouble or 'no answer'}")
    return Next("start")


def _ended(run: Run, container: Container) -> Next:
    if run.ending:
        return Next("end", run.ending, why_ending(run))
    if container.oom_killed:
        return Next("end", "failed", "killed: out of memory")
    if container.exit_code == 0 and not container.error:
        return Next("end", "succeeded")
    return Next("end", "failed", container.error or f"exited with code {container.exit_code}")
