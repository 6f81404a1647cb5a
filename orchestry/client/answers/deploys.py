"""Answers about deploys.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Any, Literal, NotRequired, TypedDict

from orchestry.client.answers.apps import Pulling


class Change(TypedDict):
    """One value of the spec that differs; null stands for what is not there."""

    field: str
    before: Any
    after: Any


class Plan(TypedDict):
    """What an update would do; containers by the names of their replicas."""

    changes: list[Change]
    rolls: bool
    start: list[str]
    stop: list[str]
    keep: list[str]


class Updated(TypedDict):
    """An application has this spec; `plan` only for a dry run, which changes nothing."""

    message: str
    app_name: str
    status: Literal["created", "updated", "unchanged"]
    revision: int
    deployment: int | None
    dry_run: bool
    plan: NotRequired[Plan | None]


class Revised(TypedDict):
    """An application has another revision."""

    message: str
    app_name: str
    revision: int
    deployment: int


class Steered(TypedDict):
    """The deployment that is under way goes on otherwise."""

    message: str
    app_name: str
    deployment: int
    phase: Literal["running", "paused", "failed", "done", "superseded", "stopped"]


class Revision(TypedDict):
    """A spec that the application has or had; `healthy` says that all its replicas once were."""

    revision: int
    current: bool
    healthy: bool
    cause: str
    created_at: str
    image: str | None
    pinned: str | None
    template: int
    spec: dict[str, Any]


class Revisions(TypedDict):
    """Newest first."""

    app_name: str
    revisions: list[Revision]
    total: int


class Note(TypedDict):
    """One thing that a deployment did, and why."""

    timestamp: str
    message: str


class DeployedReplica(TypedDict):
    """A replica of the application while a deployment is under way."""

    name: str
    revision: int
    role: Literal["new", "old", "leaving"]
    status: Literal["created", "running", "exited"] | Literal["missing"]
    health: Literal["starting", "healthy", "unhealthy"]
    reason: str | None


class CanaryAt(TypedDict):
    """How far a canary is; `step` counts from 1, one more than `steps` is the rest."""

    step: int
    steps: int
    weight: int
    held_seconds: int
    pause_seconds: int
    waits_for: Literal["replicas", "time", "promotion", "measurements"] | None


class Traffic(TypedDict):
    """Requests at the ingresses in so many seconds; `failed` were answered with a 5xx."""

    seconds: float
    requests: int
    failed: int
    retried: int | None
    p95_ms: float | None


class Receipt(TypedDict):
    """What users saw; null is what could not be measured, and never 0."""

    before: Traffic | None
    during: Traffic | None
    after: Traffic | None
    complete: bool


class Deployment(TypedDict):
    """How the replicas come to a revision; its id is that revision."""

    id: int
    app_name: str
    kind: Literal["update", "rollback", "restart"]
    phase: Literal["running", "paused", "failed", "done", "superseded", "stopped"]
    revision: int
    previous_revision: int
    started_at: str
    changed_at: str
    ended_at: str | None
    wanted: int
    available: int
    reason: str | None
    canary: CanaryAt | None
    receipt: Receipt | None
    steps: list[Note]


class DeploymentDetail(TypedDict):
    """With its replicas, as long as it is under way."""

    id: int
    app_name: str
    kind: Literal["update", "rollback", "restart"]
    phase: Literal["running", "paused", "failed", "done", "superseded", "stopped"]
    revision: int
    previous_revision: int
    started_at: str
    changed_at: str
    ended_at: str | None
    wanted: int
    available: int
    reason: str | None
    canary: CanaryAt | None
    receipt: Receipt | None
    steps: list[Note]
    replicas: list[DeployedReplica]
    pinned: str | None
    pulling: Pulling | None
    problem: str | None


class Deployments(TypedDict):
    """Newest first."""

    app_name: str
    deployments: list[Deployment]
    total: int
