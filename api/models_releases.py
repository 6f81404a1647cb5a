"""Paths, queries and bodies about releases; see api.models."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.models import NAME_PATTERN, Body, Flag, ReadQuery, ReleaseRevision, Whole, WriteQuery
from cluster.state.releases import APPS_MAX


class ReleasePath(BaseModel):
    """The release that a path names."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    release: str = Field(
        pattern=NAME_PATTERN, description="Name of the release", examples=["shop"])


class RevisionPath(ReleasePath):
    """A revision of a release."""

    revision: Whole = Field(ge=1, le=10**9, description="Number of the revision")


class ApplyQuery(WriteQuery):
    """How a release is changed."""

    dry_run: Flag = Field(False, description="Tell what would change, and change nothing")
    only: Literal["install", "upgrade"] | None = Field(
        None, description="install refuses a release that exists, upgrade one that does not")
    keep_data: Flag = Field(False, description="Volumes of applications that go stay")


class DiffQuery(ReadQuery):
    """What a revision is compared with."""

    against: ReleaseRevision | None = Field(
        None, description="Number of another revision; else the one before it")


class UninstallQuery(WriteQuery):
    """How the applications of a release go."""

    force: Flag = Field(False, description="No draining")
    keep_data: Flag = Field(False, description="Volumes stay")


class ReleaseBody(Body):
    """What a chart rendered."""

    chart: str = Field(min_length=1, max_length=128, description="Name of the chart")
    chart_version: str = Field(min_length=1, max_length=64, description="Its version")
    values: dict[str, Any] = Field(
        default_factory=dict, description="The values that it was rendered with")
    specs: list[dict[str, Any]] = Field(
        min_length=1, max_length=APPS_MAX, description="The specs of its applications")


class ReleaseRollbackBody(Body):
    """Where a release goes back to."""

    revision: int | None = Field(
        None, ge=1, le=10**9, description="Number of a kept revision; else the last but one")
