"""Runs: containers that do one thing and end; see cluster.state.model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RunKind = Literal["run", "pre", "job"]
RunPhase = Literal[
    "waiting", "running", "succeeded", "failed", "timed_out", "cancelled", "lost"]
Ending = Literal["", "timed_out", "cancelled"]


@dataclass(frozen=True, slots=True)
class Run:
    """One container that runs once; `id` is unique, and grows.

    `run` was asked for by a user, `pre` prepares a revision of an app, `job` is one of a job.
    `app` is the app or the job that it belongs to, `template` the revision whose containers it is
    like, `revision` the one that it prepares. Without a `command` it does what the template says.

    It is in the state before its container is made, and there is never a second container: one
    that was seen and is gone is `lost`. While `ending` it is being stopped, and that is how it
    will have ended. A run of a job has the time at which it was due, 0 by request, the number of
    its attempt, and how many more there may be. `exit_code` is None where nobody knows it.
    `lines` are its last ones.
    """

    id: int
    app: str
    kind: RunKind
    template: int
    timeout_s: int
    requested_at_ms: int
    command: tuple[str, ...] = ()
    revision: int = 0
    phase: RunPhase = "waiting"
    ending: Ending = ""
    container_id: str = ""
    container_name: str = ""
    started_at_ms: int = 0
    ended_at_ms: int = 0
    exit_code: int | None = None
    reason: str = ""
    lines: tuple[str, ...] = ()
    due_ms: int = 0
    attempt: int = 1
    retries: int = 0

    @property
    def is_over(self) -> bool:
        """True once nothing of it runs any more, or will."""
        return self.phase not in ("waiting", "running")
