"""Releases: charts that were installed; see cluster.state.model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReleaseApp:
    """An app of a release; `document` is its spec as canonical JSON text."""

    name: str
    document: str


@dataclass(frozen=True, slots=True)
class ReleaseRevision:
    """What a chart rendered at one time; `values` are what the user gave, as JSON text.

    `number` counts from 1, `note` says how it came to be.
    """

    number: int
    chart: str
    chart_version: str
    values: str
    apps: tuple[ReleaseApp, ...]
    at_ms: int
    note: str


@dataclass(frozen=True, slots=True)
class Release:
    """A chart that was installed under a name; the last of `revisions` holds."""

    name: str
    revisions: tuple[ReleaseRevision, ...]
