"""Runs, pre-deploy jobs and jobs wait for the image that is pinned to their template."""

from __future__ import annotations

import json

from api.views_runs import run as view
from cluster.control import run_plan
from cluster.engine.base import EngineError
from cluster.state import commands as c
from cluster.state.images import pin_of
from cluster.state.model import Run
from cluster.state.status import converged
from tests.templates import key_of
from tests.unit.test_images import DOWN, SHOP, app_of, begin, change, made_from, text, waits_for
from tests.unit.test_reconcile import Leader

GONE = EngineError("image_missing", f"image {SHOP} is not in registry registry.example")
DENIED = EngineError("unauthorized", f"registry registry.example does not give out {SHOP}")
PRE = {"command": ["migrate"], "timeoutSeconds": 5}


def register(leader: Leader) -> None:
    """The shop, which does not run."""
    found = text()
    leader.do(c.RegisterApp("shop", found, 1, template_key=key_of(found)))
    leader.run(2)


def register_job(leader: Leader, image: str = SHOP) -> None:
    """A job that runs by request."""
    leader.do(c.RegisterApp("nightly", json.dumps({
        "apiVersion": "v1", "kind": "Job", "metadata": {"name": "nightly"},
        "spec": {"image": image, "command": ["/clean"]}, "job": {}}), 0))
    leader.run(2)


def ask(leader: Leader, seconds: float = 10) -> Run:
    """One more run of the shop, some time later."""
    leader.do(c.RequestRun("shop", ("work",), 60))
    leader.run(seconds)
    return last(leader)


def last(leader: Leader) -> Run:
    """The newest run."""
    return max(leader.log.state().runs.values(), key=lambda run: run.id)


def images_of_runs(leader: Leader) -> list[str]:
    """The ids of the images of all containers that run once."""
    return [leader.engine.made_from(one.id) for one in leader.engine.containers() if one.run]


def test_a_run_of_an_app_that_does_not_run_pulls_its_image() -> None:
    """Nothing is pulled before; the app's replicas are made from the same one later."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    register(leader)
    assert leader.engine.images.pulled == []
    assert ask(leader).phase == "succeeded"
    assert images_of_runs(leader) == [first.id]
    leader.engine.images.push(SHOP, "two")
    leader.do(c.StartApp("shop", 2))
    leader.run(5)
    assert made_from(leader) == {first.id}
    assert ask(leader).phase == "succeeded"
    assert set(images_of_runs(leader)) == {first.id}


def test_a_run_says_what_it_waits_for_and_goes_on_when_the_registry_is_back() -> None:
    """It has no container until then, and one afterwards."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.refuse[SHOP] = DOWN
    register(leader)
    run = ask(leader)
    assert (run.phase, images_of_runs(leader)) == ("waiting", [])
    assert view(run, app_of(leader))["reason"] == DOWN.reason
    del leader.engine.images.refuse[SHOP]
    leader.run(15)
    assert last(leader).phase == "succeeded"
    assert view(last(leader), app_of(leader))["reason"] is None
    assert len(images_of_runs(leader)) == 1


def test_a_run_shows_the_pull_that_it_waits_for() -> None:
    """Until its image is there."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.parts.workers.lane_longest_s["pull"] = 10_000.0
    register(leader)
    run = ask(leader)
    assert run.phase == "waiting"
    assert view(run, app_of(leader), waits=waits_for(leader))["reason"] == (
        f"image {SHOP} is being pulled")


def test_a_registry_that_stays_away_ends_a_run_in_time() -> None:
    """With its last reason, and no earlier than other starts that go wrong."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.refuse[SHOP] = DOWN
    register(leader)
    assert ask(leader, run_plan.START_MAX_S - 5).phase == "waiting"
    leader.run(10)
    run = last(leader)
    assert (run.phase, run.reason) == ("failed", f"it could not be started: {DOWN.reason}")
    leader.run(2)
    assert app_of(leader).problem == "", "nobody waits for it any more"


