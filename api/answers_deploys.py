"""Answers about revisions and deployments; like api/answers.py."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.answers import Answer, Count, Pulling, Time
from cluster.state.model import Health, Phase, RolloutKind, RolloutPhase


class Change(Answer):
    """One value of the spec that differs; null stands for what is not there."""

    field: str
    before: Any
    after: Any


class Plan(Answer):
    """What an update would do; containers by the names of their replicas."""

    changes: list[Change]
    rolls: bool = Field(description="Replicas are replaced")
    start: list[str]
    stop: list[str]
    keep: list[str]


class Updated(Answer):
    """An application has this spec; `plan` only for a dry run, which changes nothing."""

    message: str
    app_name: str
    status: Literal["created", "updated", "unchanged"]
    revision: Count
    deployment: Count | None = Field(description="Id of the deployment; null when none began")
    dry_run: bool
    plan: Plan | None = None


class Revised(Answer):
    """An application has another revision."""

    message: str
    app_name: str
    revision: Count
    deployment: Count


class Steered(Answer):
    """The deployment that is under way goes on otherwise."""

    message: str
    app_name: str
    deployment: Count
    phase: RolloutPhase


class Revision(Answer):
    """A spec that the application has or had; `healthy` says that all its replicas once were."""

    revision: Count
    current: bool
    healthy: bool
    cause: str
    created_at: Time
    image: str | None
    pinned: str | None = Field(description="What `image` is for its replicas: a digest, or an id")
    template: Count = Field(description="The revision that its containers carry")
    spec: dict[str, Any]


class Revisions(Answer):
    """Newest first."""

    app_name: str
    revisions: list[Revision]
    total: Count


class Note(Answer):
    """One thing that a deployment did, and why."""

    timestamp: Time
    message: str


class DeployedReplica(Answer):
    """A replica of the application while a deployment is under way."""

    name: str
    revision: Count
    role: Literal["new", "old", "leaving"]
    status: Phase | Literal["missing"]
    health: Health
    reason: str | None = Field(description="Why it is not healthy")


class CanaryAt(Answer):
    """How far a canary is; `step` counts from 1, one more than `steps` is the rest.

    `weight` percent of the requests go to the new revision.
    """

    step: Count
    steps: Count
    weight: Count
    held_seconds: Count = Field(description="For how long at least the step's weight holds")
    pause_seconds: Count = Field(description="How long it is to hold; 0: until it is promoted")
    waits_for: Literal["replicas", "time", "promotion", "measurements"] | None


class Traffic(Answer):
    """Requests at the ingresses in so many seconds; `failed` were answered with a 5xx."""

    seconds: float
    requests: Count
    failed: Count
    retried: Count | None = Field(
        description="Answered by another replica than the first; null where it is not counted")
    p95_ms: float | None = Field(description="Time to the first byte; null without an answer")


class Receipt(Answer):
    """What users saw; null is what could not be measured, and never 0.

    `complete`: all three are there, and were measured by one leader.
    """

    before: Traffic | None = Field(description="In the minute before")
    during: Traffic | None = Field(description="While it was under way, once it is over")
    after: Traffic | None = Field(description="In the minute after")
    complete: bool


class Deployment(Answer):
    """How the replicas come to a revision; its id is that revision."""

    id: Count
    app_name: str
    kind: RolloutKind
    phase: RolloutPhase
    revision: Count
    previous_revision: Count
    started_at: Time
    changed_at: Time
    ended_at: Time | None
    wanted: Count
    available: Count = Field(description="New replicas that have proved themselves")
    reason: str | None = Field(description="Why it failed")
    canary: CanaryAt | None = Field(description="Where a canary is, while it is under way")
    receipt: Receipt | None = Field(description="Null before anything was measured")
    steps: list[Note] = Field(description="Oldest first")


class DeploymentDetail(Deployment):
    """With its replicas, as long as it is under way."""

    replicas: list[DeployedReplica]
    pinned: str | None = Field(description="The image of the new replicas: a digest, or an id")
    pulling: Pulling | None
    problem: str | None = Field(description="What keeps it from going on")


class Deployments(Answer):
    """Newest first."""

    app_name: str
    deployments: list[Deployment]
    total: Count
