"""Commands about volumes of applications; see cluster.state.commands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameVolumes:
    """Leader: these volumes of an app that is being deleted go now.

    `after` is how many were named before, so that none is counted twice.
    """

    app: str
    revision: int
    after: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoveVolume:
    """Remove a volume that a deleted app left behind; `app` is the one that had it."""

    name: str
    app: str


@dataclass(frozen=True, slots=True)
class EndVolumeRemoval:
    """Leader: the volume is gone, or stays because of `problem`.

    `removal` is the log index of the removal that this ends.
    """

    name: str
    removal: int
    problem: str = ""
