"""What hangs of runs and volumes is set aside, too: everything else goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api import views_runs
from cluster.control.quarantine import TRIAL_FIRST_S
from cluster.control.run_plan import START_MAX_S
from cluster.control.runs import AT_ONCE_MAX
from cluster.engine.base import EngineError
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.model import Run
from cluster.state.status import converged
from tests.unit.test_held_rollouts import held, with_pre
from tests.unit.test_reconcile import Leader
from tests.unit.test_restarts import begin, live, shop, spec, told, update

TIMEOUT = EngineError("timeout", "Docker did not answer within 10 s")


def run_of(leader: Leader, app: str) -> Run:
    """The newest run of an app."""
    return max((one for one in leader.log.state().runs.values() if one.app == app),
               key=lambda one: one.id)


def two_apps() -> Leader:
    """A shop and another app, whose runs take for ever, or a moment."""
    leader = Leader()
    leader.engine.behaviours["shop:1"] = ImageBehaviour(run_s=None)
    begin(leader, spec(), 1)
    begin(leader, spec(name="other", image="other:1"), 1, name="other")
    live(leader, 5)
    return leader


def calls_of(leader: Leader, monkeypatch: pytest.MonkeyPatch, verb: str, app: str) -> list[float]:
    """When the engine was asked to start, or to stop, something of an app, which hangs."""
    asked: list[float] = []
    real = getattr(leader.engine, verb)

    def hangs(what: Any, **kwargs: Any) -> Any:
        found = what if verb == "run" else next(
            (o for o in leader.engine.containers() if o.id == what), None)
        if found is not None and found.app == app and found.run:
            asked.append(leader.clock.now_s)
            raise TIMEOUT
        return real(what, **kwargs)

    monkeypatch.setattr(leader.engine, verb, hangs)
    return asked


def test_a_deployment_does_not_wait_for_ever_for_the_job_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that cannot be stopped ends the time of the next deployment, which says why."""
    leader = held(ImageBehaviour(run_s=None))
    assert calls_of(leader, monkeypatch, "stop", "shop") == []
    update(leader, with_pre("shop:3", progressDeadlineSeconds=20))
    live(leader, 15)
    rollout = shop(leader).rollout
    assert rollout is not None
    assert rollout.phase == "running"
    live(leader, 15)
    rollout = shop(leader).rollout
    assert rollout is not None
    assert (rollout.phase, rollout.reason) == (
        "failed", "no progress in 20 s: the pre-deploy job of the deployment before has not ended")


