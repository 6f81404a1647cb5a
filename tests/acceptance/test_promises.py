"""What the API promises about writes and reads, over a leader change and a restart of all."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live import LiveCluster, app_spec, call, until

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

WAIT_S = 60.0
ELSEWHERE = {
    ("POST", "/cluster/members"): "tests/acceptance/test_members.py",
    ("DELETE", "/cluster/members/{node_id}"): "tests/acceptance/test_members.py",
    ("POST", "/cluster/transfer"): "tests/acceptance/test_members.py",
    ("POST", "/cluster/drill"): "tests/api/test_drill.py",
    ("POST", "/cluster/drill/probe"): "tests/api/test_drill.py",
    ("POST", "/cluster/restore"): "tests/acceptance/test_backup.py",
    ("PUT", "/api/v1/config"): "tests/acceptance/test_config.py",
    ("POST", "/api/v1/tokens"): "tests/api/test_tokens.py",
    ("DELETE", "/api/v1/tokens/{token_id}"): "tests/api/test_tokens.py",
    ("POST", "/api/v1/apps/{app_name}/scaling/simulate"): "tests/api/test_scaling.py",
    ("POST", "/api/v1/apps/{app_name}/health/check"): "tests/api/test_health.py",
    ("PUT", "/api/v1/registries/{registry_host}"): "tests/api/test_registries.py",
    ("DELETE", "/api/v1/registries/{registry_host}"): "tests/api/test_registries.py",
    ("POST", "/api/v1/registries/{registry_host}/rotate"): "tests/api/test_registries.py",
    ("PUT", "/api/v1/secrets/{secret_name}"): "tests/api/test_secrets.py",
    ("DELETE", "/api/v1/secrets/{secret_name}"): "tests/api/test_secrets.py",
    ("POST", "/api/v1/secrets/{secret_name}/rotate"): "tests/api/test_secrets.py",
    ("DELETE", "/api/v1/volumes/{volume_name}"): "tests/api/test_volumes.py",
    **dict.fromkeys([
        ("POST", "/apps/register"), ("POST", "/apps/{app_name}/up"),
        ("POST", "/apps/{app_name}/down"), ("POST", "/apps/{app_name}/scale"),
        ("POST", "/apps/{app_name}/policy"), ("DELETE", "/apps/{app_name}"),
    ], "tests/api/test_compat.py"),
    ("PUT", "/api/v1/releases/{release}"): "tests/api/test_releases.py",
    ("DELETE", "/api/v1/releases/{release}"): "tests/api/test_releases.py",
    ("POST", "/api/v1/releases/{release}/rollback"): "tests/api/test_releases.py",
    ("PUT", "/api/v1/apps/{app_name}"): "tests/api/test_deploys.py",
    ("POST", "/api/v1/apps/{app_name}/run"): "tests/api/test_runs.py",
    ("POST", "/api/v1/jobs/{app_name}/trigger"): "tests/api/test_jobs.py",
    ("POST", "/api/v1/jobs/{app_name}/suspend"): "tests/api/test_jobs.py",
    ("POST", "/api/v1/jobs/{app_name}/resume"): "tests/api/test_jobs.py",
    ("POST", "/api/v1/apps/{app_name}/runs/{run_id}/cancel"): "tests/api/test_runs.py",
    ("POST", "/api/v1/apps/{app_name}/rollback"): "tests/api/test_deploys.py",
    ("POST", "/api/v1/apps/{app_name}/restart"): "tests/api/test_deploys.py",
    ("POST", "/api/v1/apps/{app_name}/pause"): "tests/api/test_deploys.py",
    ("POST", "/api/v1/apps/{app_name}/resume"): "tests/api/test_deploys.py",
    ("POST", "/api/v1/apps/{app_name}/promote"): "tests/api/test_deploys.py",
}
"""Writes about the cluster itself and of the older command line, whose repeats are shown where
they are tested, and questions that write nothing."""

_OF_ITS_TIME = {"timestamp", "scaling_time"}


@dataclass(frozen=True, slots=True)
class Write:
    """One write: its route in the OpenAPI document, and how it is asked for."""

    route: tuple[str, str]
    path: str
    body: Any
    other: Any
    key: str

    def send(self, cluster: LiveCluster, node: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Through one controller, to whoever leads."""
        url = cluster.url(node, self.path)
        for _ in range(3):
            status, answer, got = call(
                self.route[0], url, body, headers={"Idempotency-Key": self.key, **headers},
                timeout_s=WAIT_S)
            if status != 307:
                return status, answer
            url = got["Location"]
        raise AssertionError(f"{self.path}: redirected for ever")


def writes() -> list[Write]:
    """One for each route that changes an app, each on an app of its own."""
    made = []
    for verb, route, body, other in (
        ("POST", "register", None, None),
        ("POST", "start", {"replicas": 1, "wait": False}, {"replicas": 2, "wait": False}),
        ("POST", "scale", {"replicas": 2, "wait": False}, {"replicas": 3, "wait": False}),
        ("POST", "stop", {"timeout": 1}, {"timeout": 2}),
        ("PUT", "scaling", {"max_replicas": 7}, {"max_replicas": 8}),
        ("DELETE", "delete", None, None),
    ):
        app = f"app-{route}"
        key = os.urandom(8).hex()
        if route == "register":
            made.append(Write((verb, "/api/v1/apps/register"), "/api/v1/apps/register",
                              app_spec(app, "x:1"), app_spec(app, "x:2"), key))
        elif route == "delete":
            made.append(Write((verb, "/api/v1/apps/{app_name}"), f"/api/v1/apps/{app}?force=true",
                              None, None, key))
        else:
            made.append(Write((verb, f"/api/v1/apps/{{app_name}}/{route}"),
                              f"/api/v1/apps/{app}/{route}", body, other, key))
    return made


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """Three controllers, without Docker."""
    folder: Path = tmp_path_factory.mktemp("promises")
    with LiveCluster(folder, engine="fake", ingress=False) as live:
        yield live


