"""Jobs over HTTP: registered as apps are, run by request, held; and what they are not."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.state.commands import EndRun, FireJob
from cluster.state.model import App
from tests.api.support import SPEC, Node, make

PATH = "/api/v1/jobs/nightly"
JOB: dict[str, Any] = {
    "apiVersion": "v1", "kind": "Job", "metadata": {"name": "nightly"},
    "spec": {"image": "shop:1", "command": ["/backup"]},
    "job": {"schedule": "0 3 * * *", "timezone": "Europe/Berlin", "retries": 1},
}


@pytest.fixture
def nightly() -> tuple[Node, FlaskClient]:
    """A node with a job and an app."""
    node, _, client = make()
    for document in (JOB, SPEC):
        answer = client.post("/api/v1/apps/register", json=document)
        assert answer.status_code == 201, answer.get_json()
    return node, client


def fire(node: Node, due_ms: int, policy: Any = "Forbid") -> tuple[int | None, App]:
    """The run of a due time, None where there is none, and the job."""
    revision = node.log.state().apps["nightly"].revision
    applied = node.submit(FireJob("nightly", revision, due_ms, policy, 60, 1))
    return applied.get("run"), node.log.state().apps["nightly"]


def test_a_job_is_registered_updated_and_shown(nightly: tuple[Node, FlaskClient]) -> None:
    """By the routes of apps; it has no address and no replica, and is no app to start."""
    node, client = nightly
    shown = client.get(PATH).get_json()
    assert (shown["schedule"], shown["timezone"], shown["concurrency_policy"], shown["retries"],
            shown["suspended"], shown["last_due_at"]) == (
        "0 3 * * *", "Europe/Berlin", "Forbid", 1, False, None)
    assert client.get("/api/v1/jobs").get_json() == {"jobs": [shown], "total": 1}
    assert node.log.state().apps["nightly"].addresses == ()
    resolved = client.get("/api/v1/apps/nightly/spec?resolved=true").get_json()
    assert resolved["job"]["startingDeadlineSeconds"] == 300
    changed = client.put("/api/v1/apps/nightly", json={**JOB, "job": {}})
    assert (changed.status_code, changed.get_json()["status"]) == (200, "updated")
    assert client.get(PATH).get_json()["schedule"] is None
    other = client.put("/api/v1/apps/nightly", json={**SPEC, "metadata": {"name": "nightly"}})
    assert (other.status_code, other.get_json()["code"]) == (409, "CONFLICT")
    assert client.get("/api/v1/jobs/shop").status_code == 404
    assert client.post("/api/v1/jobs/shop/trigger").status_code == 409
    assert client.post("/api/v1/jobs/nobody/trigger").status_code == 404


@pytest.mark.parametrize(("method", "path", "body", "instead"), [
    ("post", "apps/nightly/start", {}, "orchestry jobs trigger nightly"),
    ("post", "apps/nightly/restart", None, "orchestry jobs trigger nightly"),
    ("post", "apps/nightly/stop", {}, "orchestry jobs suspend nightly"),
    ("post", "apps/nightly/scale", {"replicas": 2}, "job.concurrencyPolicy"),
    ("put", "apps/nightly/scaling", {"max_replicas": 2}, "job.concurrencyPolicy"),
    ("post", "apps/nightly/scaling/simulate", {}, "job.concurrencyPolicy"),
    ("post", "apps/nightly/pause", None, "orchestry jobs suspend nightly"),
    ("post", "apps/nightly/resume", None, "orchestry jobs suspend nightly"),
    ("post", "apps/nightly/promote", {}, "orchestry jobs suspend nightly"),
])
def test_what_is_done_with_replicas_is_refused(
    nightly: tuple[Node, FlaskClient], method: str, path: str, body: Any, instead: str
) -> None:
    """Whatever it is: the answer says that it is a job, and what to do with one."""
    node, client = nightly
    before = node.log.state().apps["nightly"]
    answer = getattr(client, method)(f"/api/v1/{path}", json=body)
    assert (answer.status_code, answer.get_json()["code"]) == (409, "CONFLICT")
    details = answer.get_json()["details"]
    assert details.startswith("'nightly' is of `kind: Job`, which has no replicas: ")
    assert instead in details
    assert node.log.state().apps["nightly"] == before


def test_a_schedule_that_the_spec_holds_is_not_resumed(nightly: tuple[Node, FlaskClient]) -> None:
    """It would stay suspended: the answer names the key."""
    _, client = nightly
    held = {**JOB, "job": {**JOB["job"], "suspend": True}}
    assert client.put("/api/v1/apps/nightly", json=held).status_code == 200
    answer = client.post(f"{PATH}/resume")
    assert answer.status_code == 409
    assert "`job.suspend` is true" in answer.get_json()["details"]
    assert client.get(PATH).get_json()["suspended"] is True
    client.put("/api/v1/apps/nightly", json=JOB)
    assert client.post(f"{PATH}/resume").status_code == 200
    assert client.get(PATH).get_json()["suspended"] is False


def test_faults_of_a_job(nightly: tuple[Node, FlaskClient]) -> None:
    """Each is named by its field, as those of an app."""
    _, client = nightly
    bad = {**JOB, "spec": {**JOB["spec"], "ports": [{"containerPort": 80}]}, "scaling": {},
           "job": {"schedule": "@daily", "timezone": "x y", "retries": 11, "timeoutSeconds": 0,
                   "concurrencyPolicy": "forbid", "startingDeadlineSeconds": 0, "suspend": 1}}
    answer = client.post("/api/v1/apps/register", json=bad).get_json()
    assert {one["field"] for one in answer["details"]} == {
        "spec.ports", "scaling", *(f"job.{key}" for key in bad["job"])}
    mars = {**JOB, "metadata": {"name": "mars"}, "job": {"timezone": "Mars/Olympus"}}
    answer = client.post("/api/v1/apps/register", json=mars).get_json()
    assert [one["field"] for one in answer["details"]] == ["job.timezone"]


def test_by_request_and_its_attempts(nightly: tuple[Node, FlaskClient]) -> None:
    """What fails is tried again as often as the job says, each time as another run."""
    node, client = nightly
    asked = client.post(f"{PATH}/trigger")
    assert asked.status_code == 202
    first = asked.get_json()["run"]
    node.submit(EndRun(first, "failed", 1, "exited with code 1"))
    again, before = client.get("/api/v1/apps/nightly/runs").get_json()["runs"]
    assert (before["id"], before["status"], before["attempt"]) == (first, "failed", 1)
    assert (again["status"], again["attempt"], again["kind"]) == ("waiting", 2, "job")
    node.submit(EndRun(again["id"], "failed", 1, "exited with code 1"))
    assert client.get("/api/v1/apps/nightly/runs").get_json()["total"] == 2
    assert client.get(PATH).get_json()["last_status"] == "failed"
    third = client.post(f"{PATH}/trigger").get_json()["run"]
    node.submit(EndRun(third, "lost"))
    assert client.get("/api/v1/apps/nightly/runs").get_json()["total"] == 3


def test_a_due_time_is_seen_to_once(nightly: tuple[Node, FlaskClient]) -> None:
    """A second entry for it, or one for an earlier time or the future, does nothing."""
    node, _ = nightly
    run, app = fire(node, 2_000)
    assert (run is not None, app.due_ms) == (True, 2_000)
    assert fire(node, 2_000)[0] is None
    assert fire(node, 1_000)[0] is None
    assert fire(node, 2**53)[0] is None
    skipped, app = fire(node, 3_000)
    assert (skipped, app.due_ms) == (None, 3_000)
    assert fire(node, 4_000, "Allow")[0] is not None
    assert fire(node, 5_000, "Replace")[0] is not None
    runs = sorted(node.log.state().runs.values(), key=lambda one: one.id)
    assert [(one.due_ms, one.ending) for one in runs] == [
        (2_000, "cancelled"), (4_000, "cancelled"), (5_000, "")]
    assert any("skipped" in event.message for event in node.log.state().events)


def test_a_schedule_is_held_and_goes_on(nightly: tuple[Node, FlaskClient]) -> None:
    """Nothing is due meanwhile, and nothing is made up for; asking twice changes nothing."""
    node, client = nightly
    for _ in range(2):
        assert client.post(f"{PATH}/suspend").get_json()["suspended"] is True
    assert client.get(PATH).get_json()["suspended"] is True
    assert fire(node, 2_000)[0] is None
    assert client.post(f"{PATH}/trigger").status_code == 202
    assert client.post(f"{PATH}/resume").get_json()["suspended"] is False
    assert fire(node, 2_000)[0] is None
    assert node.log.state().apps["nightly"].due_ms > 2_000


def test_a_job_is_told_from_an_app(nightly: tuple[Node, FlaskClient]) -> None:
    """In its status and in the list: its replicas mean nothing."""
    _, client = nightly
    rows = client.get("/api/v1/apps").get_json()["apps"]
    assert {row["name"]: row["kind"] for row in rows} == {"nightly": "Job", "shop": "App"}
    assert client.get("/api/v1/apps/nightly").get_json()["kind"] == "Job"
