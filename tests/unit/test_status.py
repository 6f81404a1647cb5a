"""The status word of an app follows from the replicated state alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cluster.state.model import App, Health, Replica
from cluster.state.status import STATUSES, app_status, converged, count

APP = App(
    name="shop", document="{}", revision=7, running=False, replicas=2,
    created_at_ms=1, updated_at_ms=1,
)


def replica(health: Health, slot: int = 1, revision: int = 7) -> Replica:
    return Replica(slot, revision, f"c{slot}", f"shop.{slot}", "10.0.0.1", 80, "running", health)


TWO_HEALTHY = (replica("healthy", 1), replica("healthy", 2))
OLD = replica("healthy", 1, revision=3)


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, "registered"),
        ({"started_at_ms": 5}, "stopped"),
        ({"started_at_ms": 5, "reports": TWO_HEALTHY}, "stopping"),
        ({"deleting": True}, "stopping"),
        ({"running": True, "replicas": 0}, "running"),
        ({"running": True}, "starting"),
        ({"running": True, "reports": (replica("starting"),)}, "starting"),
        ({"running": True, "reports": TWO_HEALTHY}, "running"),
        ({"running": True, "reports": TWO_HEALTHY[:1]}, "starting"),
        ({"running": True, "reached": True, "reports": TWO_HEALTHY[:1]}, "running"),
        ({"running": True, "problem": "no image"}, "error"),
        ({"running": True, "problem": "slow", "reports": TWO_HEALTHY[:1]}, "starting"),
        ({"running": True, "reached": True, "reports": (replica("unhealthy"),)}, "error"),
        ({"running": True, "reports": (OLD,)}, "updating"),
        ({"running": True, "reached": True, "reports": (OLD, replica("starting", 2))}, "updating"),
    ],
)
def test_status(changes: dict[str, Any], status: str) -> None:
    """Each rule gives its word."""
    assert app_status(replace(APP, **changes)) == status


def test_count_names_every_status() -> None:
    """The counts add up, and a status that no app has is 0."""
    counts = count([APP, replace(APP, running=True, replicas=0)])
    assert counts["total"] == 2
    assert counts["registered"] == counts["running"] == 1
    assert sum(counts[status] for status in STATUSES) == 2
    assert counts["error"] == 0


def test_converged_means_exactly_the_wanted_replicas() -> None:
    """Neither a missing, nor a surplus, nor an unhealthy replica counts as converged."""
    app = replace(APP, running=True, reports=TWO_HEALTHY)
    assert converged(app)
    assert not converged(replace(app, replicas=1))
    assert not converged(replace(app, replicas=3))
    assert not converged(replace(app, running=False))
    assert not converged(replace(app, reports=(TWO_HEALTHY[0], replica("starting", 2))))
