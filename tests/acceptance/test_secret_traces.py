"""Secrets of apps and of registries, through all that goes wrong: they are told of nowhere."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.test_followed import Follower, cli
from tests.asking_cluster import SECRET, AskingCluster
from tests.live import app_spec, until
from tests.registry import Registry, saved

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

WAIT_S = 90.0
VALUE = 'Zq7"never\\seen/äöü-by-anybody'
LOGIN = "Zq8-login-of-the-registry"
OLD, NEW = "ab" * 32, "cd" * 32
READS = (
    "/api/v1/apps", "/api/v1/apps/shop", "/api/v1/apps/shop/spec",
    "/api/v1/apps/shop/spec?resolved=true", "/api/v1/apps/shop/revisions",
    "/api/v1/apps/shop/deployments", "/api/v1/apps/shop/runs", "/api/v1/apps/shop/metrics",
    "/api/v1/apps/shop/health", "/api/v1/apps/shop/events?limit=1000",
    "/api/v1/apps/shop/scaling/decisions", "/api/v1/events?limit=1000", "/api/v1/audit?limit=1000",
    "/api/v1/secrets", "/api/v1/secrets/pw", "/api/v1/registries", "/api/v1/config",
    "/api/v1/metrics", "/metrics", "/health", "/cluster/status", "/cluster/actions",
    "/cluster/containers", "/openapi.json",
)


def forms(text: str) -> list[bytes]:
    """How a text may look somewhere else."""
    plain = text.encode()
    found = {plain, json.dumps(text)[1:-1].encode(), json.dumps(text, ensure_ascii=False)[
        1:-1].encode(), quote(text, safe="").encode(), quote(text).encode(), plain.hex().encode(),
        repr(text)[1:-1].encode()}
    for shift in range(3):  # wherever it begins in a longer text
        code = base64.b64encode(b"\0" * shift + plain)[4 if shift else 0:-4]
        found |= {code, code.replace(b"+", b"-").replace(b"/", b"_")}
    return sorted(found)


@pytest.fixture
def registry(client: Any) -> Iterator[Registry]:
    """One that wants a login."""
    with Registry(login=("robot", LOGIN)) as found:
        yield found
        for image in client.images():
            if any(name.startswith(found.host) for name in image["RepoTags"] or ()):
                client.remove_image(image["Id"], force=True)


class Told:
    """All that anybody said."""

    def __init__(self, cluster: AskingCluster) -> None:
        self._cluster = cluster
        self.parts: list[tuple[str, bytes]] = []

    def ask(self, method: str, path: str, body: Any = None, *, refused: bool = False) -> Any:
        """A write, and its answer."""
        status, answer = self._cluster.write(method, path, body)
        self.parts.append((f"{method} {path}", json.dumps(answer, ensure_ascii=False).encode()))
        assert (status >= 400) is refused, (path, answer)
        return answer

    def reads(self) -> None:
        """What each controller tells."""
        for node in self._cluster.alive():
            for path in READS:
                request = urllib.request.Request(
                    self._cluster.url(node, path), headers=self._cluster.headers)
                with urllib.request.urlopen(request, timeout=30) as answer:
                    self.parts.append((path, answer.read()))

    def run(self, *arguments: str, typed: str = "", code: int = 0) -> str:
        """The command line."""
        urls = [part for node in self._cluster.alive() for part in (
            "--url", self._cluster.url(node))]
        token = self._cluster.headers["Authorization"].removeprefix("Bearer ")
        done = subprocess.run(
            [sys.executable, "-m", "orchestry.cli", *urls, "--token", token, *arguments],
            input=typed.encode(), capture_output=True, timeout=WAIT_S, check=False)
        self.parts.append((" ".join(arguments), done.stdout + done.stderr))
        assert done.returncode == code, done.stderr.decode()
        return done.stdout.decode()


def shop(image: str, **environment: str) -> dict[str, Any]:
    """It has the secret twice, and is checked in vain when it has it not."""
    spec = app_spec("shop", image, termination={"drainSeconds": 0}, deploy={
        "minHealthySeconds": 0, "progressDeadlineSeconds": 6})
    spec["spec"]["environment"] = [
        {"name": "TOKEN", "source": "secret", "key": "pw"},
        {"name": "ANYTHING", "source": "secret", "key": "pw"},
        {"name": "NEEDS", "value": "/run/secrets/pw"},
        *({"name": name, "value": value} for name, value in environment.items())]
    spec["spec"]["secretFiles"] = [{"name": "pw", "key": "pw"}]
    return spec


def over(told: Told, deployment: int) -> dict[str, Any]:
    """The deployment once it has ended."""
    path = f"/api/v1/apps/shop/deployments/{deployment}"
    return dict(until("the deployment is over", lambda: (
        found := told.ask("GET", path))["ended_at"] and found, WAIT_S, 0.3))


def refuse_and_crash(told: Told, cluster: AskingCluster, image: str) -> None:
    """Bad bodies, a replica that prints it and ends, a run and a pre-deploy job that do."""
    for method, path, body in (
        ("PUT", "/api/v1/secrets/pw", {"value": VALUE, "more": VALUE}),
        ("PUT", "/api/v1/secrets/pw", {"values": {VALUE: VALUE}}),
        ("PUT", "/api/v1/secrets/pw", {"value": [VALUE]}),
        ("PUT", "/api/v1/secrets/-bad", {"value": VALUE}),
        ("PUT", "/api/v1/secrets/pw", {"value": VALUE * 10_000}),
        ("PUT", "/api/v1/registries/-bad", {"username": "robot", "password": LOGIN}),
        ("PUT", "/api/v1/registries/x.example", {"username": "robot", "password": [LOGIN]}),
        ("PUT", "/api/v1/registries/x.example", {"username": "robot", "password": f"{LOGIN}\n"}),
    ):
        told.ask(method, path, body, refused=True)
    answer = told.ask("PUT", "/api/v1/apps/shop", shop(image, EXIT_CODE="3"))
    assert over(told, answer["deployment"])["phase"] == "failed"
    until("it is back", lambda: cluster.status("shop")["status"] == "running", WAIT_S)
    document = shop(image, EXIT_CODE="4")
    document["deploy"]["pre"] = {"command": ["/app"], "timeoutSeconds": 20}
    answer = told.ask("PUT", "/api/v1/apps/shop", document)
    found = over(told, answer["deployment"])
    assert found["phase"] == "failed"
    until("it is back again", lambda: cluster.status("shop")["status"] == "running", WAIT_S)
    runs = told.ask("GET", "/api/v1/apps/shop/runs")["runs"]
    assert ["ending as told, token ********"] in [one["last_lines"][-1:] for one in runs]


@pytest.mark.timeout(500)
def test_a_secret_leaves_no_trace(
    tmp_path: Path, registry: Registry, client: Any, test_app_image: str, docker_socket: str
) -> None:
    """In files, logs, events, answers, metrics, streams, labels, backups, over a change of keys."""
    image = f"{registry.host}/team/shop"
    registry.put("team/shop", "1", saved(client, test_app_image), os.urandom(64))
    environ = {
        "DOCKER_HOST": docker_socket, "ORCHESTRY_SECRETS_KEY": OLD, "ORCHESTRY_LOG_LEVEL": "debug",
        "ORCHESTRY_AUTH": "on", "CLUSTER_SECRET": SECRET, "CLUSTER_LIMITS_MIN_MEMORY": "4Mi"}
    with AskingCluster(tmp_path / "cluster", ingress=False, environ=environ) as cluster:
        told = Told(cluster)
        told.run("secret", "set", "pw", typed=VALUE)
        told.ask("PUT", f"/api/v1/registries/{registry.host}", {
            "username": "robot", "password": LOGIN})
        token = cluster.headers["Authorization"].removeprefix("Bearer ")
        with Follower(*cli("events", "-f", "--json", "-n", "1000"), urls=[
                cluster.url(node) for node in cluster.ids], ORCHESTRY_TOKEN=token) as events:
            registry.fault = "echo"
            told.ask("POST", "/api/v1/apps/register", shop(f"{image}:1"))
            told.ask("POST", "/api/v1/apps/shop/start", {"replicas": 2, "wait": False})
            until("the registry's word is told", lambda: "does not give out" in str(
                (cluster.status("shop")["problem"] or {}).get("message")), WAIT_S)
            told.reads()
            registry.fault = ""
            until("it runs", lambda: cluster.status("shop")["status"] == "running", WAIT_S)
            refuse_and_crash(told, cluster, f"{image}:1")
            told.ask("PUT", "/api/v1/apps/shop?dry_run=true", shop(f"{image}:1", MORE="1"))
            told.run("cluster", "backup", str(tmp_path / "first.backup"))
            cluster.environ["ORCHESTRY_SECRETS_KEY"] = f"{NEW},{OLD}"
            for node in cluster.ids:
                cluster.kill(node)
                cluster.boot(node)
                cluster.wait_ready()
            told.run("secret", "rotate")
            told.run("secret", "set", "pw", typed=f"{VALUE}2")
            # The command line does not tell at which index it wrote.
            told.ask("GET", "/api/v1/apps/shop?consistency=linearizable")
            until("it is renewed", lambda: (found := cluster.status("shop"))
                  and found["deployment"] is None and found["status"] == "running", WAIT_S)
            told.reads()
            told.run("cluster", "backup", str(tmp_path / "second.backup"))
            told.run("cluster", "verify")
            labels = [(one["Labels"], one["Names"]) for one in client.containers(all=True)]
            told.parts.append(("labels", json.dumps([
                labels, client.volumes(), client.networks()], ensure_ascii=False).encode()))
            # What is looked for would be found: where it has to be, it is.
            one = client.inspect_container(cluster.status("shop")["containers"][0]["id"])
            given = json.dumps(one["Config"]["Env"]).encode()
            assert any(form in given for form in forms(VALUE))
            told.ask("DELETE", "/api/v1/apps/shop?force=true")
        told.parts.append(("events -f", "\n".join(events.lines).encode()))
    told.parts += [(str(path), path.read_bytes()) for path in tmp_path.rglob("*")
                   if path.is_file()]
    assert len(told.parts) > 150
    secrets = [*forms(VALUE), *forms(LOGIN)]
    found = {f"{what}: {form!r}" for what, data in told.parts for form in secrets if form in data}
    assert found == set()
