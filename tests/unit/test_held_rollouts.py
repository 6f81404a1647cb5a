"""A deployment whose pre-deploy job runs or failed: what serves follows the number of replicas."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cluster.control.rollout import Seen, follow
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.model import App, Revision, Rollout
from cluster.state.status import settled
from tests.unit.test_reconcile import Leader
from tests.unit.test_restarts import begin, live, shop, spec, update

OLD, NEW, FIRST = 5, 9, 3


def with_pre(image: str, *, roll_back: bool = False, **deploy: Any) -> str:
    """The shop with a job before each deployment."""
    made = json.loads(spec(image=image))
    made["deploy"] |= {"pre": {"command": ["migrate"]}, "autoRollback": roll_back, **deploy}
    return json.dumps(made)


def held(behaviour: ImageBehaviour, replicas: int = 3) -> Leader:
    """A shop whose update waits for its job, or has failed by it."""
    leader = Leader()
    begin(leader, with_pre("shop:1"), replicas)
    live(leader, 10)
    leader.engine.behaviours["shop:2"] = behaviour
    update(leader, with_pre("shop:2"))
    live(leader, 3)
    return leader


def there(leader: Leader) -> list[tuple[str, int]]:
    """The replicas that run, by image and slot."""
    state = leader.log.state()
    old = state.apps["shop"].revisions[0].template
    return sorted(
        ("shop:1" if o.revision == old else "shop:2", o.slot)
        for o in leader.engine.containers() if not o.run and o.phase == "running")


def ones(*slots: int) -> list[tuple[str, int]]:
    """Old replicas."""
    return [("shop:1", slot) for slot in slots]


@pytest.mark.parametrize(("behaviour", "phase"), [
    (ImageBehaviour(run_s=None), "running"), (ImageBehaviour(run_exit_code=9), "failed")])
def test_the_number_of_replicas_is_followed_by_old_ones(
    behaviour: ImageBehaviour, phase: str
) -> None:
    """More, fewer, none, and more again; the highest numbers leave, and none of the new starts."""
    leader = held(behaviour)
    for wanted in (5, 2, 0, 4):
        leader.do(c.ScaleApp("shop", wanted, 1))
        live(leader, 10)
        rollout = shop(leader).rollout
        assert rollout is not None
        assert (rollout.phase, rollout.wanted, rollout.new) == (phase, wanted, ())
        assert there(leader) == ones(*range(1, wanted + 1))
        assert settled(shop(leader))


def test_another_scale_is_taken_once_the_one_before_is_done() -> None:
    """Though the deployment that failed is never over by itself, and a job takes its time."""
    for behaviour in (ImageBehaviour(run_s=None), ImageBehaviour(run_exit_code=9)):
        leader = held(behaviour)
        leader.do(c.ScaleApp("shop", 4, 300))
        assert not settled(shop(leader))
        live(leader, 10)
        leader.do(c.ScaleApp("shop", 1, 300))
        live(leader, 10)
        assert there(leader) == ones(1)


def test_old_replicas_that_die_come_back() -> None:
    """While the job runs and after it failed."""
    for behaviour in (ImageBehaviour(run_s=None), ImageBehaviour(run_exit_code=9)):
        leader = held(behaviour)
        victim = next(o for o in leader.engine.containers() if o.slot == 2)
        leader.engine.kill(victim.id)
        live(leader, 5)
        assert there(leader) == ones(1, 2, 3)
        assert victim.id not in {o.id for o in leader.engine.containers()}


def test_the_deployment_goes_on_with_the_new_number() -> None:
    """Once its job has succeeded; the old ones that were added go like all others."""
    leader = held(ImageBehaviour(run_s=30))
    leader.do(c.ScaleApp("shop", 5, 1))
    live(leader, 10)
    assert there(leader) == ones(1, 2, 3, 4, 5)
    live(leader, 120)
    assert there(leader) == [("shop:2", slot) for slot in range(1, 6)]
    assert shop(leader).deployments[-1].phase == "done"


def test_a_failed_job_goes_back_with_the_number_of_now() -> None:
    """Nothing is replaced for it."""
    leader = held(ImageBehaviour(run_s=20, run_exit_code=9))
    before = {o.id for o in leader.engine.containers() if not o.run}
    leader.do(c.ScaleApp("shop", 2, 1))
    update(leader, with_pre("shop:2", roll_back=True))
    live(leader, 60)
    app = shop(leader)
    assert [(one.kind, one.phase) for one in app.deployments][-2:] == [
        ("update", "failed"), ("rollback", "done")]
    assert {o.id for o in leader.engine.containers() if not o.run} < before
    assert there(leader) == ones(1, 2)


def test_while_the_image_is_missing_old_replicas_are_added() -> None:
    """A bad tag keeps nobody from scaling out."""
    leader = Leader()
    begin(leader, spec(), 2)
    live(leader, 10)
    leader.engine.behaviours["shop:2"] = ImageBehaviour(missing=True)
    update(leader, spec(image="shop:2"))
    live(leader, 3)
    leader.do(c.ScaleApp("shop", 4, 1))
    live(leader, 10)
    assert there(leader) == ones(1, 2, 3, 4)


APP = App(name="shop", document="{}", revision=NEW, running=True, replicas=3, created_at_ms=0,
          updated_at_ms=0)


def seen(template: int, *slots: int, healthy_s: float | None = 60.0) -> list[Seen]:
    """Replicas of a template."""
    return [Seen(template, slot, healthy_s) for slot in slots]


@pytest.mark.parametrize(("old", "there", "expected"), [
    pytest.param([(OLD, 1)], seen(OLD, 1), [(OLD, 1), (OLD, 2), (OLD, 3)], id="added"),
    pytest.param([(FIRST, 2), (FIRST, 3), (OLD, 1)],
                 seen(FIRST, 2, 3) + seen(OLD, 1, healthy_s=None),
                 [(FIRST, 2), (FIRST, 3), (OLD, 1)], id="a mixture stays"),
    pytest.param([(FIRST, 3), (OLD, 1)], seen(FIRST, 3) + seen(OLD, 1, healthy_s=None),
                 [(FIRST, 2), (FIRST, 3), (OLD, 1)], id="of what serves"),
    pytest.param([(FIRST, 1), (FIRST, 2), (FIRST, 3), (OLD, 1)], seen(FIRST, 1, 2, 3)
                 + seen(OLD, 1), [(FIRST, 1), (FIRST, 2), (FIRST, 3)], id="one too many"),
    pytest.param([(OLD, slot) for slot in (1, 2, 3, 4)], seen(OLD, 1, 2)
                 + seen(OLD, 3, 4, healthy_s=0.0), [(OLD, slot) for slot in (1, 2, 3, 4)],
                 id="too few have proved themselves"),
    pytest.param([(OLD, 1), (OLD, 2)], seen(OLD, 1, 2) + seen(FIRST, 3),
                 [(OLD, 1), (OLD, 2), (OLD, 4)], id="no number of one that is there still"),
])
def test_which_old_ones_are_wanted(
    old: list[tuple[int, int]], there: list[Seen], expected: list[tuple[int, int]]
) -> None:
    """Of several templates that which serves best."""
    rollout = Rollout(NEW, "update", OLD, 0, old=tuple(old))
    found = follow(APP, rollout, there, min_healthy_s=5)
    assert (found.new, list(found.old)) == ((), expected)


@pytest.mark.parametrize(("there", "at_once", "expected"), [
    ([], False, [(OLD, 1), (OLD, 2), (OLD, 3)]),
    ([], True, [(OLD, 1), (OLD, 2), (OLD, 3)]),
    (seen(FIRST, 1, 2), False, [(OLD, 3), (OLD, 4), (OLD, 5)]),
    (seen(FIRST, 1, 2), True, []),
    ([Seen(FIRST, 1, ended=True)], True, [(OLD, 2), (OLD, 3), (OLD, 4)]),
])
def test_no_two_revisions_run_at_once_where_the_strategy_forbids_it(
    there: list[Seen], at_once: bool, expected: list[tuple[int, int]]
) -> None:
    """What leaves still has to be gone before older ones come back."""
    app = replace(APP, revisions=(Revision(OLD, "{}", OLD, 0, healthy=True),))
    found = follow(app, Rollout(NEW, "update", OLD, 0), there, min_healthy_s=5, at_once=at_once)
    assert (found.new, list(found.old)) == ((), expected)


def test_none_of_the_revision_that_waits_is_added_though_some_of_it_serve() -> None:
    """They are from before an update that came between."""
    rollout = Rollout(NEW, "update", OLD, 0, new=(1, 2), old=((OLD, 3),))
    found = follow(
        replace(APP, replicas=5), rollout, seen(OLD, 3) + seen(NEW, 1, 2), min_healthy_s=5)
    assert (found.new, list(found.old)) == ((1, 2), [(OLD, 3), (OLD, 4), (OLD, 5)])


@pytest.mark.parametrize(("there", "expected"), [
    (seen(NEW, 1), ((1,), [(OLD, 2), (OLD, 3)])),
    ([Seen(NEW, 1, ended=True)], ((), [(OLD, 2), (OLD, 3), (OLD, 4)])),
    ([], ((), [(OLD, 1), (OLD, 2), (OLD, 3)])),
])
def test_a_new_replica_that_is_gone_is_an_old_one_until_its_job_is_done(
    there: list[Seen], expected: tuple[tuple[int, ...], list[tuple[int, int]]]
) -> None:
    """It is from before an update that came between, and its job runs again."""
    rollout = Rollout(NEW, "update", OLD, 0, new=(1,), old=((OLD, 2), (OLD, 3)))
    found = follow(APP, rollout, seen(OLD, 2, 3) + there, min_healthy_s=5)
    assert (found.new, list(found.old)) == expected
