"""Runs over HTTP: asked for, listed, cancelled, and their lines."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from cluster.engine.base import EngineError, LogLine
from cluster.state.commands import EndRun, StepRun
from cluster.state.runs import KEPT_PER_APP, WAITING_MAX
from tests.api.support import SPEC, Node, make

PATH = "/api/v1/apps/shop"


@pytest.fixture
def shop() -> tuple[Node, FlaskClient]:
    """A node with an app that does not run."""
    node, _, client = make()
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    return node, client


def ask(client: FlaskClient, **body: Any) -> int:
    """The id of another run."""
    answer = client.post(f"{PATH}/run", json={"command": ["ls", "/"], **body})
    assert answer.status_code == 202, answer.get_json()
    found = answer.get_json()["run"]
    assert isinstance(found, int)
    return found


def test_a_run_from_its_request_to_its_end(shop: tuple[Node, FlaskClient]) -> None:
    """Each answer tells what is known by then."""
    node, client = shop
    run = ask(client, timeout_s=5)
    waiting = client.get(f"{PATH}/runs/{run}").get_json()
    assert {key: waiting[key] for key in (
        "id", "app_name", "kind", "status", "stopping", "command", "timeout_s", "container",
        "exit_code", "started_at", "ended_at", "reason", "last_lines")} == {
            "id": run, "app_name": "shop", "kind": "run", "status": "waiting", "stopping": False,
            "command": ["ls", "/"], "timeout_s": 5, "container": f"shop-run-{run}",
            "exit_code": None, "started_at": None, "ended_at": None, "reason": None,
            "last_lines": []}
    node.submit(StepRun(run, "c1", f"shop.run{run}.cccc", 1_000))
    assert client.get(f"{PATH}/runs/{run}").get_json()["status"] == "running"
    node.submit(EndRun(run, "failed", 3, "exited with code 3", ("bin", "etc"), ended_at_ms=2_000))
    over = client.get(f"{PATH}/runs/{run}").get_json()
    assert (over["status"], over["exit_code"], over["reason"], over["last_lines"]) == (
        "failed", 3, "exited with code 3", ["bin", "etc"])
    assert over["ended_at"] == "1970-01-01T00:00:02.000Z"
    assert client.get(f"{PATH}/runs").get_json() == {
        "app_name": "shop", "runs": [over], "total": 1}
    events = client.get(f"{PATH}/events?type=error").get_json()["events"]
    assert events[0]["message"] == f"Run {run} failed: exited with code 3"


def test_the_lines_of_a_run_are_read_by_its_name_alone(shop: tuple[Node, FlaskClient]) -> None:
    """They are not among those of the replicas."""
    node, client = shop
    run = ask(client)
    path = f"{PATH}/logs?container=shop-run-{run}"
    assert client.get(path).get_json()["logs"] == []
    node.submit(StepRun(run, "c1", f"shop.run{run}.cccc", 1_000))
    node.text_engine.lines["c1"] = [LogLine(10**9, "stderr", "done")]
    (line,) = client.get(path).get_json()["logs"]
    assert (line["container"], line["stream"], line["message"]) == (
        f"shop-run-{run}", "stderr", "done")
    assert client.get(f"{PATH}/logs").get_json()["logs"] == []
    stream = client.get(f"{PATH}/logs/stream?container=shop-run-{run}").get_json()
    assert "WebSocket" in str(stream["details"])  # it is known: only the upgrade is missing
    for path in ("logs", "logs/stream"):
        answer = client.get(f"{PATH}/{path}?container=shop-run-{run + 1}")
        assert (answer.status_code, answer.get_json()["code"]) == (400, "VALIDATION_ERROR")
        (fault,) = answer.get_json()["details"]
        assert fault["field"] == "container"
        assert f"GET {PATH}/runs" in fault["message"]


def test_what_a_run_wrote_is_there_after_its_container(shop: tuple[Node, FlaskClient]) -> None:
    """Its last lines, with the reason; before it has one, why there is none."""
    node, client = shop
    run = ask(client)
    path = f"{PATH}/logs?container=shop-run-{run}"
    assert client.get(path).get_json()["unavailable"] == [
        {"container": f"shop-run-{run}", "reason": "it waits for its turn"}]
    node.submit(StepRun(run, "c1", f"shop.run{run}.cccc", 1_000))
    node.submit(EndRun(run, "failed", 3, "exited with code 3", ("bin", "ERROR etc"),
                       ended_at_ms=2_000))
    node.text_engine.faults["c1"] = EngineError("gone", "container c1 is gone")
    found = client.get(path).get_json()
    assert [(one["message"], one["level"], one["timestamp"]) for one in found["logs"]] == [
        ("bin", "INFO", "1970-01-01T00:00:02.000000000Z"),
        ("ERROR etc", "ERROR", "1970-01-01T00:00:02.000000000Z")]
    assert (found["total_lines"], found["has_more"]) == (2, True)
    assert found["unavailable"][0]["reason"].startswith("its container is gone; these are")
    assert len(client.get(f"{path}&level=error").get_json()["logs"]) == 1


def test_cancel(shop: tuple[Node, FlaskClient]) -> None:
    """Noted at once, again without effect, and refused when there is nothing to stop."""
    node, client = shop
    run = ask(client)
    for _ in range(2):
        answer = client.post(f"{PATH}/runs/{run}/cancel")
        assert (answer.status_code, answer.get_json()["run"]) == (200, run)
    assert client.get(f"{PATH}/runs/{run}").get_json()["stopping"] is True
    node.submit(EndRun(run, "cancelled", reason="by request"))
    again = client.post(f"{PATH}/runs/{run}/cancel")
    assert (again.status_code, again.get_json()["code"]) == (409, "CONFLICT")
    assert client.post(f"{PATH}/runs/1/cancel").status_code == 404


def test_repeats_and_refusals(shop: tuple[Node, FlaskClient]) -> None:
    """One key is one run; who is not there runs nothing; so many wait at most."""
    node, client = shop
    headers = {"Idempotency-Key": "k1"}
    body = {"command": ["ls"]}
    first, second = (client.post(f"{PATH}/run", json=body, headers=headers) for _ in range(2))
    assert first.get_json() == second.get_json()
    assert client.get(f"{PATH}/runs").get_json()["total"] == 1
    stale = client.post(f"{PATH}/run", json=body, headers={"If-Match": '"999"'})
    assert (stale.status_code, stale.get_json()["code"]) == (409, "CONFLICT")
    assert client.post("/api/v1/apps/nobody/run", json=body).status_code == 404
    assert client.get(f"{PATH}/runs/999").status_code == 404
    long = client.post(f"{PATH}/run", json={"command": ["x" * 4096] * 5})
    assert (long.status_code, long.get_json()["code"]) == (400, "VALIDATION_ERROR")
    for _ in range(WAITING_MAX - 1):
        ask(client)
    full = client.post(f"{PATH}/run", json=body)
    assert (full.status_code, full.get_json()["code"]) == (409, "CONFLICT")
    for run in client.get(f"{PATH}/runs").get_json()["runs"]:
        node.submit(EndRun(run["id"], "succeeded", 0))
    assert client.get(f"{PATH}/runs").get_json()["total"] == KEPT_PER_APP
