"""Answers about releases, described in /openapi.json; see api.answers."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from api.answers import Answer, Count, Time
from cluster.state.releases import Change
from cluster.state.status import Status


class ReleaseChange(Answer):
    """What a change of a release means for one application."""

    app: str
    change: Change
    diff: list[str]


class ReleaseApplied(Answer):
    """A release has another revision; with `dry_run` it would have."""

    message: str
    release: str
    revision: Count
    dry_run: bool
    changes: list[ReleaseChange]


class ReleaseSummary(Answer):
    """A release in short."""

    release: str
    revision: Count
    chart: str
    chart_version: str
    updated_at: Time
    apps: list[str]


class Releases(Answer):
    """All releases by name."""

    releases: list[ReleaseSummary]
    total: Count


class ReleaseRevision(Answer):
    """A revision in short."""

    revision: Count
    chart: str
    chart_version: str
    updated_at: Time
    note: str
    apps: list[str]


class ReleaseAppStatus(Answer):
    """How an application of a release does; `missing` when it was removed by itself."""

    app: str
    status: Status | Literal["missing"]
    replicas: Count
    healthy: Count


class Release(ReleaseSummary):
    """A release with what is kept of its past, oldest first."""

    values: dict[str, Any] | None = Field(description="Null for who may not change it")
    status: list[ReleaseAppStatus]
    revisions: list[ReleaseRevision]


class ReleaseRevisionFull(ReleaseRevision):
    """A revision, and how it differs from `against`, 0 for none."""

    release: str
    values: dict[str, Any] | None = Field(description="Null for who may not change it")
    specs: list[dict[str, Any]]
    against: Count
    changes: list[ReleaseChange]


class ReleaseGone(Answer):
    """A release was uninstalled; its applications drain and go."""

    message: str
    release: str
    apps: list[str]
