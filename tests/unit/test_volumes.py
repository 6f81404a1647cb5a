"""Volumes of deleted apps: named in the state, then removed, and counted once."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest

from cluster.state import commands as c
from cluster.state.model import App, Revision
from cluster.state.revisions import REVISIONS_MAX
from cluster.state.volume_names import (
    PAST_MAX,
    goes_with,
    names_volume,
    past_volumes,
    volumes_of,
)
from cluster.state.volumes import NAMED_MAX, REMOVALS_MAX
from tests.sim.fleet_world import document
from tests.sim.parts import SimController
from tests.unit.test_reconcile import Leader


def with_volumes(app: str, *names: str, own: bool = False) -> str:
    """A spec with volumes; `own` gives each replica its own."""
    found = json.loads(document(app))
    found["spec"]["volumes"] = [
        {"name": name, "mountPath": f"/{name}", "perReplica": own} for name in names]
    return json.dumps(found)


def there(leader: Leader) -> list[str]:
    """The names of all volumes on the host."""
    return [one.name for one in leader.engine.volumes(leader.log.state().cluster_id)]


def begin(*names: str, own: bool = False, replicas: int = 1) -> Leader:
    """A leader whose app has run."""
    leader = Leader()
    leader.do(c.RegisterApp("shop", with_volumes("shop", *names, own=own), 1),
              c.StartApp("shop", replicas))
    leader.run(5)
    return leader


def removed(leader: Leader) -> list[int]:
    """What the events of deletions tell."""
    return [dict(event.details)["volumes_removed"] for event in leader.log.state().events
            if event.message == "Application deleted"]


def test_volumes_go_with_their_app_and_with_nothing_else() -> None:
    """Scale-in, stop, another spec and a deletion that keeps data leave them."""
    leader = begin("data", own=True, replicas=3)
    names = [f"orchestry-shop-data-{slot}" for slot in (1, 2, 3)]
    assert there(leader) == names
    leader.do(c.ScaleApp("shop", 1, 30))
    leader.run(5)
    leader.do(c.UpdateApp("shop", document("shop"), "other", 1))
    leader.run(10)
    leader.do(c.StopApp("shop"))
    leader.run(5)
    leader.do(c.DeleteApp("shop", keep_data=True))
    leader.run(5)
    assert "shop" not in leader.log.state().apps
    assert there(leader) == names


def test_what_an_earlier_app_left_goes_only_with_one_that_names_it() -> None:
    """And of each slot's own volumes only those of slots that the later app had."""
    leader = begin("data", own=True, replicas=3)
    names = there(leader)
    leader.do(c.DeleteApp("shop", keep_data=True))
    leader.run(5)
    leader.do(c.RegisterApp("shop", with_volumes("shop", "other"), 1), c.StartApp("shop", 2))
    leader.run(5)
    leader.do(c.DeleteApp("shop"))
    leader.run(5)
    assert there(leader) == names
    leader.do(c.RegisterApp("shop", with_volumes("shop", "data", own=True), 1),
              c.DeleteApp("shop"))
    leader.run(5)
    assert there(leader) == names
    leader.do(c.RegisterApp("shop", with_volumes("shop", "data", own=True), 1),
              c.StartApp("shop", 2), c.ScaleApp("shop", 1, 1))
    leader.run(5)
    leader.do(c.DeleteApp("shop"))
    leader.run(5)
    assert there(leader) == names[2:]
    assert [dict(event.details)["removed_volumes"] for event in leader.log.state().events
            if event.message == "Application deleted"] == [
                (), ("orchestry-shop-other",), (), tuple(names[:2])]


def test_what_a_revision_named_that_is_no_more_known_goes_with_its_app() -> None:
    """However many revisions came since; what none named stays."""
    leader = begin("data")
    for number in range(REVISIONS_MAX + 2):
        leader.do(c.UpdateApp("shop", json.dumps({
            **json.loads(document("shop")), "termination": {"drainSeconds": number}}), "k", 1))
        leader.run(0 if number else 20)  # healthy, and so no revision before it is needed
    app = leader.log.state().apps["shop"]
    assert app.past_volumes == ("data",)
    assert goes_with(app, "orchestry-shop-data")
    assert not goes_with(app, "orchestry-shop-data-1")
    leader.run(20)
    leader.do(c.DeleteApp("shop"))
    leader.run(5)
    assert there(leader) == []


