"""What tests do with the apps of a live cluster: run them, update them, ask the command line."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from typing import Any

from tests.live import LiveCluster, call, until

ELECTED_S = 60.0
SERVED_S = 60.0
ENDED_S = 120.0
CLI_S = 120.0


def ask(cluster: LiveCluster, method: str, path: str, body: Any = None) -> Any:
    """What is answered to a request that is accepted."""
    status, answer = cluster.write(method, path, body)
    assert status < 300, answer
    return answer


def begin(cluster: LiveCluster, spec: dict[str, Any], replicas: int | None = None, *,
          wait: bool = True) -> str:
    """Register and start, with `wait` until the replicas are healthy; its name."""
    name = str(spec["metadata"]["name"])
    ask(cluster, "POST", "/api/v1/apps/register", spec)
    body = {"wait": wait} | ({} if replicas is None else {"replicas": replicas})
    started = ask(cluster, "POST", f"/api/v1/apps/{name}/start", body)
    assert not wait or started["status"] == "running", started
    return name


def served(cluster: LiveCluster, app: str) -> None:
    """Until the ingress has it."""
    until("the ingress serves", lambda: cluster.through_ingress(f"{app}.localhost") == 200,
          SERVED_S)


def say(cluster: LiveCluster, app: str, lines: list[str]) -> None:
    """Let the replicas write lines, one request each, through the ingress."""
    for line in lines:
        request = urllib.request.Request(
            f"http://127.0.0.1:{cluster.ingress_port}/say", data=f"{line}\n".encode(),
            headers={"Host": f"{app}.localhost"}, method="POST")
        with urllib.request.urlopen(request, timeout=SERVED_S) as answer:
            assert answer.status == 200


def environment(spec: dict[str, Any], **variables: str) -> dict[str, Any]:
    """The spec with variables."""
    spec["spec"]["environment"] = [
        {"name": name, "value": value} for name, value in variables.items()]
    return spec


def update(cluster: LiveCluster, spec: dict[str, Any]) -> int:
    """The id of the deployment that begins."""
    answer = ask(cluster, "PUT", f"/api/v1/apps/{spec['metadata']['name']}", spec)
    assert answer["status"] == "updated", answer
    return int(answer["deployment"])


def deployment(cluster: LiveCluster, number: int, app: str = "shop") -> dict[str, Any]:
    """How it stands, by whoever answers."""
    return dict(ask(
        cluster, "GET", f"/api/v1/apps/{app}/deployments/{number}?min_index={number}"))


def ended(cluster: LiveCluster, number: int, app: str = "shop", *, within_s: float = ENDED_S,
          gap_s: float = 0.2) -> dict[str, Any]:
    """The deployment once it is over."""
    return dict(until(
        f"deployment {number} is over",
        lambda: (found := deployment(cluster, number, app))["ended_at"] and found,
        within_s, gap_s))


def killed_leader(cluster: LiveCluster) -> str:
    """The name of the one that led, when another does."""
    leader = cluster.led()
    cluster.kill(leader)
    until("another leader", lambda: cluster.leader() not in (None, leader), ELECTED_S)
    return leader


def cluster_id(cluster: LiveCluster) -> str:
    """Its id, by the word of a controller."""
    return str(call("GET", cluster.url(cluster.alive()[0], "/cluster/status"))[1]["cluster_id"])


def printed(cluster: LiveCluster, *arguments: str) -> str:
    """What the command line prints that knows a follower only; it must succeed."""
    done = _run(["--url", cluster.url(cluster.follower()), *arguments], CLI_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def cli(
    cluster: LiveCluster | None, *arguments: str, timeout_s: float = CLI_S,
) -> subprocess.CompletedProcess[str]:
    """The command line, told of all controllers that run."""
    urls = [] if cluster is None else [
        part for node in cluster.alive() for part in ("--url", cluster.url(node))]
    return _run([*urls, *arguments], timeout_s)


def _run(arguments: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "orchestry.cli", *arguments], capture_output=True, text=True,
        check=False, timeout=timeout_s)
