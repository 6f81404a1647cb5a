"""What the API says of replicas that failed, loop or have finished."""

from __future__ import annotations

from typing import Any

from cluster.state.commands import ReportApp
from cluster.state.exits import Attempts, Exit
from cluster.state.model import Replica
from orchestry.cli.commands.show import _view
from orchestry.cli.output import Output
from tests.api.support import Node, make, spec

AT_MS = 1_700_000_000_000


def dead(slot: int, revision: int) -> Replica:
    """A replica whose container has ended."""
    return Replica(
        slot, revision, f"id-{slot}", f"shop.{slot}", "", 80, "exited", "unhealthy",
        started_at_ms=AT_MS, restarts=6, last_error="killed: out of memory")


def failing(node: Node) -> None:
    """One replica loops, one has finished, one waits, one failed for good."""
    revision = node.local.state().apps["shop"].revision
    oom = Exit("id-1", "oom_killed", AT_MS, 137, "SIGKILL")
    attempts = (
        Attempts(revision, 1, 6, 2, 6, (AT_MS,), looping=True, next_at_ms=AT_MS + 32_000, last=oom),
        Attempts(revision, 2, over="finished", last=Exit("id-2", "exited", AT_MS, 0)),
        Attempts(revision, 3, 2, 0, 2, (AT_MS,), next_at_ms=AT_MS + 1_000,
                 last=Exit("id-3", "unhealthy", AT_MS)),
        Attempts(revision, 4, 1, over="failed", last=Exit("id-4", "exited", AT_MS, 3)),
    )
    node.submit(ReportApp(
        "shop", revision, tuple(dead(slot, revision) for slot in range(1, 5)), "why", "CRASH_LOOP",
        attempts))


def shown() -> tuple[Node, Any, dict[str, Any]]:
    """The node, its client and the answer."""
    node, _, client = make()
    assert client.post("/api/v1/apps/register", json=spec("shop")).status_code == 201
    assert client.post("/api/v1/apps/shop/start", json={"wait": False}).status_code == 200
    failing(node)
    return node, client, client.get("/api/v1/apps/shop").get_json()


def test_status_tells_what_each_replica_went_through() -> None:
    """State, next attempt, last exit, and the counters of the app."""
    _, _, answer = shown()
    assert [one["state"] for one in answer["containers"]] == [
        "crash_loop", "finished", "waiting", "failed"]
    assert answer["containers"][0]["next_attempt_at"] == "2023-11-14T22:13:52.000Z"
    restarts = answer["restarts"]
    assert (restarts["failures"], restarts["oom_kills"]) == (9, 2)
    first = restarts["replicas"][0]
    assert first["last_exit"] == {
        "reason": "oom_killed", "exit_code": 137, "signal": "SIGKILL", "container_id": "id-1",
        "at": "2023-11-14T22:13:20.000Z"}
    assert (first["crash_loop"], first["over"]) == (True, None)
    assert [one["over"] for one in restarts["replicas"]] == [None, "finished", None, "failed"]
    assert answer["problem"]["code"] == "CRASH_LOOP"


def test_prometheus_counts_failures_and_kills() -> None:
    """By application, from the replicated state."""
    _, client, _ = shown()
    text = client.get("/metrics", headers={"Accept": "text/plain"}).get_data(as_text=True)
    for line in (
        'orchestry_app_restarts_total{app="shop"} 9.0',
        'orchestry_app_oom_kills_total{app="shop"} 2.0',
        'orchestry_app_crash_looping{app="shop"} 1.0',
    ):
        assert line in text


def test_the_command_line_shows_them() -> None:
    """A table of what has failed or finished, under the containers."""
    _, _, answer = shown()
    console = Output(as_json=False, color=False, quiet=False).console()
    with console.capture() as capture:
        console.print(_view(answer))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert any(line.startswith("shop-1 crash_loop unhealthy") for line in lines)
    assert any(line.startswith("shop-1 6 2 oom killed, code 137, SIGKILL") for line in lines)
    assert any(line.startswith("shop-2 0 0 exited, code 0") and line.endswith("finished")
               for line in lines)
