"""Replicas by what users call them; pure."""

from __future__ import annotations

from collections.abc import Sequence

from cluster.state.model import Replica

ID_PREFIX_MIN = 6


def replica_name(app: str, replica: Replica) -> str:
    """What users call a replica; the engine's own name also tells revision and cluster."""
    return name_of_slot(app, replica.slot)


def name_of_slot(app: str, slot: int) -> str:
    """The name of the replica in a slot."""
    return f"{app}-{slot}"


def is_named(app: str, replica: Replica, wanted: str) -> bool:
    """Is `wanted` its name, its container's name or the beginning of its container's id?"""
    if wanted in (replica_name(app, replica), replica.container_name):
        return True
    return len(wanted) >= ID_PREFIX_MIN and replica.container_id.startswith(wanted)


def chosen(replicas: Sequence[Replica], slot: int | None) -> Replica | None:
    """The replica in which a command is to run: one that runs, of `slot` if that is given.

    Healthy ones come first, then those of the newest revision, then the first slot.
    """
    running = [one for one in replicas if one.phase == "running" and slot in (None, one.slot)]
    return min(
        running, key=lambda one: (one.health != "healthy", -one.revision, one.slot), default=None)