def meaning(status: int, body: Any) -> tuple[int, Any]:
    """An answer without what differs from moment to moment."""
    return status, {name: part for name, part in body.items() if name not in _OF_ITS_TIME}


def test_every_write_route_is_covered(cluster: LiveCluster) -> None:
    """A new route cannot be forgotten here."""
    document = call("GET", cluster.url(cluster.ids[0], "/openapi.json"))[1]
    routes = {
        (method.upper(), path) for path, methods in document["paths"].items()
        for method in methods if method in ("post", "put", "delete", "patch")
    }
    assert routes == {write.route for write in writes()} | ELSEWHERE.keys()


def test_a_repeat_gives_the_first_answer_whatever_happened_between(cluster: LiveCluster) -> None:
    """After kill -9 of the leader, and of all; the same key with another body is refused."""
    made = writes()
    for write in made:
        if not write.path.endswith("register"):
            name = write.path.removeprefix("/api/v1/apps/").partition("/")[0].partition("?")[0]
            assert cluster.write(
                "POST", "/api/v1/apps/register", app_spec(name, "x:1"))[0] == 201
    first = [meaning(*write.send(cluster, cluster.ids[0], write.body)) for write in made]
    assert [status for status, _ in first] == [201, 200, 200, 200, 200, 200]

    def repeat_all() -> None:
        for number, write in enumerate(made):
            node = cluster.alive()[number % len(cluster.alive())]
            assert meaning(*write.send(cluster, node, write.body)) == first[number], write
            if write.other is not None:
                status, body = write.send(cluster, node, write.other)
                assert (status, body["code"]) == (409, "CONFLICT"), write

    repeat_all()
    leader = cluster.led()
    cluster.kill(leader)
    until("another leader", lambda: cluster.leader() not in (None, leader), WAIT_S)
    cluster.wait_ready()  # all that run know whom to send writes on to
    repeat_all()
    cluster.boot(leader)
    cluster.wait_ready()
    for node in cluster.ids:
        cluster.kill(node)
    for node in cluster.ids:
        cluster.boot(node)
    cluster.wait_ready()
    repeat_all()


def test_if_match_on_every_write_of_an_app(cluster: LiveCluster) -> None:
    """A revision that is over is refused before anything changes; the present one is taken."""
    for write in writes():
        if write.path.endswith("register"):
            continue
        name = f"match-{write.route[0].lower()}-{write.path.rpartition('/')[2].partition('?')[0]}"
        path = write.path.replace(
            write.path.removeprefix("/api/v1/apps/").partition("/")[0].partition("?")[0], name)
        assert cluster.write("POST", "/api/v1/apps/register", app_spec(name, "x:1"))[0] == 201
        node = cluster.led()
        tag = call("GET", cluster.url(
            node, f"/api/v1/apps/{name}?min_index={cluster.index}"))[2]["ETag"]
        asked = Write(write.route, path, write.body, None, os.urandom(8).hex())
        stale = f'"{int(tag.strip(chr(34))) - 1}"'
        status, body = asked.send(cluster, node, asked.body, **{"If-Match": stale})
        assert (status, body["code"]) == (409, "CONFLICT"), (path, body)
        assert call("GET", cluster.url(node, f"/api/v1/apps/{name}"))[1]["status"] == "registered"
        again = Write(write.route, path, write.body, None, os.urandom(8).hex())
        assert again.send(cluster, node, again.body, **{"If-Match": tag})[0] == 200


def test_read_your_writes_on_every_node(cluster: LiveCluster) -> None:
    """`min_index` of a write's answer, and a linearizable read, show it on any node."""
    for number, node in enumerate(cluster.ids * 3):
        name = f"mine-{number}"
        assert cluster.write("POST", "/api/v1/apps/register", app_spec(name, "x:1"))[0] == 201
        for query in (f"min_index={cluster.index}", "consistency=linearizable"):
            status, body, _ = call("GET", cluster.url(node, f"/api/v1/apps/{name}?{query}"))
            assert (status, body["name"]) == (200, name)


def test_an_unknown_outcome_is_its_own_answer(cluster: LiveCluster) -> None:
    """A leader without its followers cannot know; the key that it tells settles it later."""
    leader = cluster.led()
    others = [node for node in cluster.ids if node != leader]
    for node in others:
        os.killpg(cluster.processes[node].pid, signal.SIGSTOP)
    try:
        status, body, _ = call(
            "POST", cluster.url(leader, "/api/v1/apps/register"), app_spec("unsure", "x:1"),
            timeout_s=WAIT_S)
    finally:
        for node in others:
            os.killpg(cluster.processes[node].pid, signal.SIGCONT)
    assert (status, body["details"]["outcome"]) == (504, "unknown")
    key = body["details"]["idempotency_key"]
    cluster.wait_ready()
    write = Write(("POST", "/api/v1/apps/register"), "/api/v1/apps/register",
                  app_spec("unsure", "x:1"), None, key)

    def settled() -> bool:
        try:
            status, body = write.send(cluster, cluster.alive()[0], write.body)
        except OSError:
            return False
        assert status in (201, 503, 504), body
        return status == 201

    until("the repeat settles it", settled, WAIT_S)
    names = [row["name"] for row in cluster.write(
        "GET", "/api/v1/apps?consistency=linearizable")[1]["apps"]]
    assert names.count("unsure") == 1
