"""Answers about runs; like api/answers.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.answers import Answer, Count, Time
from cluster.state.model_runs import RunKind, RunPhase


class Run(Answer):
    """A container that runs once."""

    id: Count
    app_name: str
    kind: RunKind
    status: RunPhase
    stopping: bool = Field(description="It is being stopped, by request or since its time is up")
    command: list[str] | None = Field(description="null: what the template says")
    timeout_s: Count
    revision: Count = Field(description="Whose containers it is like, or that it prepares")
    container: str = Field(description="Its name in the logs")
    requested_at: Time
    started_at: Time | None
    ended_at: Time | None
    exit_code: int | None = Field(description="null while nobody knows it")
    reason: str | None = Field(description="Why it did not succeed, or has not begun")
    due_at: Time | None = Field(description="When a run of a job was due")
    attempt: Count
    last_lines: list[str] = Field(description="What it wrote last, once it is over")


class Runs(Answer):
    """Newest first."""

    app_name: str
    runs: list[Run]
    total: Count


class RunRequested(Answer):
    """A run waits for its turn."""

    message: str
    app_name: str
    run: Count = Field(description="Its id")


class RunCancelled(Answer):
    """A run is stopped, or does not begin."""

    message: str
    app_name: str
    run: Count


class Job(Answer):
    """A job: what runs once, by the clock or by request."""

    name: str
    revision: Count
    schedule: str | None = Field(description="null for a job that only runs by request")
    timezone: str
    concurrency_policy: Literal["Allow", "Forbid", "Replace"]
    timeout_s: Count
    retries: Count
    starting_deadline_s: Count
    suspended: bool
    last_due_at: Time | None = Field(description="The last due time that was seen to")
    active: Count = Field(description="Runs that wait or run")
    last_status: RunPhase | None = Field(description="Of its last run")


class Jobs(Answer):
    """By name."""

    jobs: list[Job]
    total: Count


class JobSteered(Answer):
    """The schedule of a job holds, or goes on."""

    message: str
    app_name: str
    suspended: bool
