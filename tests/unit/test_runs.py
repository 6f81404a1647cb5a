"""Runs: what the leader keeps of one, when it gives one up, and how one ends that is stopped."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from cluster.consensus.local_log import LocalLog
from cluster.control.run_plan import START_MAX_S, Facts, next_of
from cluster.engine.base import Container
from cluster.engine.docker_format import (
    LABEL_APP,
    LABEL_FILES,
    LABEL_REVISION,
    LABEL_RUN,
    LABEL_SLOT,
    Details,
    container,
)
from cluster.engine.fake_parts import ImageBehaviour
from cluster.sealing import Keyring
from cluster.state import commands as c
from cluster.state.model import ClusterState, Run
from orchestry.spec.parse import SpecError, parse_app
from tests.sim.parts import SimController
from tests.unit.test_reconcile import Leader
from tests.unit.test_restarts import KEY, begin, live, spec
from tests.unit.test_rollout_steps import Shop

WORK = Run(7, "shop", "run", 1, 60, 0)
MADE = Container("x", "shop.run7.c", "shop", 0, 1, 1, "created", run=7)


def job(**parts: Any) -> dict[str, Any]:
    """The document of a job; `parts` are keys of its `spec`."""
    return {"apiVersion": "v1", "kind": "Job", "metadata": {"name": "tick"},
            "spec": {"image": "tick:1", **parts}, "job": {"schedule": "* * * * *"}}


def with_keys(*keys: bytes) -> Leader:
    """A leader with those keys, and a shop with two secrets."""
    leader = Leader()
    leader.parts.crash()
    leader.log = LocalLog("c1")
    leader.parts = SimController(
        "c1", leader.log, leader.clock, random.Random(1), engine=leader.engine,
        ingress=leader.ingress, keys=keys)
    key_id, sealed = Keyring([KEY]).seal("db", 1, {"value": "correct-horse"})
    leader.do(c.SetSecret("db", 1, key_id, ("value",), sealed))
    leader.engine.behaviours["shop:1"] = ImageBehaviour(run_s=None)
    begin(leader, spec(environment=[
        {"name": "DB", "source": "secret", "key": "db"},
        {"name": "API_TOKEN", "value": "tok-123456"}]))
    return leader


def the_run(state: ClusterState) -> Run:
    """The only one."""
    (run,) = state.runs.values()
    return run


@pytest.mark.parametrize("how", ["ends", "is stopped"])
def test_the_last_lines_of_a_run_show_no_secret(how: str) -> None:
    """Neither one from the store nor a variable that is called like one."""
    leader = with_keys(KEY)
    leader.do(c.RequestRun("shop", ("work",), 60))
    live(leader, 3)
    run = the_run(leader.log.state())
    assert run.phase == "running"
    leader.engine.say(run.container_id, b"using correct-horse and tok-123456")
    if how == "ends":
        leader.engine.kill(run.container_id)
    else:
        leader.do(c.CancelRun("shop", run.id))
    live(leader, 5)
    run = the_run(leader.log.state())
    assert run.phase == ("failed" if how == "ends" else "cancelled")
    assert "using ******** and ********" in run.lines
    assert all("correct-horse" not in str(event) for event in leader.log.state().events)


def test_of_a_run_whose_secrets_cannot_be_opened_no_line_is_kept() -> None:
    """What cannot be read cannot be hidden."""
    leader = with_keys(KEY)
    leader.do(c.RequestRun("shop", ("work",), 60))
    live(leader, 3)
    run = the_run(leader.log.state())
    leader.engine.say(run.container_id, b"using correct-horse")
    leader.parts.crash()
    leader.parts = SimController(
        "c1", leader.log, leader.clock, random.Random(1), engine=leader.engine,
        ingress=leader.ingress)
    leader.engine.kill(run.container_id)
    live(leader, 8)
    run = the_run(leader.log.state())
    assert (run.phase, run.lines) == ("failed", ())


def test_a_key_that_is_missing_is_waited_for_and_not_for_ever() -> None:
    """The next leader may have it."""
    leader = with_keys()
    leader.do(c.RequestRun("shop", ("work",), 60))
    live(leader, 20)
    assert the_run(leader.log.state()).phase == "waiting"
    live(leader, START_MAX_S, 0.5)
    run = the_run(leader.log.state())
    assert run.phase == "failed"
    assert run.reason.startswith("it could not be started: ")


@pytest.mark.parametrize("facts", [Facts(refused="no such image"), Facts(waited_s=START_MAX_S)])
def test_a_container_that_cannot_be_started_is_given_up(facts: Facts) -> None:
    """It is removed first; what was made, but never ran, has failed."""
    assert next_of(WORK, MADE, Facts()).act == "start"
    assert next_of(WORK, MADE, facts).act == "stop"
    ended = next_of(WORK, None, facts)
    assert (ended.act, ended.outcome) == ("end", "failed")


def test_a_container_that_is_of_no_use_is_ended_before_its_run() -> None:
    """Told as exited, it may run still: its run is over when it is gone."""
    labels = {LABEL_APP: "shop", LABEL_SLOT: "0", LABEL_REVISION: "1", LABEL_RUN: "7",
              LABEL_FILES: "1"}
    networks = {"n": {"NetworkID": "n", "IPAddress": "10.0.0.2"}}
    parts: dict[str, Any] = {
        "labels": labels, "networks": networks, "network_id": "n", "unproven": True}
    known = Details(1, 2, 3, oom_killed=False, error="")
    runs = container("x", "shop.run7.c", status="running", details=known, **parts)
    ended = container("x", "shop.run7.c", status="exited", details=known, **parts)
    assert runs is not None
    assert ended is not None
    assert (runs.phase, runs.still_runs, ended.still_runs) == ("exited", True, False)
    assert next_of(WORK, runs, Facts(was_there=True)).act == "stop"
    assert next_of(WORK, ended, Facts(was_there=True)).act == "read"
    told = Facts(was_there=True, unfit=runs.error)
    assert next_of(WORK, None, told).act == "nothing"
    gone = next_of(WORK, None, replace(told, is_gone=True))
    assert (gone.act, gone.outcome, gone.reason) == ("end", "failed", runs.error)


@pytest.mark.parametrize("policy", ["cancel", "Replace"])
def test_a_run_that_is_stopped_is_not_tried_again(policy: str) -> None:
    """Though the leader saw it fail before it knew of that."""
    shop = Shop()
    shop.do(c.RegisterApp("tick", json.dumps(job()), 0))
    shop.do(c.TriggerJob("tick", 60, 3))
    run = the_run(shop.state)
    if policy == "cancel":
        shop.do(c.CancelRun("tick", run.id))
    else:
        app = shop.state.apps["tick"]
        shop.do(c.FireJob("tick", app.revision, app.created_at_ms + 1, "Replace", 60, 0))
    before = set(shop.state.runs)
    shop.do(c.EndRun(run.id, "failed", 1, "exited with code 1"))
    ended = shop.state.runs[str(run.id)]
    assert (ended.phase, ended.reason, ended.exit_code) == ("cancelled", "by request", 1)
    assert set(shop.state.runs) == before


def test_a_run_that_took_too_long_is_tried_again_whatever_it_ended_with() -> None:
    """Its time was up before it ended."""
    shop = Shop()
    shop.do(c.RegisterApp("tick", json.dumps(job()), 0))
    shop.do(c.TriggerJob("tick", 60, 1))
    run = the_run(shop.state)
    shop.do(c.StepRun(run.id, "x", "tick.run", 1, timed_out=True))
    shop.do(c.EndRun(run.id, "failed", 1, "exited with code 1"))
    assert shop.state.runs[str(run.id)].phase == "timed_out"
    assert [one.attempt for one in shop.state.runs.values() if not one.is_over] == [2]


def test_a_job_has_secret_files_and_no_volumes_of_replicas() -> None:
    """The latter would be left out of its runs: they are refused."""
    found = parse_app(job(secretFiles=[{"name": "pw", "key": "db"}]))
    assert [(one.name, one.key) for one in found.secret_files] == [("pw", "db")]
    volume = {"name": "data", "mountPath": "/data"}
    assert parse_app(job(volumes=[volume])).volumes[0].name == "data"
    with pytest.raises(SpecError) as refused:
        parse_app(job(volumes=[volume | {"perReplica": True}]))
    assert "spec.volumes must not have perReplica in a Job" in str(refused.value.problems[0])


def test_a_deployment_tells_of_its_job() -> None:
    """When it begins and when it has succeeded, among the steps of the rollout."""
    leader = Leader()
    made = json.loads(spec())
    begin(leader, json.dumps(made), 1)
    live(leader, 5)
    made["deploy"]["pre"] = {"command": ["migrate"]}
    made["spec"]["image"] = "shop:2"
    text = json.dumps(made)
    leader.do(c.UpdateApp("shop", text, "other", 1))
    live(leader, 10)
    app = leader.log.state().apps["shop"]
    notes = [note.text for note in (app.rollout or app.deployments[-1]).notes]
    run = the_run(leader.log.state())
    assert f"its pre-deploy job (run {run.id}) begins" in notes
    assert f"its pre-deploy job (run {run.id}) succeeded" in notes