@pytest.mark.parametrize(("volume", "named", "goes"), [
    ("orchestry-shop-data", True, True), ("orchestry-shop-own-1", True, True),
    ("orchestry-shop-own-3", True, False), ("orchestry-shop-own", False, False),
    ("orchestry-shop-own-", False, False), ("orchestry-shop-own-0", False, False),
    ("orchestry-shop-own-x1", False, False), ("orchestry-shop-own-1-1", False, False),
    ("orchestry-shop-own-²", False, False), ("orchestry-shop-data-1", False, False),
    ("orchestry-blog-data", False, False), ("data", False, False),
])
def test_whose_volume_it_is(volume: str, named: bool, goes: bool) -> None:
    """By its name alone, and by how many replicas the app had."""
    spec = json.loads(document("shop"))
    spec["spec"]["volumes"] = [
        {"name": "data", "mountPath": "/d"}, {"name": "own", "mountPath": "/o", "perReplica": True}]
    app = App("shop", json.dumps(spec), 1, True, 1, 1, 1, slots_used=2)
    assert (names_volume(app, volume), goes_with(app, volume)) == (named, goes)


@pytest.mark.parametrize("text", ['"volumes"', '{"volumes"', '{"spec":{"volumes":[1]}}',
                                  '{"spec":{"volumes":{"a":1}}}', '{"spec":1,"volumes":2}'])
def test_what_cannot_be_read_names_no_volume(text: str) -> None:
    """So none of them is removed."""
    assert volumes_of(text) == frozenset()


def test_names_of_past_volumes_are_bounded() -> None:
    """The last ones are known; what else there was stays on the host."""
    past = tuple(
        Revision(number, with_volumes("shop", f"v{number}"), number, 1)
        for number in range(PAST_MAX + 5))
    app = App("shop", document("shop"), 999, True, 1, 1, 1, revisions=past)
    found = past_volumes(app, past[-1:])
    assert (len(found), found[-1]) == (PAST_MAX, f"v{PAST_MAX + 3}")
    assert past_volumes(replace(app, past_volumes=("v0",)), past) == ("v0",)


def test_a_volume_of_an_earlier_app_may_be_removed_beside_a_later_one() -> None:
    """Not while that names it; and it names none that is being removed."""
    leader = left_behind()
    leader.do(c.RegisterApp("shop", document("shop"), 1))
    leader.engine.down = True
    leader.do(c.RemoveVolume("orchestry-shop-data", "shop"))
    naming = c.UpdateApp("shop", with_volumes("shop", "data"), "k", 1)
    refused = leader.log.submit(naming, c.Stamp(1, "user", "one")).applied
    assert "orchestry-shop-data" in str(refused.details)
    leader.do(c.UpdateApp("shop", with_volumes("shop", "more"), "k", 1))
    leader.engine.down = False
    leader.run(5)
    assert there(leader) == []
    leader.do(naming)
    refused = leader.log.submit(
        c.RemoveVolume("orchestry-shop-data", "shop"), c.Stamp(1, "user", "two")).applied
    assert "belongs to" in str(refused.details)


