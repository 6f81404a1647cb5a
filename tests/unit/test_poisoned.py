"""An app that brings an error of ours to light: the loops go on for all others."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from tests.sim.fleet_world import document, update
from tests.unit.test_reconcile import Leader, start

BAD = "aaa"
"""The first by name, before all others in every loop."""
JOB = json.dumps({
    "apiVersion": "v1", "kind": "Job", "metadata": {"name": "tick"},
    "spec": {"image": "tick:1", "command": ["/tick"]}, "job": {"schedule": "* * * * *"}})
POINTS = (
    ("reconcile", "spec_for"), ("reconcile", "plan"), ("rollouts", "spec_for"),
    ("rollouts", "held"), ("health", "spec_for"), ("scaler", "spec_for"),
    ("ingress_sync", "route"), ("receipts", "spec_for"), ("report", "why_not_healthy"),
    ("report", "spec_for"), ("restarts", "spec_for"), ("image_needs", "spec_of_template"),
    ("runs", "next_of"), ("runs", "spec_for"), ("jobs", "spec_for"),
)


def about(values: tuple[Any, ...]) -> bool:
    """Whether a call is about the bad app."""
    return any(BAD in (getattr(one, "name", ""), getattr(one, "app", "")) for one in values)


def poison(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    """From now on a function fails when it is asked about the bad app."""
    of = importlib.import_module(f"cluster.control.{module}")
    before: Callable[..., Any] = getattr(of, name)

    def failing(*values: Any, **more: Any) -> Any:
        if about(values):
            raise ZeroDivisionError("a bug of ours")
        return before(*values, **more)

    monkeypatch.setattr(of, name, failing)


@pytest.mark.parametrize(("module", "name"), POINTS)
def test_others_go_on(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    """They start, are updated, reached, checked and told of; jobs run; the bad one is told of."""
    leader = Leader()
    leader.engine.behaviours["tick:1"] = ImageBehaviour(run_s=1.0)
    bad = document(BAD, pre={"command": ["/pre"]}) if module == "runs" else document(BAD)
    if module == "jobs":
        bad = JOB.replace("tick", BAD)
    leader.do(c.RegisterApp(BAD, bad, 1), c.RegisterApp("tick", JOB, 0))
    if module != "jobs":
        leader.do(c.StartApp(BAD, 1))
        leader.run(5)
    poison(monkeypatch, module, name)
    if module != "jobs":
        pre: dict[str, Any] = {"pre": {"command": ["/pre"]}} if module == "runs" else {}
        leader.do(c.RequestRun(BAD, ("work",), 60), update(BAD, f"{BAD}:2", **pre))
        leader.run(1)
    for one in leader.engine.containers():
        if one.app == BAD and not one.run:
            leader.engine.kill(one.id)
    start(leader, "shop", 2)
    leader.run(5)
    leader.do(update("shop", "shop:2"))
    if module != "jobs":
        leader.do(c.TriggerJob("tick", 60, 0))
    leader.run(70 if module == "jobs" else 15)
    state = leader.log.state()
    shop = state.apps["shop"]
    assert (shop.rollout, shop.good, len(shop.reports)) == (None, True, 2)
    assert {one.revision for one in shop.reports} == {shop.made_from}
    assert leader.ingress.table is not None
    assert [len(one.peers) for one in leader.ingress.table.routes if one.app == "shop"] == [2]
    assert [run.phase for run in state.runs.values() if run.app == "tick"][:1] == ["succeeded"]
    failures = sum(one.failures for one in leader.parts.driver.timings.values())
    assert failures > 0
    told = [event for event in state.events if "error of Orchestry itself" in event.message]
    assert {event.app for event in told} == {BAD}
    assert len(told) <= 2
