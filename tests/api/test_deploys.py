"""Updates over HTTP: plans, revisions, deployments, and who may steer them when."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.state.commands import EndRollout, ReportApp, StepRollout
from cluster.state.model import Canary
from tests.api.support import SPEC, Loops, Node, make, shop, spec

APP = "/api/v1/apps/shop"
OTHER_IMAGE = spec(spec={**SPEC["spec"], "image": "shop:2"})
OTHER_SCALING = spec(scaling={"minReplicas": 2, "maxReplicas": 7})


@pytest.fixture
def running() -> tuple[Node, FlaskClient]:
    """A node with one application, two replicas of which are healthy."""
    return shop("healthy", "healthy")


def updated(client: FlaskClient, document: Any = OTHER_IMAGE, **headers: str) -> Any:
    """The body of an update that is accepted."""
    answer = client.put(APP, json=document, headers=headers)
    assert answer.status_code == 200, answer.get_json()
    assert answer.headers["ETag"] == f'"{answer.get_json()["revision"]}"'
    return answer.get_json()


def test_an_update_registers_what_is_not_there() -> None:
    """PUT creates, updates, and says when there was nothing to change."""
    _, _, client = make()
    first = updated(client, SPEC)
    assert (first["status"], first["deployment"]) == ("created", None)
    assert client.get(APP).get_json()["status"] == "registered"
    assert updated(client, SPEC) == {**first, "status": "unchanged",
                                     "message": "Application already has this spec"}
    assert updated(client)["status"] == "updated"
    assert client.get(APP).get_json()["image"] == "shop:2"


def test_an_update_takes_yaml() -> None:
    """As a registration does."""
    _, _, client = make()
    text = ("apiVersion: v1\nkind: App\nmetadata:\n  name: shop\n"
            "spec:\n  image: shop:1\n  ports:\n  - containerPort: 80\n")
    answer = client.put(APP, data=text, content_type="application/yaml")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "created")


def test_another_image_begins_a_deployment(running: tuple[Node, FlaskClient]) -> None:
    """It is under way, with its replicas; the application is `updating`."""
    _, client = running
    answer = updated(client)
    assert answer["deployment"] == answer["revision"]
    assert client.get(APP).get_json()["status"] == "updating"
    found = client.get(f"{APP}/deployments/{answer['deployment']}").get_json()
    assert (found["kind"], found["phase"], found["wanted"]) == ("update", "running", 2)
    assert [(r["name"], r["role"], r["health"]) for r in found["replicas"]] == [
        ("shop-1", "old", "healthy"), ("shop-2", "old", "healthy")]
    listed = client.get(f"{APP}/deployments").get_json()
    assert (listed["total"], listed["deployments"][0]["id"]) == (1, answer["deployment"])


def test_steps_and_the_end_are_told(running: tuple[Node, FlaskClient]) -> None:
    """What the leader did and why; a deployment that is over stays readable."""
    node, client = running
    deployment = updated(client)["deployment"]
    node.submit(StepRollout("shop", deployment, 0, (1,), ((2, 1),), 0, 2, ("shop-1 starts",)))
    found = client.get(f"{APP}/deployments/{deployment}").get_json()
    assert found["steps"][-1]["message"] == "shop-1 starts"
    assert {"name": "shop-1", "revision": deployment, "role": "new", "status": "missing",
            "health": "starting", "reason": None} in found["replicas"]
    node.submit(EndRollout("shop", deployment, "done"))
    found = client.get(f"{APP}/deployments/{deployment}").get_json()
    assert (found["phase"], found["available"], found["replicas"]) == ("done", 2, [])
    assert found["ended_at"] is not None


def test_other_scaling_restarts_nothing(running: tuple[Node, FlaskClient]) -> None:
    """A new revision without a deployment that would replace something."""
    _, client = running
    before = client.get(APP).get_json()["revision"]
    answer = updated(client, OTHER_SCALING)
    assert answer["revision"] > before
    assert client.get(APP).get_json()["status"] == "running"
    found = client.get(f"{APP}/deployments/{answer['deployment']}").get_json()
    assert (found["phase"], found["steps"][0]["message"]) == (
        "done", "no replica has to be replaced")
    assert client.get(f"{APP}/scaling").get_json()["policy"]["max_replicas"] == 7


@pytest.mark.parametrize(("document", "rolls", "field"), [
    (OTHER_IMAGE, True, "spec.image"), (OTHER_SCALING, False, "scaling.maxReplicas"),
])
def test_a_dry_run_tells_the_plan_and_changes_nothing(
    running: tuple[Node, FlaskClient], document: Any, rolls: bool, field: str
) -> None:
    """The difference of the specs, and which replicas would start, stop and stay."""
    node, client = running
    before = node.log.state()
    answer = client.put(f"{APP}?dry_run=true", json=document).get_json()
    plan = answer["plan"]
    assert (answer["dry_run"], plan["rolls"]) == (True, rolls)
    assert [change["field"] for change in plan["changes"]] == [field]
    both = ["shop-1", "shop-2"]
    assert (plan["start"], plan["stop"], plan["keep"]) == (
        (both, both, []) if rolls else ([], [], both))
    assert node.log.state() is before


@pytest.mark.parametrize(("scaling", "start", "stop", "keep"), [
    ({"minReplicas": 4}, ["shop-3", "shop-4"], [], ["shop-1", "shop-2"]),
    ({"maxReplicas": 1}, [], ["shop-2"], ["shop-1"]),
    ({"minReplicas": 4, "mode": "manual"}, [], [], ["shop-1", "shop-2"]),
])
def test_a_dry_run_tells_what_the_autoscaler_will_do_at_once(
    running: tuple[Node, FlaskClient], scaling: Any, start: list[str], stop: list[str],
    keep: list[str],
) -> None:
    """Other bounds hold whatever the load; where users scale by hand nothing follows them."""
    _, client = running
    answer = client.put(f"{APP}?dry_run=true", json=spec(scaling=scaling)).get_json()
    plan = answer["plan"]
    assert (plan["rolls"], plan["start"], plan["stop"], plan["keep"]) == (
        False, start, stop, keep)


def test_a_dry_run_refuses_what_the_update_would(running: tuple[Node, FlaskClient]) -> None:
    """With the same code."""
    _, client = running
    answer = client.put(f"{APP}?dry_run=true", json=OTHER_IMAGE, headers={"If-Match": '"99"'})
    assert (answer.status_code, answer.get_json()["code"]) == (409, "CONFLICT")
    ghost = client.put(
        "/api/v1/apps/ghost?dry_run=true", json=spec("ghost"), headers={"If-Match": '"7"'})
    assert (ghost.status_code, ghost.get_json()["code"]) == (409, "CONFLICT")


def test_an_update_is_bound_to_key_and_revision(running: tuple[Node, FlaskClient]) -> None:
    """A repeat is not executed again; a stale revision changes nothing."""
    _, client = running
    headers = {"Idempotency-Key": "once"}
    first = updated(client, OTHER_IMAGE, **headers)
    assert updated(client, OTHER_IMAGE, **headers) == first
    assert client.put(APP, json=SPEC, headers=headers).status_code == 409
    stale = client.put(APP, json=SPEC, headers={"If-Match": f'"{first["revision"] - 1}"'})
    assert (stale.status_code, stale.get_json()["code"]) == (409, "CONFLICT")
    assert client.get(APP).get_json()["revision"] == first["revision"]


@pytest.mark.parametrize(("document", "field"), [
    (spec("other"), "metadata.name"),
    (spec(deploy={"strategy": "canary", "steps": [{"weight": 5}]},
          spec={**SPEC["spec"], "type": "tcp"}), "deploy.strategy"),
    (spec(spec={**SPEC["spec"], "color": "red"}), "spec.color"),
])
def test_bad_specs(document: Any, field: str) -> None:
    """Each fault with its path, and nothing is registered."""
    node, _, client = make()
    answer = client.put(APP, json=document)
    assert (answer.status_code, answer.get_json()["code"]) == (400, "INVALID_SPEC")
    assert [fault["field"] for fault in answer.get_json()["details"]] == [field]
    assert not node.log.state().apps


def test_revisions_and_the_way_back(running: tuple[Node, FlaskClient]) -> None:
    """Back to the last healthy revision, whose containers come back with it."""
    _, client = running
    first = client.get(APP).get_json()["revision"]
    second = updated(client)["revision"]
    answer = client.post(f"{APP}/rollback", json={})
    assert answer.status_code == 200
    third = answer.get_json()["revision"]
    assert third > second
    found = client.get(f"{APP}/revisions").get_json()
    assert [(r["revision"], r["healthy"], r["current"], r["image"], r["template"], r["cause"])
            for r in found["revisions"]] == [
        (third, False, True, "shop:1", first, f"rolled back to revision {first}"),
        (second, False, False, "shop:2", second, "updated"),
        (first, True, False, "shop:1", first, "registered"),
    ]
    assert client.get(f"{APP}/deployments").get_json()["deployments"][1]["phase"] == "superseded"
    named = client.post(f"{APP}/rollback", json={"revision": second})
    assert named.status_code == 200
    assert client.get(APP).get_json()["image"] == "shop:2"


def test_no_way_back(running: tuple[Node, FlaskClient]) -> None:
    """Without an earlier revision, and to one that nobody knows."""
    _, client = running
    for body in ({}, {"revision": 99}):
        answer = client.post(f"{APP}/rollback", json=body)
        assert (answer.status_code, answer.get_json()["code"]) == (409, "CONFLICT")
    assert client.post(f"{APP}/rollback", json={"revision": 0}).status_code == 400


def test_a_restart_replaces_all_by_the_same(running: tuple[Node, FlaskClient]) -> None:
    """Another template of the same spec; nothing to restart is a conflict."""
    _, client = running
    before = client.get(APP).get_json()
    answer = client.post(f"{APP}/restart")
    assert answer.status_code == 200
    assert answer.get_json()["revision"] > before["revision"]
    assert client.get(f"{APP}/deployments").get_json()["deployments"][0]["kind"] == "restart"
    client.post("/api/v1/apps/register", json=spec("idle"))
    idle = client.post("/api/v1/apps/idle/restart")
    assert (idle.status_code, idle.get_json()["code"]) == (409, "CONFLICT")


def test_pause_resume_promote(running: tuple[Node, FlaskClient]) -> None:
    """Only while a deployment is under way; saying it twice is fine."""
    _, client = running
    for verb in ("pause", "resume", "promote"):
        none = client.post(f"{APP}/{verb}")
        assert (none.status_code, none.get_json()["code"]) == (409, "CONFLICT")
    deployment = updated(client)["deployment"]
    for verb, phase in (("pause", "paused"), ("pause", "paused"), ("resume", "running"),
                        ("promote", "running")):
        answer = client.post(f"{APP}/{verb}")
        assert answer.status_code == 200
        assert (answer.get_json()["deployment"], answer.get_json()["phase"]) == (
            deployment, phase)


def test_a_canary_is_promoted_step_by_step(running: tuple[Node, FlaskClient]) -> None:
    """Where it is, is told; without `all` it goes on to the next step only."""
    node, client = running
    steps = [{"weight": 10, "pauseSeconds": 60}, {"weight": 50}]
    deployment = updated(client, spec(
        deploy={"strategy": "canary", "steps": steps},
        spec={**SPEC["spec"], "image": "shop:2"}))["deployment"]
    path = f"{APP}/deployments/{deployment}"
    assert client.get(path).get_json()["canary"] is None
    old = node.log.state().apps["shop"].rollout.old  # type: ignore[union-attr]
    node.submit(StepRollout("shop", deployment, 0, (1,), old, 1, 2, (),
                            Canary(0, deployment, 10, 15, "time")))
    assert client.get(path).get_json()["canary"] == {
        "step": 1, "steps": 2, "weight": 10, "held_seconds": 15, "pause_seconds": 60,
        "waits_for": "time"}
    text = client.get("/metrics").get_data(as_text=True)
    assert 'orchestry_rollouts{app="shop",phase="running"} 1.0' in text
    assert 'orchestry_rollout_weight_ratio{app="shop"} 0.1' in text
    assert client.post(f"{APP}/promote").status_code == 200
    found = client.get(path).get_json()["canary"]
    assert (found["step"], found["pause_seconds"], found["waits_for"]) == (2, 0, "replicas")
    assert client.post(f"{APP}/promote", json={"all": True}).status_code == 200
    rollout = node.log.state().apps["shop"].rollout
    assert rollout is not None
    assert rollout.promoted


def test_a_rollback_takes_no_host_that_was_reserved_since(
    running: tuple[Node, FlaskClient]
) -> None:
    """It is asked what an update with that spec is asked."""
    node, client = running
    first = client.get(APP).get_json()["revision"]
    updated(client, spec(spec={**SPEC["spec"], "ingress": {"hosts": ["free.example.org"]}}))
    limits = {"limits": {"reserved_hosts": ["shop.localhost"]}}
    assert client.put("/api/v1/config", json=limits).status_code == 200
    owners = node.log.state().owners
    answer = client.post(f"{APP}/rollback", json={"revision": first})
    assert (answer.status_code, answer.get_json()["code"]) == (400, "INVALID_SPEC")
    assert [fault["field"] for fault in answer.get_json()["details"]] == ["metadata.name"]
    assert node.log.state().owners == owners
    assert client.put("/api/v1/config", json={"limits": {"reserved_hosts": []}}).status_code == 200
    answer = client.post(f"{APP}/rollback", json={"revision": first})
    assert answer.status_code == 200, answer.get_json()


def test_a_failed_update_goes_back_by_itself(running: tuple[Node, FlaskClient]) -> None:
    """The failure is kept with its reason; the next deployment is the rollback."""
    node, client = running
    deployment = updated(client)["deployment"]
    node.submit(EndRollout("shop", deployment, "failed", "why", ("last line",), roll_back=True))
    found = client.get(f"{APP}/deployments").get_json()["deployments"]
    assert [(d["kind"], d["phase"], d["reason"]) for d in found] == [
        ("rollback", "running", None), ("update", "failed", "why")]
    events = client.get(f"{APP}/events?type=error").get_json()["events"]
    assert events[0]["details"]["lines"] == ["last line"]
    assert events[0]["message"] == f"Deployment {deployment} failed: why"


def test_a_failed_update_without_a_way_back_is_an_error(
    running: tuple[Node, FlaskClient]
) -> None:
    """It holds what there is, and can be resumed but not paused."""
    node, client = running
    deployment = updated(client)["deployment"]
    node.submit(EndRollout("shop", deployment, "failed", "why"))
    assert client.get(APP).get_json()["status"] == "error"
    assert client.get(APP).get_json()["problem"] == {"code": "DEPLOYMENT_FAILED", "message": "why"}
    assert client.post(f"{APP}/pause").status_code == 409
    assert client.post(f"{APP}/resume").get_json()["phase"] == "running"


def test_other_scaling_leaves_a_deployment_held_that_failed(
    running: tuple[Node, FlaskClient]
) -> None:
    """No other one begins: the plan says so first, and the answer names none."""
    node, client = running
    deployment = updated(client)["deployment"]
    node.submit(EndRollout("shop", deployment, "failed", "why"))
    document = {**OTHER_IMAGE, "scaling": {"maxReplicas": 7}}
    plan = client.put(f"{APP}?dry_run=true", json=document).get_json()["plan"]
    assert (plan["rolls"], plan["start"], plan["stop"], plan["keep"]) == (
        False, [], [], ["shop-1", "shop-2"])
    answer = updated(client, document)
    assert (answer["status"], answer["deployment"]) == ("updated", None)
    found = client.get(f"{APP}/deployments").get_json()["deployments"]
    assert [(one["id"], one["phase"]) for one in found] == [(deployment, "failed")]
    assert client.get(f"{APP}/deployments/{deployment}").get_json()["replicas"]
    assert client.get(f"{APP}/scaling").get_json()["policy"]["max_replicas"] == 7


def test_unknown_deployments(running: tuple[Node, FlaskClient]) -> None:
    """A deployment that nobody knows, an id that is none, an application that is not there."""
    _, client = running
    missing = client.get(f"{APP}/deployments/99")
    assert (missing.status_code, missing.get_json()["code"]) == (404, "NOT_FOUND")
    assert client.get(f"{APP}/deployments/x").status_code == 400
    for path in ("revisions", "deployments", "deployments/1"):
        ghost = client.get(f"/api/v1/apps/ghost/{path}")
        assert (ghost.status_code, ghost.get_json()["code"]) == (404, "APP_NOT_FOUND")
    for verb in ("rollback", "restart", "pause", "resume", "promote"):
        ghost = client.post(f"/api/v1/apps/ghost/{verb}")
        assert (ghost.status_code, ghost.get_json()["code"]) == (404, "APP_NOT_FOUND")


def test_stopping_ends_a_deployment(running: tuple[Node, FlaskClient]) -> None:
    """The next start begins with the new spec only."""
    node, client = running
    updated(client)
    with Loops(node).running():
        assert client.post(f"{APP}/stop", json={"force": True}).status_code == 200
    found = client.get(f"{APP}/deployments").get_json()["deployments"]
    assert found[0]["phase"] == "stopped"


def test_a_scale_does_not_wait_for_a_deployment_that_is_held(
    running: tuple[Node, FlaskClient],
) -> None:
    """It is done once there are as many healthy replicas as wanted, be they old ones."""
    node, client = running
    deployment = updated(client)["deployment"]
    node.submit(EndRollout("shop", deployment, "failed", "its pre-deploy job failed"))
    answer = client.post(f"{APP}/scale", json={"replicas": 1, "timeout": 1})
    assert (answer.status_code, answer.get_json()["code"]) == (504, "TIMEOUT")
    node.submit(StepRollout("shop", deployment, 1, (), ((1, 1),), 0, 1))
    app = node.log.state().apps["shop"]
    node.submit(ReportApp("shop", app.revision, app.reports[:1]))
    answer = client.post(f"{APP}/scale", json={"replicas": 1, "timeout": 9})
    assert (answer.status_code, answer.get_json()["current_replicas"]) == (200, 1)
    answer = client.post(f"{APP}/start", json={"timeout": 9})
    assert answer.get_json()["message"] == "Application has its replicas; its status is error"