def test_more_volumes_than_are_named_at_once_are_all_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One after the other, in bounded entries of the log."""
    monkeypatch.setattr("cluster.control.volumes.NAMED_MAX", 2)
    leader = begin("a", "b", "c", "d", "e")
    leader.do(c.DeleteApp("shop"))
    leader.run(5)
    assert there(leader) == []
    assert removed(leader) == [5]
    assert NAMED_MAX == 256


@pytest.mark.parametrize("after_effect", [False, True])
def test_what_docker_refuses_is_done_later(after_effect: bool) -> None:
    """The app stays, with the reason, until the engine has removed all; they are counted once."""
    leader = begin("data", "more")
    leader.do(c.StopApp("shop"))
    leader.run(5)
    leader.do(c.DeleteApp("shop"))
    while not leader.log.state().apps["shop"].volumes_named:
        leader.run(0.05)
    leader.engine.fail_next("timeout", "no answer", after_effect=after_effect)
    leader.run(10)
    assert there(leader) == []
    assert removed(leader) == [2]


def test_a_successor_ends_what_was_named_and_counts_the_same() -> None:
    """The leader dies after it has removed one of two."""
    leader = begin("data", "more")
    leader.do(c.StopApp("shop"))
    leader.run(5)
    leader.do(c.DeleteApp("shop"))
    while not leader.log.state().apps["shop"].volumes_named:
        leader.run(0.05)
    cluster_id = leader.log.state().cluster_id
    leader.engine.remove_volume(cluster_id, "orchestry-shop-data")
    successor = SimController(
        "c1", leader.log, leader.clock, random.Random(2), engine=leader.engine,
        ingress=leader.ingress)
    for _ in range(200):
        leader.clock.now_s += 0.05
        successor.driver.step()
    assert "shop" not in leader.log.state().apps
    assert there(leader) == []
    assert removed(leader) == [2]


def test_a_deletion_that_has_begun_to_remove_keeps_nothing_any_more() -> None:
    """A second request for the same app cannot undo what the first one did."""
    leader = begin("data")
    leader.do(c.StopApp("shop"))
    leader.run(5)
    leader.do(c.DeleteApp("shop"))
    while not leader.log.state().apps["shop"].volumes_named:
        leader.run(0.05)
    leader.do(c.DeleteApp("shop", keep_data=True))
    leader.run(5)
    assert there(leader) == []
    assert removed(leader) == [1]


def test_a_late_naming_counts_nothing_twice() -> None:
    """Neither of another revision, nor of what was named before, nor of an app that stays."""
    leader = begin("data")
    app = leader.log.state().apps["shop"]
    leader.do(c.NameVolumes("shop", app.revision, 0, ("x",)))
    assert leader.log.state().apps["shop"].volumes_named == 0
    leader.do(c.DeleteApp("shop"), c.NameVolumes("shop", app.revision, 0, ("x",)),
              c.NameVolumes("shop", app.revision, 0, ("y",)), c.NameVolumes("shop", 99, 1, ("z",)))
    app = leader.log.state().apps["shop"]
    assert (app.leaving_volumes, app.volumes_named) == (("x",), 1)


def left_behind() -> Leader:
    """A volume whose app was deleted with its data kept."""
    leader = begin("data")
    leader.do(c.DeleteApp("shop", keep_data=True))
    leader.run(5)
    assert there(leader) == ["orchestry-shop-data"]
    return leader


def test_what_an_app_left_is_removed_when_it_is_asked_for() -> None:
    """By whoever leads then, as soon as the engine answers."""
    leader = left_behind()
    leader.engine.down = True
    leader.run(3)
    leader.do(c.RemoveVolume("orchestry-shop-data", "shop"),
              c.RemoveVolume("orchestry-shop-data", "shop"))
    leader.run(5)
    assert len(leader.log.state().volume_removals) == 1
    leader.engine.down = False
    leader.run(5)
    assert there(leader) == []
    assert not leader.log.state().volume_removals
    assert leader.log.state().events[-1].message == "Volume removed"


def test_what_somebody_has_again_stays_and_the_reason_is_told() -> None:
    """The removal is over then, and another may be asked for."""
    leader = left_behind()
    leader.engine.fail_next("rejected", "volume is in use")
    leader.do(c.RemoveVolume("orchestry-shop-data", "shop"))
    leader.run(5)
    event = leader.log.state().events[-1]
    assert (event.message, dict(event.details)["problem"]) == (
        "Volume not removed", "volume is in use")
    assert not leader.log.state().volume_removals
    assert there(leader) == ["orchestry-shop-data"]


def test_a_timeout_is_no_answer() -> None:
    """What became of the removal is found out by asking again."""
    leader = left_behind()
    leader.engine.fail_next("timeout", "no answer", after_effect=True)
    leader.do(c.RemoveVolume("orchestry-shop-data", "shop"))
    leader.run(5)
    assert leader.log.state().events[-1].message == "Volume removed"


def test_removals_are_bounded() -> None:
    """No more wait at once than there is room for."""
    leader = left_behind()
    leader.engine.down = True
    leader.do(*(c.RemoveVolume(f"orchestry-gone-{n}", "gone") for n in range(REMOVALS_MAX)))
    refused = leader.log.submit(
        c.RemoveVolume("orchestry-shop-data", "shop"), c.Stamp(1, "user", "one more"))
    assert "try again later" in str(refused.applied.details)
    assert "volumes" in str(leader.log.submit(
        c.RestorePart("x", 0, 1, "c", 1, 1), c.Stamp(1, "user", "two")).applied.details).lower()