def test_runs_that_cannot_be_started_are_tried_ever_more_seldom(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Thirty that hang: few calls, an event; replicas and the runs of others do not wait."""
    leader = two_apps()
    with monkeypatch.context() as patch:
        asked = calls_of(leader, patch, "run", "shop")
        for _ in range(20):
            leader.do(c.RequestRun("shop", ("work",), 60))
        leader.do(c.RequestRun("other", ("work",), 60), c.ScaleApp("other", 3, 30),
                  c.ScaleApp("shop", 2, 30))
        live(leader, 60)
        assert run_of(leader, "other").phase == "succeeded"
        assert converged(leader.log.state().apps["other"])
        assert converged(shop(leader))
        assert told(leader, "hangs: it is set aside")
        assert len(asked) <= 20 * 5
        assert not leader.parts.fleet.quarantine.reason
    live(leader, 60)
    begun = [one for one in leader.log.state().runs.values() if one.phase == "running"]
    assert len(begun) == AT_ONCE_MAX


def test_a_start_that_never_answers_is_no_failure_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may have begun: nobody knows, and it is not tried again."""
    leader = two_apps()
    calls_of(leader, monkeypatch, "run", "shop")
    leader.do(c.RequestRun("shop", ("work",), 60))
    live(leader, START_MAX_S + 20, 0.5)
    run = run_of(leader, "shop")
    assert (run.phase, run.reason) == (
        "lost", f"nobody knows whether it was started: {TIMEOUT.reason}")


def test_a_run_that_waits_for_its_turn_says_so() -> None:
    """Others have all places."""
    leader = two_apps()
    for _ in range(AT_ONCE_MAX):
        leader.do(c.RequestRun("shop", ("work",), 60))
    live(leader, 5)
    leader.do(c.RequestRun("other", ("work",), 60))
    live(leader, 5)
    state = leader.log.state()
    found = views_runs.run(
        run_of(leader, "other"), state.apps["other"], running=views_runs.running(state))
    assert (found["status"], found["reason"]) == (
        "waiting", f"it waits for its turn: {AT_ONCE_MAX} others run")


def test_runs_that_cannot_be_stopped_take_nobodys_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as may run at once hang; the next ones run all the same."""
    leader = two_apps()
    for _ in range(AT_ONCE_MAX):
        leader.do(c.RequestRun("shop", ("work",), 60))
    live(leader, 5)
    for run in leader.log.state().runs.values():
        assert run.phase == "running"
        leader.do(c.CancelRun("shop", run.id))
    with monkeypatch.context() as patch:
        asked = calls_of(leader, patch, "stop", "shop")
        leader.do(c.RequestRun("other", ("work",), 60))
        live(leader, 60)
        assert run_of(leader, "other").phase == "succeeded"
        assert len(asked) <= AT_ONCE_MAX * 5
    live(leader, 130)
    assert {one.phase for one in leader.log.state().runs.values() if one.app == "shop"} == {
        "cancelled"}


def test_an_engine_in_quarantine_gets_one_run_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of two apps that hang count like replicas that do."""
    leader = two_apps()
    asked: list[float] = []

    def hangs(*_: Any, **__: Any) -> Any:
        asked.append(leader.clock.now_s)
        raise TIMEOUT

    with monkeypatch.context() as patch:
        patch.setattr(leader.engine, "run", hangs)
        for app in ("shop", "other") * 5:
            leader.do(c.RequestRun(app, ("work",), 60))
        live(leader, TRIAL_FIRST_S)
        assert leader.parts.fleet.quarantine.reason
        before = len(asked)
        live(leader, 60)
        assert len(asked) - before <= 6
    live(leader, 60)
    assert told(leader, "out of quarantine")
    assert run_of(leader, "other").phase == "succeeded"


def with_volumes(name: str, *volumes: str) -> str:
    """An app with volumes."""
    return json.dumps(json.loads(spec(name=name, image="shop:1")) | {"spec": {
        **json.loads(spec(name=name, image="shop:1"))["spec"],
        "volumes": [{"name": one, "mountPath": f"/{one}"} for one in volumes]}})


def names(leader: Leader) -> set[str]:
    """The volumes that are there."""
    return {one.name for one in leader.engine.volumes(leader.log.state().cluster_id)}


def test_volumes_that_hang_keep_no_other_from_being_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor other deletions, replicas and runs; those that hang are tried ever more seldom."""
    leader = two_apps()
    stuck = [f"a{number}" for number in range(12)]
    begin(leader, with_volumes("data", *stuck, "z"), 1, name="data")
    begin(leader, with_volumes("gone", "x"), 1, name="gone")
    live(leader, 5)
    leader.do(c.DeleteApp("data", keep_data=True))
    live(leader, 5)
    assert "data" not in leader.log.state().apps
    asked: list[str] = []
    real = leader.engine.remove_volume

    def remove(cluster_id: str, name: str, **kwargs: Any) -> None:
        if name.startswith("orchestry-data-a"):
            asked.append(name)
        real(cluster_id, name, **kwargs)

    monkeypatch.setattr(leader.engine, "remove_volume", remove)
    leader.engine.hanging |= {f"orchestry-data-{one}" for one in stuck}
    for one in (*stuck, "z"):
        leader.do(c.RemoveVolume(f"orchestry-data-{one}", "data"))
    leader.do(c.DeleteApp("gone"), c.RequestRun("other", ("work",), 60))
    live(leader, 60)
    assert names(leader) == {f"orchestry-data-{one}" for one in stuck}
    assert "gone" not in leader.log.state().apps
    assert run_of(leader, "other").phase == "succeeded"
    assert len(asked) <= len(stuck) * 5
    assert told(leader, "Removing volume orchestry-data-a")
    leader.engine.hanging.clear()
    live(leader, 200, 0.2)
    assert names(leader) == set()


def test_an_app_whose_volume_hangs_is_deleted_once_it_answers() -> None:
    """Until then its problem says what hangs."""
    leader = Leader()
    begin(leader, with_volumes("data", "x"), 1, name="data")
    live(leader, 5)
    leader.engine.hanging.add("orchestry-data-x")
    leader.do(c.DeleteApp("data"))
    live(leader, 30)
    assert "told to hang" in leader.log.state().apps["data"].problem
    assert told(leader, "Removing the volumes of data hangs")
    leader.engine.hanging.clear()
    live(leader, 70)
    assert "data" not in leader.log.state().apps
    assert names(leader) == set()


