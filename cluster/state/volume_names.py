"""Which volumes are an app's: those that its specs name, and have named since it was registered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import lru_cache

from cluster.state.model import App, Revision

PAST_MAX = 256
EACH = "-*"
"""Ends the name of a volume of which each slot has its own; no name has such a character."""


def volume_name(app: str, name: str, slot: int = 0) -> str:
    """The Docker volume that a spec's volume is; `slot` is 0 for one that all replicas share."""
    return f"orchestry-{app}-{name}" + (f"-{slot}" if slot else "")


def names_volume(app: App, volume: str) -> bool:
    """Whether a replica may mount it by now, or after a rollback or with more replicas."""
    return any(
        volume == volume_name(app.name, name) or _slot_of(app, name, volume)
        for name in _named(app))


def goes_with(app: App, volume: str) -> bool:
    """Whether it is removed with its app: its specs name it, and of each slot's own, the app had
    so many replicas. What an earlier app left, and this one never took, is not its to remove.
    """
    return any(
        volume == volume_name(app.name, name)
        or 0 < _slot_of(app, name, volume) <= app.slots_used
        for name in _named(app))


def document_names(document: str, app: str, volume: str) -> bool:
    """Whether a replica made from this spec may mount the volume."""
    return names_volume(App(app, document, 0, False, 0, 0, 0), volume)


def past_volumes(app: App, revisions: Iterable[Revision]) -> tuple[str, ...]:
    """What the app's revisions name that are not among these, which are to be the known ones.

    Of too many, the first are not known any more: they stay on the host.
    """
    known = {one.revision for one in revisions}
    found = dict.fromkeys(app.past_volumes)
    for one in app.revisions:
        if one.revision not in known:
            found.update(dict.fromkeys(sorted(volumes_of(one.document))))
    return tuple(found)[-PAST_MAX:]


def volumes_of(document: str) -> frozenset[str]:
    """The volumes that a stored document names, those of each slot with EACH.

    Not by way of the parser: steps ask, and all versions must find the same in a spec that only
    the newest of them understands.
    """
    return _read(document) if '"volumes"' in document else frozenset()


@lru_cache(4096)
def _read(document: str) -> frozenset[str]:
    try:
        return frozenset(
            f"{one['name']}{EACH if one.get('perReplica') else ''}"
            for one in json.loads(document)["spec"].get("volumes") or ())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return frozenset()


def _named(app: App) -> frozenset[str]:
    return volumes_of(app.document).union(
        app.past_volumes, *(volumes_of(one.document) for one in app.revisions))


def _slot_of(app: App, name: str, volume: str) -> int:
    """The slot whose own volume it is; 0 when it is none of these."""
    if not name.endswith(EACH):
        return 0
    begin = volume_name(app.name, name.removesuffix("*"))
    rest = volume.removeprefix(begin) if volume.startswith(begin) else ""
    return int(rest) if rest.isascii() and rest.isdigit() and len(rest) < 10 else 0
