"""Logs and health of real containers, asked of any controller, and by the command line."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import LiveCluster, app_spec, call, kill_container, until
from tests.live_apps import begin, printed

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]
WAIT_S = 60.0


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str
) -> Iterator[LiveCluster]:
    """Three controllers with an app of two replicas."""
    with LiveCluster(tmp_path_factory.mktemp("logs"), ingress=False) as live:
        begin(live, app_spec("shop", test_app_image, healthCheck={
            # So that none but those that are asked for come in between.
            "path": "/health", "periodSeconds": 3600, "timeoutSeconds": 10,
            "failureThreshold": 3}), 2)
        yield live


def replicas(cluster: LiveCluster) -> dict[str, dict[str, Any]]:
    """The containers of the app, by name."""
    return {one["name"]: one for one in cluster.status("shop")["containers"]}


def ask(container: dict[str, Any], path: str, body: bytes | None = None) -> None:
    """Call the app itself."""
    url = f"http://{container['ip']}:{container['port']}{path}"
    with urllib.request.urlopen(url, body, timeout=WAIT_S) as answer:
        answer.read()


def lines_of(cluster: LiveCluster, node: str, query: str = "") -> list[dict[str, Any]]:
    """The app's lines, as one controller shows them."""
    status, body, _ = call("GET", cluster.url(node, f"/api/v1/apps/shop/logs{query}"))
    assert status == 200, body
    found: list[dict[str, Any]] = body["logs"]
    return found


def test_every_controller_shows_the_lines_of_all_replicas(cluster: LiveCluster) -> None:
    """In the order in which they were written, with their levels; filters go down to one line."""
    found = replicas(cluster)
    for name, path, line, word in (
        ("shop-1", "/say", b"WARN first\n", "first"),
        ("shop-2", "/say?stream=2", b'{"level":50,"msg":"second"}\n', "second"),
        ("shop-1", "/say", b"\x1b[31mthird\x1b[0m \x00\xff\n", "third"),
    ):
        ask(found[name], path, line)
        # Docker dates a line when it reads it: the next one comes after that.
        until(f"{line!r} is read", lambda word=word: any(  # type: ignore[misc]
            word in one["message"] for one in lines_of(cluster, cluster.ids[0], "?tail=100")),
            WAIT_S)
    for node in cluster.ids:
        def shown(node: str = node) -> bool:
            return [
                (one["container"], one["level"], one["stream"], one["message"])
                for one in lines_of(cluster, node, "?tail=3")
            ] == [
                ("shop-1", "WARN", "stdout", "WARN first"),
                ("shop-2", "ERROR", "stderr", '{"level":50,"msg":"second"}'),
                ("shop-1", "INFO", "stdout", "third ␀�"),
            ]

        until("the lines", shown, WAIT_S)
    assert printed(cluster, "logs", "shop", "--level", "error") == (
        'shop-2 | {"level":50,"msg":"second"}\n')
    lines = json.loads(printed(cluster, "logs", "shop", "--level", "WARN", "--json"))["logs"]
    assert [line["level"] for line in lines] == ["WARN", "ERROR"]
    since = lines[1]["timestamp"]
    one = printed(cluster, "logs", "shop", "-c", "shop-2", "--since", since)
    assert one == 'shop-2 | {"level":50,"msg":"second"}\n'


def test_checks_on_demand_count_and_are_seen_everywhere(cluster: LiveCluster) -> None:
    """Through a follower; a replica that fails is unhealthy after as many as the threshold."""
    path = "/api/v1/apps/shop/health"
    follower = cluster.follower()
    status, _, headers = call("POST", cluster.url(follower, f"{path}/check"))
    assert (status, headers["Location"]) == (
        307, cluster.url(cluster.led(), f"{path}/check"))

    def rows(node: str) -> dict[str, dict[str, Any]]:
        """By name, complete: what the leader does not tell in time is null."""
        return dict(until("all were checked", lambda: (found := {
            one["name"]: one for one in call("GET", cluster.url(node, path))[1]["containers"]})
            and all(one["last_check"] for one in found.values()) and found, WAIT_S))

    before = rows(follower)
    assert printed(cluster, "health", "shop", "--check").endswith(
        "shop: 2 checked, 2 passed, 0 failed\n")
    ask(replicas(cluster)["shop-2"], "/sick")
    status, body = cluster.write("POST", f"{path}/check")
    assert (status, body["containers_checked"], body["healthy"], body["unhealthy"]) == (
        200, 2, 1, 1)
    for node in cluster.ids:
        after = rows(node)
        assert after["shop-1"]["last_check"] > before["shop-1"]["last_check"]
        assert after["shop-1"]["response_time_ms"] > 0
        assert [after[name]["consecutive_failures"] for name in ("shop-1", "shop-2")] == [0, 1]
    ask(replicas(cluster)["shop-2"], "/heal")
    assert json.loads(printed(cluster, "health", "shop", "--check", "--json"))["healthy"] == 2


def test_a_container_that_dies_does_not_hide_the_others(cluster: LiveCluster) -> None:
    """While one is replaced, the lines of the other can be read all the time."""
    found = replicas(cluster)
    ask(found["shop-1"], "/say", b"still here\n")

    def still_here() -> bool:
        lines = lines_of(cluster, cluster.ids[0])
        return "still here" in {line["message"] for line in lines}

    until("the line", still_here, WAIT_S)
    kill_container(found["shop-2"]["id"])

    def replaced() -> bool:
        assert still_here()
        now = replicas(cluster).get("shop-2")
        return now is not None and bool(now["id"] != found["shop-2"]["id"])

    until("the replica is replaced", replaced, WAIT_S)
