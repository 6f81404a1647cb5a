"""Answers about releases.

Written by tools/gen_answers.py; do not edit.
"""

from typing import Any, Literal, TypedDict


class ReleaseChange(TypedDict):
    """What a change of a release means for one application."""

    app: str
    change: Literal["created", "updated", "unchanged", "removed"]
    diff: list[str]


class ReleaseApplied(TypedDict):
    """A release has another revision; with `dry_run` it would have."""

    message: str
    release: str
    revision: int
    dry_run: bool
    changes: list[ReleaseChange]


class ReleaseSummary(TypedDict):
    """A release in short."""

    release: str
    revision: int
    chart: str
    chart_version: str
    updated_at: str
    apps: list[str]


class Releases(TypedDict):
    """All releases by name."""

    releases: list[ReleaseSummary]
    total: int


class ReleaseRevision(TypedDict):
    """A revision in short."""

    revision: int
    chart: str
    chart_version: str
    updated_at: str
    note: str
    apps: list[str]


class ReleaseAppStatus(TypedDict):
    """How an application of a release does; `missing` when it was removed by itself."""

    app: str
    status: (
        Literal["registered", "starting", "running", "updating", "stopping", "stopped", "error"]
        | Literal["missing"]
    )
    replicas: int
    healthy: int


class Release(TypedDict):
    """A release with what is kept of its past, oldest first."""

    release: str
    revision: int
    chart: str
    chart_version: str
    updated_at: str
    apps: list[str]
    values: dict[str, Any] | None
    status: list[ReleaseAppStatus]
    revisions: list[ReleaseRevision]


class ReleaseRevisionFull(TypedDict):
    """A revision, and how it differs from `against`, 0 for none."""

    revision: int
    chart: str
    chart_version: str
    updated_at: str
    note: str
    apps: list[str]
    release: str
    values: dict[str, Any] | None
    specs: list[dict[str, Any]]
    against: int
    changes: list[ReleaseChange]


class ReleaseGone(TypedDict):
    """A release was uninstalled; its applications drain and go."""

    message: str
    release: str
    apps: list[str]
