"""Runs in real containers: exit codes, output, time limits, and the job before a deployment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.live import LiveCluster, app_spec, until
from tests.live_apps import ask, cli, ended, environment, update

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

APP = "/api/v1/apps/shop"
OVER_S = 90.0


@pytest.fixture(scope="module")
def cluster(cluster: LiveCluster, test_app_image: str) -> LiveCluster:
    """It has an app that does not run."""
    ask(cluster, "POST", "/api/v1/apps/register", spec(test_app_image))
    return cluster


def spec(image: str, pre: list[str] | None = None, **variables: str) -> dict[str, Any]:
    """The shop; what is in its environment makes another revision."""
    found = environment(app_spec("shop", image), **variables)
    found["termination"] = {"terminationGracePeriodSeconds": 1, "drainSeconds": 1}
    found["deploy"] = {"minHealthySeconds": 1, "progressDeadlineSeconds": 60}
    if pre is not None:
        found["deploy"]["pre"] = {"command": pre, "timeoutSeconds": 60}
    return found


def run(cluster: LiveCluster, *command: str, timeout_s: int = 30) -> int:
    """The id of another run."""
    body = {"command": list(command), "timeout_s": timeout_s}
    return int(ask(cluster, "POST", f"{APP}/run", body)["run"])


def shown(cluster: LiveCluster, number: int) -> dict[str, Any]:
    """How it is."""
    return dict(ask(cluster, "GET", f"{APP}/runs/{number}"))


def over(cluster: LiveCluster, number: int) -> dict[str, Any]:
    """The run once it has ended."""
    return dict(until(f"run {number} is over", lambda: (
        found := shown(cluster, number))["ended_at"] and found, OVER_S, 0.2))


def test_a_command_its_output_and_its_code(cluster: LiveCluster) -> None:
    """The command line prints what it writes and ends as it does, at an app that does not run."""
    done = cli(cluster, "run", "shop", "--", "/app", "once", "3", "300", "one", "two")
    assert (done.returncode, done.stdout) == (3, "one\ntwo\n"), done.stderr
    good = cli(cluster, "run", "shop", "--", "/app", "once", "0", "0", "fine")
    assert (good.returncode, good.stdout) == (0, "fine\n"), good.stderr
    missing = cli(cluster, "run", "shop", "--", "/nothing")
    assert missing.returncode == 1
    assert "/nothing" in missing.stderr


def test_its_log_is_followed_to_its_end(
    cluster: LiveCluster, client: docker.APIClient
) -> None:
    """By its number, while it writes; afterwards, too, and when its container is gone."""
    number = run(cluster, "/app", "once", "3", "3000", "hello")
    followed = cli(cluster, "logs", "shop", "--run", str(number), "-f")
    assert (followed.returncode, followed.stdout) == (0, f"shop-run-{number} | hello\n"), (
        followed.stderr)
    assert f"Run {number} of shop: failed: exited with code 3" in followed.stderr
    assert shown(cluster, number)["status"] == "failed"
    again = cli(cluster, "logs", "shop", "--run", str(number), "-f")
    assert again.stdout == followed.stdout
    (container,) = [one["id"] for one in cluster.write("GET", "/cluster/containers")[1][
        "containers"] if f".run{number}." in one["name"]]
    client.remove_container(container, force=True)
    kept = cli(cluster, "logs", "shop", "--run", str(number))
    assert kept.stdout == followed.stdout
    assert "its container is gone; these are its last lines" in kept.stderr


def test_limits_and_cancels(cluster: LiveCluster) -> None:
    """What takes too long is stopped, and so is what was cancelled."""
    late = run(cluster, "/app", "once", "0", "60000", timeout_s=2)
    stopped = run(cluster, "/app", "once", "0", "60000")
    until("it runs", lambda: shown(cluster, stopped)["status"] == "running", OVER_S, 0.1)
    status, body = cluster.write("POST", f"{APP}/runs/{stopped}/cancel")
    assert status == 200, body
    assert over(cluster, stopped)["status"] == "cancelled"
    assert over(cluster, late)["status"] == "timed_out"


def test_a_leader_that_dies_runs_nothing_twice(cluster: LiveCluster) -> None:
    """The next one takes the container over, and tells its code."""
    number = run(cluster, "/app", "once", "7", "4000", "once only")
    until("it runs", lambda: shown(cluster, number)["status"] == "running", OVER_S, 0.1)
    leader = cluster.led()
    cluster.kill(leader)
    found = over(cluster, number)
    cluster.boot(leader)
    cluster.wait_ready()
    assert (found["status"], found["exit_code"], found["last_lines"]) == (
        "failed", 7, ["once only"])


def test_a_job_runs_by_request(cluster: LiveCluster, test_app_image: str, tmp_path: Path) -> None:
    """Applied from a file beside an app, tried again as it says, and removed with its runs."""
    file = tmp_path / "tick.json"
    file.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Job", "metadata": {"name": "tick"},
        "spec": {"image": test_app_image, "command": ["/app", "once", "4", "0", "tick"]},
        "job": {"schedule": "0 3 1 1 *", "retries": 1}}))
    assert cli(cluster, "apply", str(file)).returncode == 0
    done = cli(cluster, "jobs", "trigger", "tick")
    assert (done.returncode, done.stdout) == (4, "tick\n"), done.stderr
    path = "/api/v1/apps/tick/runs"
    found = until("both attempts are over", lambda: [
        one for one in cluster.write("GET", path)[1]["runs"] if one["ended_at"]][1:2] and
        cluster.write("GET", path)[1]["runs"], OVER_S, 0.5)
    assert [(one["attempt"], one["status"], one["exit_code"]) for one in found] == [
        (2, "failed", 4), (1, "failed", 4)]
    assert "tick" in cli(cluster, "jobs", "list").stdout
    assert cli(cluster, "delete", "tick", "--force").returncode == 0


def test_a_deployment_begins_with_its_job(cluster: LiveCluster, test_app_image: str) -> None:
    """One that succeeds lets the update go on; one that fails leaves the replicas alone."""
    image = test_app_image
    status, body = cluster.write("POST", f"{APP}/start", {"replicas": 1})
    assert (status, body["status"]) == (200, "running"), body
    good = ended(cluster, update(cluster, spec(
        image, ["/app", "once", "0", "500", "migrated"], V="2")))
    assert good["phase"] == "done", good
    before = cluster.write("GET", APP)[1]["containers"]
    bad = ended(cluster, update(cluster, spec(
        image, ["/app", "once", "9", "0", "no such table"], V="3")))
    assert bad["phase"] == "failed", bad
    assert "exited with code 9" in bad["reason"]
    after = cluster.write("GET", APP)[1]["containers"]
    assert [one["id"] for one in after] == [one["id"] for one in before]
    runs = cluster.write("GET", f"{APP}/runs")[1]["runs"]
    failed = next(one["id"] for one in runs if one["kind"] == "pre")
    said = cli(cluster, "logs", "shop", "--run", str(failed))
    assert said.stdout == f"shop-run-{failed} | no such table\n"
    assert [(one["status"], one["last_lines"]) for one in runs if one["kind"] == "pre"] == [
        ("failed", ["no such table"]), ("succeeded", ["migrated"])]
