"""Commands about containers that run once; see cluster.state.commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RequestRun:
    """Run a command once, in a container like those of the app, for at most `timeout_s`."""

    app: str
    command: tuple[str, ...]
    timeout_s: int
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class CancelRun:
    """Stop a run, or do not begin it."""

    app: str
    id: int
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class PrepareRevision:
    """Leader: run the command of `deploy.pre` before any replica of this revision."""

    app: str
    revision: int
    timeout_s: int


@dataclass(frozen=True, slots=True)
class StepRun:
    """Leader: a run's container was found, or is stopped since its time is up."""

    id: int
    container_id: str
    container_name: str
    started_at_ms: int
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class EndRun:
    """Leader: a run is over; `lines` are the last ones that it wrote."""

    id: int
    outcome: Literal["succeeded", "failed", "timed_out", "cancelled", "lost"]
    exit_code: int | None = None
    reason: str = ""
    lines: tuple[str, ...] = ()
    container_id: str = ""
    container_name: str = ""
    started_at_ms: int = 0
    ended_at_ms: int = 0


@dataclass(frozen=True, slots=True)
class FireJob:
    """Leader: a job is due; refused unless `due_ms` is later than the one before."""

    app: str
    revision: int
    due_ms: int
    policy: Literal["Allow", "Forbid", "Replace"]
    timeout_s: int
    retries: int


@dataclass(frozen=True, slots=True)
class TriggerJob:
    """Run a job now, whatever its schedule says."""

    app: str
    timeout_s: int
    retries: int
    expected_revision: int | None = None


@dataclass(frozen=True, slots=True)
class SuspendJob:
    """Begin nothing by the schedule of a job any more, or again from now on."""

    app: str
    suspended: bool
    expected_revision: int | None = None