def test_a_pull_that_is_refused_for_good_ends_a_run_at_once_and_the_next_one_tries_anew() -> None:
    """What the registry said of the run before says nothing about this one."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    register(leader)
    for refusal in (GONE, DENIED):
        leader.engine.images.refuse[SHOP] = refusal
        run = ask(leader)
        assert (run.phase, run.reason) == ("failed", refusal.reason)
    leader.engine.images.refuse.clear()
    assert ask(leader).phase == "succeeded"


def test_an_image_that_the_host_has_lost_is_pulled_again_for_a_run() -> None:
    """The very same one, though the tag has moved on."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    register(leader)
    assert ask(leader).phase == "succeeded"
    leader.engine.images.push(SHOP, "two")
    leader.engine.images.lose(first.id)
    leader.run(40)
    assert ask(leader, 10).phase == "succeeded"
    assert set(images_of_runs(leader)) == {first.id}


def test_a_missing_image_is_no_failure_of_a_replica() -> None:
    """No attempt is counted for it, and nothing is in quarantine."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    begin(leader, replicas=1)
    leader.engine.images.refuse[first.digests[0]] = DOWN
    (replica,) = leader.engine.containers()
    leader.engine.kill(replica.id)
    leader.engine.images.lose(first.id)
    leader.run(60)
    app = app_of(leader)
    assert (app.failures, [one.looping for one in app.attempts]) == (1, [False]), "the kill alone"
    assert DOWN.reason in app.problem
    assert leader.parts.fleet.quarantine.reason == ""
    leader.engine.images.refuse.clear()
    leader.run(90)
    assert converged(app_of(leader))
    assert app_of(leader).failures == 1
    assert made_from(leader) == {first.id}


def test_the_image_of_a_job_is_there_before_its_first_run() -> None:
    """Though it has no replicas; each run of it is made from that one."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    register_job(leader)
    leader.run(2)
    app = app_of(leader, "nightly")
    pin = pin_of(app, app.made_from)
    assert pin is not None
    assert pin.image_id == first.id
    leader.engine.images.push(SHOP, "two")
    leader.do(c.TriggerJob("nightly", 60, 0))
    leader.run(10)
    assert last(leader).phase == "succeeded"
    assert images_of_runs(leader) == [first.id]
    assert len(leader.engine.images.pulled) == 1


def test_a_job_tries_its_image_anew_for_each_run() -> None:
    """A trigger does not wait for what an earlier failure has put off."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.refuse[SHOP] = DOWN
    register_job(leader)
    leader.run(120)
    assert app_of(leader, "nightly").problem == DOWN.reason
    leader.engine.images.refuse.clear()
    leader.do(c.TriggerJob("nightly", 60, 0))
    leader.run(10)
    assert last(leader).phase == "succeeded"
    assert app_of(leader, "nightly").problem == ""


def test_a_pre_deploy_job_begins_when_the_image_is_there() -> None:
    """A slow pull takes none of its time; no replica of the new revision starts before."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    begin(leader, pre=PRE)
    before = last(leader)
    second = leader.engine.images.push("registry.example/team/shop:2", "two")
    leader.engine.images.refuse["registry.example/team/shop:2"] = DOWN
    change(leader, image="registry.example/team/shop:2", pre=PRE, progressDeadlineSeconds=60)
    leader.run(20)
    assert last(leader).id == before.id
    leader.engine.images.refuse.clear()
    leader.run(90)
    run = last(leader)
    assert (run.kind, run.phase) == ("pre", "succeeded")
    assert converged(app_of(leader))
    assert made_from(leader) == {second.id}


def test_a_deployment_whose_pre_deploy_job_has_no_image_fails_in_time() -> None:
    """With the reason; the old replicas run on, and the old spec is back."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    begin(leader, pre=PRE)
    leader.run(20)
    assert converged(app_of(leader))
    before = {one.id for one in leader.engine.containers() if not one.run}
    typo = "registry.example/team/shop:typo"
    leader.engine.images.refuse[typo] = EngineError("image_missing", f"image {typo} is not there")
    leader.engine.images.push(typo, "typo")
    change(leader, image=typo, pre=PRE, progressDeadlineSeconds=20)
    leader.run(60)
    app = app_of(leader)
    assert app.rollout is None
    assert json.loads(app.document)["spec"]["image"] == SHOP
    assert f"image {typo} is not there" in app.deployments[-2].reason
    assert {one.id for one in leader.engine.containers() if not one.run} == before
