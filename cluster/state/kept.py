"""What users leave with the cluster beside applications: releases of charts, and secrets."""

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


@dataclass(frozen=True, slots=True)
class SecretVersion:
    """The values of a secret, by field, as text that only controllers with the key can open.

    `index` is that of the log entry which brought them. `key_id` tells the key.
    """

    version: int
    index: int
    at_ms: int
    key_id: str
    fields: tuple[str, ...]
    sealed: str


@dataclass(frozen=True, slots=True)
class Secret:
    """What apps may name instead of a value; its last versions, oldest first, at least one.

    `changed` is the index of the log entry that last changed anything of it.
    """

    name: str
    versions: tuple[SecretVersion, ...]
    changed: int = 0
    created_at_ms: int = 0

    @property
    def newest(self) -> SecretVersion:
        """The version that is in force."""
        return self.versions[-1]
