"""Answers about runs.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Literal, TypedDict


class Run(TypedDict):
    """A container that runs once."""

    id: int
    app_name: str
    kind: Literal["run", "pre", "job"]
    status: Literal["waiting", "running", "succeeded", "failed", "timed_out", "cancelled", "lost"]
    stopping: bool
    command: list[str] | None
    timeout_s: int
    revision: int
    container: str
    requested_at: str
    started_at: str | None
    ended_at: str | None
    exit_code: int | None
    reason: str | None
    due_at: str | None
    attempt: int
    last_lines: list[str]


class Runs(TypedDict):
    """Newest first."""

    app_name: str
    runs: list[Run]
    total: int


class RunRequested(TypedDict):
    """A run waits for its turn."""

    message: str
    app_name: str
    run: int


class RunCancelled(TypedDict):
    """A run is stopped, or does not begin."""

    message: str
    app_name: str
    run: int


class Job(TypedDict):
    """A job: what runs once, by the clock or by request."""

    name: str
    revision: int
    schedule: str | None
    timezone: str
    concurrency_policy: Literal["Allow", "Forbid", "Replace"]
    timeout_s: int
    retries: int
    starting_deadline_s: int
    suspended: bool
    last_due_at: str | None
    active: int
    last_status: (
        Literal["waiting", "running", "succeeded", "failed", "timed_out", "cancelled", "lost"]
        | None
    )


class Jobs(TypedDict):
    """By name."""

    jobs: list[Job]
    total: int


class JobSteered(TypedDict):
    """The schedule of a job holds, or goes on."""

    message: str
    app_name: str
    suspended: bool
