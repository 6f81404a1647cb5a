"""What the leader's loops make of a changed configuration, in virtual time."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from cluster import config
from cluster.config.effective import Effective
from cluster.control.follow import Follower, set_log_level
from cluster.state import commands as c
from cluster.state.model import ClusterState
from tests.unit.test_reconcile import Leader, start


def configure(leader: Leader, **changes: Any) -> None:
    """Change keys, `__` for the dot."""
    found = tuple((path.replace("__", "."), value) for path, value in changes.items())
    leader.do(c.SetConfig(found, dict(found).get("ingress.domain") or ""))


def rounds(leader: Leader, app: str, seconds: float) -> int:
    """How often an app is measured in this time."""
    before = len(leader.parts.telemetry.records(app))
    leader.run(seconds)
    return len(leader.parts.telemetry.records(app)) - before


def test_the_measuring_interval_changes_between_two_rounds() -> None:
    """Faster, slower and back, and a long wait for the next round ends."""
    leader = Leader()
    leader.run(1)
    start(leader, "shop", 1)
    leader.run(5)
    assert rounds(leader, "shop", 20) == pytest.approx(10, abs=1)
    configure(leader, scaling__default_check_interval=0.5)
    assert rounds(leader, "shop", 20) == pytest.approx(40, abs=8)
    configure(leader, scaling__default_check_interval=60)
    leader.run(1)
    assert rounds(leader, "shop", 120) == pytest.approx(2, abs=1)
    now_ms = leader.clock.wall_ms()
    assert leader.parts.telemetry.latest("shop", now_ms) is not None
    configure(leader, scaling__default_check_interval=None)
    assert rounds(leader, "shop", 20) == pytest.approx(9, abs=1)


def test_default_health_checks_change_without_a_restart() -> None:
    """Another threshold and period hold at once for what runs; no container is touched."""
    leader = Leader()
    leader.run(1)
    bare = json.dumps({
        "apiVersion": "v1", "kind": "App", "metadata": {"name": "shop"},
        "spec": {"image": "shop:1", "ports": [{"containerPort": 80}]}})
    leader.do(c.RegisterApp("shop", bare, 1), c.StartApp("shop", 3))
    leader.run(30)
    ids = set(leader.parts.fleet.containers)
    assert {r.health for r in leader.parts.fleet.records.values()} == {"healthy"}
    revision = leader.log.state().apps["shop"].revision
    configure(leader, health__default_check_interval=3_000)
    leader.run(30)
    checks = {i: r.checks for i, r in leader.parts.fleet.records.items()}
    leader.run(60)
    assert {i: r.checks for i, r in leader.parts.fleet.records.items()} == checks
    configure(leader, health__default_check_interval=1)
    leader.run(10)
    assert all(r.checks >= checks[i] + 5 for i, r in leader.parts.fleet.records.items())
    assert set(leader.parts.fleet.containers) == ids
    assert leader.log.state().apps["shop"].revision == revision


def test_the_domain_of_apps_without_hosts() -> None:
    """The ingress gets new routes at once, and the old ones back."""
    leader = Leader()
    leader.run(1)
    start(leader, "shop", 1)
    leader.run(3)

    def hosts() -> tuple[str, ...]:
        table = leader.ingress.table
        assert table is not None
        return table.routes[0].hosts

    assert hosts() == ("shop.localhost",)
    configure(leader, ingress__domain="x.org")
    leader.run(1)
    assert hosts() == ("shop.x.org",)
    configure(leader, ingress__domain=None)
    leader.run(1)
    assert hosts() == ("shop.localhost",)


def starting(leader: Leader) -> set[str]:
    """Apps with a start under way."""
    return {name for name in ("a", "b", "c", "d") if leader.parts.workers.running(f"start:{name}:")}


def test_starts_of_too_many_apps_wait() -> None:
    """At most so many apps start containers at once; each has its turn; 0 is no limit."""
    leader = Leader(longest_s=1.0)
    leader.run(1)
    configure(leader, scaling__max_concurrent_scales=2)
    leader.run(0.2)
    for name in ("a", "b", "c", "d"):
        start(leader, name, 4)
    seen: set[str] = set()
    for _ in range(200):
        leader.run(0.05)
        now = starting(leader)
        assert len(now) <= 2
        seen |= now
    assert seen == {"a", "b", "c", "d"}
    leader.run(5)
    assert len(leader.parts.fleet.containers) == 16
    configure(leader, scaling__max_concurrent_scales=None)
    leader.do(*(c.ScaleApp(name, 8, 60) for name in ("a", "b", "c", "d")))
    most = 0
    for _ in range(40):
        leader.run(0.05)
        most = max(most, len(starting(leader)))
    assert most == 4


def test_a_repair_does_not_wait_for_the_starts_of_others() -> None:
    """A replica that died is replaced while another app uses the only place up."""
    leader = Leader()
    leader.run(1)
    start(leader, "b", 1)
    leader.run(3)
    configure(leader, scaling__max_concurrent_scales=1)
    leader.parts.workers.lane_longest_s["start"] = 10_000.0
    start(leader, "a", 1)
    leader.run(1)
    assert starting(leader) == {"a"}
    leader.parts.workers.lane_longest_s.clear()
    dead = next(one for one in leader.engine.containers() if one.app == "b")
    leader.engine.kill(dead.id)
    leader.run(5)
    assert starting(leader) == {"a"}
    running = [o for o in leader.engine.containers() if o.app == "b" and o.phase == "running"]
    assert len(running) == 1
    start(leader, "c", 1)
    leader.run(5)
    assert starting(leader) == {"a"}
    assert not [one for one in leader.engine.containers() if one.app == "c"]


def test_the_level_of_the_log_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Left alone until it is changed; set on every controller, and set back."""
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.CRITICAL)
    level = Follower(
        Effective(config.load({"ORCHESTRY_LOG_LEVEL": "warning"})), set_log_level)
    level.follow(ClusterState())
    assert root.level == logging.CRITICAL
    changed = ClusterState(config=ClusterState().config.set("controller.log_level", "debug"))
    level.follow(changed)
    assert root.level == logging.DEBUG
    level.follow(ClusterState())
    assert root.level == logging.WARNING
