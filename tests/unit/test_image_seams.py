"""Images beside jobs, pre-deploy jobs and the cleaner: what none of them sees by itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cluster.control.image_cleaner import KEY
from cluster.engine.base import EngineError, PullOrder
from cluster.engine.docker_format import EXIT_CODE_CUT_OFF
from cluster.engine.docker_images import refusal
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.status import converged
from orchestry.admission import full_name
from tests.sim.parts import SimWorkers
from tests.templates import key_of
from tests.unit.test_images import DOWN, SHOP, app_of, begin, change, made_from, text
from tests.unit.test_reconcile import Leader
from tests.unit.test_run_images import register_job

GONE = EngineError("image_missing", f"image {SHOP} is not in registry registry.example")


def until(leader: Leader, is_so: Callable[[], bool]) -> None:
    """Wait for something, a minute at most."""
    for _ in range(1_200):
        if is_so():
            return
        leader.run(0.05)
    raise AssertionError("it did not come to that")


def with_pre(value: str) -> str:
    """The shop with a job before each deployment, whose registry is always asked."""
    found: dict[str, Any] = json.loads(text(policy="Always"))
    found["spec"]["environment"] = [{"name": "A", "value": value}]
    found["deploy"] = {"pre": {"command": ["migrate"]}, "minHealthySeconds": 0}
    return json.dumps(found)


@pytest.mark.parametrize("replicas", [3, 0])
def test_what_never_had_an_image_is_not_started_by_an_update(replicas: int) -> None:
    """Neither from what its name stands for here, nor before the job that prepares it.

    One without replicas has all that it wants, before it wants more.
    """
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.pull(PullOrder(SHOP))
    wanted = leader.engine.images.push(SHOP, "two")
    leader.engine.images.refuse[SHOP] = DOWN
    first, second = with_pre("1"), with_pre("2")
    leader.do(c.RegisterApp("shop", first, 1, template_key=key_of(first)),
              c.StartApp("shop", replicas))
    leader.run(5)
    if not replicas:
        leader.do(c.ScaleApp("shop", 3, 1))
        leader.run(5)
    leader.do(c.UpdateApp("shop", second, key_of(second), 1))
    leader.run(5)
    assert not leader.engine.containers()
    assert app_of(leader).problem == DOWN.reason
    del leader.engine.images.refuse[SHOP]
    leader.run(20)
    assert converged(app_of(leader))
    assert made_from(leader) == {wanted.id}
    assert [(one.kind, one.revision) for one in leader.log.state().runs.values()
            if one.phase == "succeeded"] == [("pre", app_of(leader).revision)]


def test_replicas_that_are_added_to_none_wait_for_the_job_as_well() -> None:
    """An app that was started without any has had no healthy one."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.behaviours[SHOP] = ImageBehaviour(run_s=30)
    found = with_pre("1")
    leader.do(c.RegisterApp("shop", found, 1, template_key=key_of(found)), c.StartApp("shop", 0))
    leader.run(5)
    leader.do(c.ScaleApp("shop", 3, 1))
    leader.run(5)
    assert [one.run > 0 for one in leader.engine.containers()] == [True]
    leader.run(40)
    assert converged(app_of(leader))


def test_a_job_without_its_image_tells_so_once() -> None:
    """However often it is due: each run tries at once, and fails with the reason."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.refuse[SHOP] = GONE
    register_job(leader)
    for _ in range(6):
        leader.do(c.TriggerJob("nightly", 60, 0))
        leader.run(5)
    runs = leader.log.state().runs.values()
    assert [(run.phase, run.reason) for run in runs] == [("failed", GONE.reason)] * 6
    told = [event.message for event in leader.log.state().events]
    assert sum("No image" in one for one in told) == 1
    assert sum("Pulling" in one for one in told) == 1


def test_a_rollback_does_not_rely_on_an_image_that_is_just_being_removed() -> None:
    """What was begun before the rollback takes it away: the old replicas wait for another pull."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    leader.do(c.SetConfig((("images.keep_revisions", 0),)))
    deploy: dict[str, Any] = {"strategy": "recreate", "minHealthySeconds": 0}
    begin(leader, **deploy)
    for image in ("registry.example/team/shop:2", "registry.example/team/shop:3"):
        leader.engine.images.push(image, image)
        change(leader, image=image, **deploy)
        leader.run(10)
        assert converged(app_of(leader))
    workers = leader.parts.workers
    assert isinstance(workers, SimWorkers)
    workers.lane_longest_s["image"] = 20.0
    until(leader, lambda: workers.running(KEY) == 1)
    workers.lane_longest_s |= {"image": 0.0, "start": 60.0}
    leader.engine.images.refuse[full_name(first.digests[0])] = DOWN
    leader.do(c.RollBackApp("shop", app_of(leader).revisions[0].revision))
    before = made_from(leader)
    until(leader, lambda: first.id in leader.engine.images.removed)
    leader.run(5)
    assert made_from(leader) == before
    assert app_of(leader).problem.startswith(DOWN.reason)
    leader.engine.images.refuse.clear()
    leader.run(120)
    assert made_from(leader) == {first.id}


def test_what_still_runs_has_not_ended() -> None:
    """One that is told as exited, but is only cut off, keeps those that replace it waiting."""
    leader = Leader()
    deploy: dict[str, Any] = {"strategy": "recreate", "minHealthySeconds": 0}
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.push("registry.example/team/shop:2", "two")
    begin(leader, **deploy)
    before = {one.id for one in leader.engine.containers()}
    workers = leader.parts.workers
    assert isinstance(workers, SimWorkers)
    workers.lane_longest_s["stop"] = 10_000.0
    for record in leader.engine._records.values():
        record.container = replace(
            record.container, phase="exited", still_runs=True, exit_code=EXIT_CODE_CUT_OFF)
    change(leader, image="registry.example/team/shop:2", **deploy)
    leader.run(10)
    assert {one.id for one in leader.engine.containers()} == before


@pytest.mark.parametrize(("said", "fault"), [
    ("failed to register layer: write /usr/lib/x: no space left on device", "no_resources"),
    ("toomanyrequests: You have reached your pull rate limit", "registry_down"),
])
def test_a_full_disk_is_not_the_registry(said: str, fault: str) -> None:
    """Its owner is told what to do about it."""
    found = refusal(PullOrder(SHOP), said)
    assert found.fault == fault
    assert ("make room" in found.reason) == (fault == "no_resources")
