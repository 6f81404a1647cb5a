"""A deployment that has failed and is not rolled back: it stays as it is, and does not spread."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cluster.control.rollout import Limits, Seen, hold
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.model import Place, Revision
from cluster.state.status import app_status, settled
from tests.unit.test_held_rollouts import there
from tests.unit.test_reconcile import Leader
from tests.unit.test_restarts import begin, live, shop, spec, told, update
from tests.unit.test_rollout import APP, AT_FIRST, OLD, ROLLING, new, old, wants

BROKEN = new(1, healthy_s=None)
FAILED = replace(AT_FIRST, phase="failed", new=(1,))
HEALTHY = Revision(OLD, "{}", OLD, 0, healthy=True)
RECREATE = Limits(0, 3, at_once=True)
OWN = Limits(0, 1, exclusive=True)


def of(replicas: int, *seen: list[Seen]) -> tuple[int, list[Seen]]:
    """How many are wanted, and what is there."""
    return replicas, [one for some in seen for one in some]


@pytest.mark.parametrize(("case", "places", "limits", "expected"), [
    pytest.param(of(3, old(1, 2, 3), BROKEN), wants(1, 2, 3), ROLLING,
                 ((1,), wants(1, 2, 3)), id="it stays as it is"),
    pytest.param(of(3, old(1, 2, 3), new(1)), wants(1, 2, 3), ROLLING,
                 ((1,), wants(1, 2, 3)), id="also where one more serves"),
    pytest.param(of(4, old(1, 2, 3), BROKEN), wants(1, 2, 3), ROLLING,
                 ((1,), wants(1, 2, 3, 4)), id="an old one is added, in place of no broken one"),
    pytest.param(of(5, old(2, 3), new(1)), wants(2, 3), ROLLING,
                 ((1,), wants(2, 3, 4, 5)), id="beside new ones that serve"),
    pytest.param(of(4, old(2, 3), BROKEN), wants(2, 3), Limits(0, 1),
                 ((1,), wants(2, 3, 4)), id="not more than may run"),
    pytest.param(of(4, old(2, 3), BROKEN, [Seen(OLD, 4, leaves=True)]), wants(2, 3), Limits(0, 1),
                 ((1,), wants(2, 3, 4)), id="one that has not left yet stays"),
    pytest.param(of(2, old(1, 2, 3), BROKEN), wants(1, 2, 3), ROLLING,
                 ((1,), wants(1, 2)), id="the highest leaves"),
    pytest.param(of(1, old(3), new(1, 2)), wants(3), ROLLING,
                 ((1,), wants(3)), id="the new ones leave first"),
    pytest.param(of(0, old(1, 2, 3), BROKEN), wants(1, 2, 3), ROLLING, ((), ()), id="none"),
    pytest.param(of(2, []), (), ROLLING, ((1,), wants(2, 3)), id="of the last healthy revision"),
    pytest.param(of(5, old(1, 2, 3)), wants(1, 2, 3), RECREATE,
                 ((1,), wants(1, 2, 3)), id="recreate: no two revisions at once"),
    pytest.param(of(4, old(2, 3), BROKEN, [Seen(OLD, 1, ended=True)]), wants(2, 3), OWN,
                 ((1,), wants(2, 3)), id="own volumes: not before it is removed"),
    pytest.param(of(4, old(2, 3), BROKEN), wants(2, 3), OWN,
                 ((1,), wants(2, 3, 4)), id="own volumes: another slot"),
])
def test_which_replicas_are_wanted(
    case: tuple[int, list[Seen]], places: tuple[Place, ...], limits: Limits,
    expected: tuple[tuple[int, ...], tuple[Place, ...]],
) -> None:
    """Whatever the number of replicas, none of the revision that failed is added."""
    replicas, seen = case
    slots = tuple(sorted({1, *(one.slot for one in seen if one.template != OLD)}))
    found = hold(
        replace(APP, replicas=replicas, revisions=(HEALTHY,)),
        replace(FAILED, old=places, new=slots), seen, limits, min_healthy_s=5)
    assert (found.new, found.old) == expected


def test_without_a_healthy_revision_none_is_added() -> None:
    """Nothing is known that would serve."""
    found = hold(APP, replace(FAILED, old=()), BROKEN, ROLLING, min_healthy_s=5)
    assert (found.new, found.old) == ((1,), ())


def failed(replicas: int = 3, **deploy: Any) -> Leader:
    """A shop whose update has failed, and is not rolled back."""
    leader = Leader()
    begin(leader, spec(), replicas)
    live(leader, 10)
    leader.engine.behaviours["shop:2"] = ImageBehaviour(healthy=False)
    broken = json.loads(spec(image="shop:2"))
    broken["deploy"] |= {"autoRollback": False, "progressDeadlineSeconds": 5, **deploy}
    update(leader, json.dumps(broken))
    live(leader, 25)
    rollout = shop(leader).rollout
    assert rollout is not None
    assert rollout.phase == "failed"
    return leader


def test_the_number_of_replicas_is_followed_by_healthy_ones() -> None:
    """More, fewer, none, and one again: no more of the failed revision than there were."""
    leader = failed()
    assert there(leader) == [("shop:1", 1), ("shop:1", 2), ("shop:1", 3), ("shop:2", 1)]
    for wanted in (5, 2):
        leader.do(c.ScaleApp("shop", wanted, 300))
        live(leader, 12)
        assert [one for one in there(leader) if one[0] == "shop:1"] == [
            ("shop:1", slot) for slot in range(1, wanted + 1)]
        rollout = shop(leader).rollout
        assert rollout is not None
        assert rollout.new == (1,)
        assert settled(shop(leader)), "another number is taken at once"
        assert app_status(shop(leader)) == "error"
    leader.do(c.ScaleApp("shop", 0, 0))
    live(leader, 12)
    assert there(leader) == []
    leader.do(c.ScaleApp("shop", 2, 0))
    live(leader, 12)
    assert there(leader) == [("shop:1", 1), ("shop:1", 2)]


def test_an_update_that_mends_it_replaces_all() -> None:
    """Also what was added since it failed."""
    leader = failed()
    leader.do(c.ScaleApp("shop", 5, 0))
    live(leader, 12)
    update(leader, spec(image="shop:3"))
    live(leader, 120)
    assert shop(leader).rollout is None
    assert len({one.revision for one in leader.engine.containers()}) == 1
    assert len(leader.engine.containers()) == 5


def test_what_stopped_all_before_never_runs_two_revisions() -> None:
    """The number of replicas waits for whoever decides."""
    leader = failed(strategy="recreate")
    leader.do(c.ScaleApp("shop", 5, 0))
    for _ in range(15):
        live(leader, 1)
        assert {image for image, _ in there(leader)} <= {"shop:2"}
    leader.do(c.RollBackApp("shop"))
    live(leader, 30)
    assert [one for one in there(leader) if one[0] == "shop:1"] == [
        ("shop:1", slot) for slot in range(1, 6)]


def test_a_canary_that_failed_keeps_its_share_and_no_more() -> None:
    """Old ones are added, and the weight stays."""
    leader = failed(4, strategy="canary", steps=[{"weight": 25, "pauseSeconds": 1}])
    assert [one for one in there(leader) if one[0] == "shop:2"] == [("shop:2", 1)]
    leader.do(c.ScaleApp("shop", 5, 0))
    live(leader, 12)
    assert [one for one in there(leader) if one[0] == "shop:1"] == [
        ("shop:1", slot) for slot in range(1, 6)]


def test_the_event_has_as_many_last_lines_as_that_of_a_crash_loop() -> None:
    """Of the replica that kept it from going on."""
    leader = Leader()
    begin(leader, spec())
    live(leader, 10)
    slow = json.loads(spec(image="shop:2"))
    slow["deploy"] |= {"minHealthySeconds": 60, "progressDeadlineSeconds": 5}
    update(leader, json.dumps(slow))
    live(leader, 2)
    for one in leader.engine.containers():
        leader.engine.say(one.id, *(f"line {number}".encode() for number in range(30)))
    live(leader, 10)
    (event,) = told(leader, "failed: no progress")
    assert dict(event.details)["lines"] == tuple(f"line {number}" for number in range(10, 30))
