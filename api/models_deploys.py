"""Paths, queries and bodies of updates; like api/models.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from api.models import INDEX_MAX, AppPath, Body, Flag, Whole, WriteQuery


class UpdateQuery(WriteQuery):
    """How to update an application."""

    dry_run: Flag = Field(False, description="Only answer what would be done")


class DeploymentPath(AppPath):
    """A deployment in the path."""

    deployment_id: Whole = Field(
        ge=0, le=INDEX_MAX, description="The revision that it brings about")


class RollbackBody(Body):
    """Where to go back to; the key is optional."""

    revision: Annotated[int, Field(ge=1, le=INDEX_MAX)] | None = Field(
        None, description="By default the last one that was healthy")


class PromoteBody(Body):
    """How far to go on; the key is optional."""

    all: Flag = Field(
        False, description="Of a canary: to all requests; otherwise to its next step")
