"""`orchestry dev` on the real thing: up, faults, down, again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from api import dev_child
from cluster.engine.docker import DockerEngine
from tests.acceptance import test_ingress_container
from tests.dev_run import CONTROLLERS, DevRun
from tests.live import call, until

ingress_base = test_ingress_container.base
pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

SOON_S = 60.0
"""A busy machine takes long; each test has five minutes."""


def demo(run: DevRun) -> str:
    """What the demo answers through the ingress."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{run.ingress_port}/", headers={"Host": "demo.localhost"})
    with urllib.request.urlopen(request, timeout=SOON_S) as answer:
        return str(answer.read().decode())


def running(engine: DockerEngine, run: DevRun) -> set[str]:
    """Ids of the cluster's running containers."""
    return {item.id for item in engine.observe(run.cluster_id()) if item.phase == "running"}


def ready(run: DevRun) -> bool:
    """All controllers serve."""
    return all(call("GET", f"{url}/readyz")[0] == 200 for url in run.urls)


def test_up_down_and_up_again(run: DevRun, engine: DockerEngine) -> None:
    """The demo answers, Ctrl-C leaves nothing running, and the next start brings it back."""
    printed = run.start("--demo")
    for part in (*run.urls, f"http://demo.localhost:{run.ingress_port}/", "/cluster/status",
                 "Host: demo.localhost"):
        assert part in printed
    assert re.search(r'"leader_id": "controller-[123]"', printed)
    assert demo(run).startswith("Hello from replica ")
    until("three replicas", lambda: len(running(engine, run)) == 3, SOON_S)
    processes = [run.pid(name) for name in ("controller-1", "controller-3", "ingress")]

    second = run.run()
    assert second.returncode == 1
    assert "in use by another `orchestry dev`" in second.stderr

    assert run.stop() == 0, run.story()
    assert list(engine.observe(run.cluster_id())) == []
    assert not any(dev_child.started_at(pid) for pid in processes)
    with pytest.raises(OSError, match="refused"):
        call("GET", run.urls[0])

    other = run.run("--nodes", "5")
    assert other.returncode == 1
    assert "--nodes 3" in other.stderr

    run.start()
    until("the demo is back", lambda: run.apps()["demo"]["status"] == "running", SOON_S)
    until("it answers", lambda: demo(run).startswith("Hello from replica "), SOON_S)
    assert run.stop(signal.SIGTERM) == 0, run.story()

    run.start("--fresh")
    assert run.apps() == {}
    assert run.stop() == 0, run.story()


def test_ingress_in_a_container(
    tmp_path: Path, docker_socket: str, ingress_base: str
) -> None:
    """Where there is no nginx, a container serves; it is replaced when it dies, and goes last."""
    run = DevRun(tmp_path, {"DOCKER_HOST": docker_socket, "INGRESS_BASE_IMAGE": ingress_base})
    try:
        run.start("--demo", "--ingress", "container")
        assert demo(run).startswith("Hello from replica ")
        name = f"orchestry-ingress-{run.cluster_id()[:8]}"
        subprocess.run(["docker", "-H", docker_socket, "kill", name], check=True,
                       stdout=subprocess.DEVNULL, timeout=30)
        until("it serves again", lambda: demo(run).startswith("Hello from replica "), SOON_S)
        assert run.stop() == 0, run.story()
        assert re.search(r"[0-9a-f]{40}", run.err.read_text()) is None, "a token was shown"
        left = subprocess.run(["docker", "-H", docker_socket, "ps", "-aq", "--filter",
                               f"name={name}"], capture_output=True, timeout=30, check=True)
        assert left.stdout == b""
    finally:
        run.clean_up()


def test_killed_leader_comes_back(run: DevRun) -> None:
    """One leads after it, the demo goes on, and three controllers serve again."""
    run.start("--demo")
    leader, epoch = until("a leader", run.leader, SOON_S), run.epoch()
    os.killpg(run.pid(leader), signal.SIGKILL)
    until("one leads after it", lambda: run.epoch() > epoch, SOON_S)
    assert demo(run).startswith("Hello from replica ")
    until("three controllers", lambda: ready(run), SOON_S)
    assert f"{leader:<12} killed by SIGKILL; starting it again" in run.err.read_text()
    assert run.stop() == 0, run.story()


def test_killed_dev_leaves_apps_and_nothing_else(run: DevRun, engine: DockerEngine) -> None:
    """After `kill -9` the controllers end, containers stay, and the next start adopts them."""
    run.start("--demo")
    until("three replicas", lambda: len(running(engine, run)) == 3, SOON_S)
    before = running(engine, run)
    pids = [run.pid(f"controller-{number + 1}") for number in range(CONTROLLERS)]
    assert run.process is not None
    run.process.kill()
    run.process.wait()
    until("no controller is left", lambda: not any(map(dev_child.started_at, pids)), SOON_S)
    assert running(engine, run) == before
    run.start()
    until("healthy", lambda: run.apps()["demo"]["status"] == "running", SOON_S)
    until("it answers", lambda: demo(run).startswith("Hello from replica "), SOON_S)
    assert running(engine, run) == before
    assert run.stop() == 0, run.story()


def test_controller_that_cannot_start_ends_it_all(run: DevRun) -> None:
    """The reason is on the screen, and nothing is left running."""
    folder = run.folder / "nodes" / "controller-2"
    folder.mkdir(parents=True)
    (folder / "node.json").write_text('{"format": 1, "node_id": "other", "cluster_id": ""}')
    done = run.run()
    assert done.returncode == 1
    assert "controller-2 ended with exit code 1 while starting" in done.stderr
    assert "belongs to node 'other'" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(OSError, match="refused"):
        call("GET", run.urls[0])


def test_without_docker_it_says_what_to_do(tmp_path: Path) -> None:
    """Nothing is started."""
    run = DevRun(tmp_path, {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    done = run.run()
    assert done.returncode == 1
    assert "Docker does not answer" in done.stderr
    assert "DOCKER_HOST" in done.stderr
    assert "Traceback" not in done.stderr


def test_fake_engine_needs_neither_docker_nor_nginx(tmp_path: Path) -> None:
    """A cluster to try the API on."""
    run = DevRun(tmp_path, {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    try:
        printed = run.start("--engine", "fake", "--nodes", "3")
        assert "ingress" not in printed
        assert ready(run)
        assert "SQLiteImpl" not in run.err.read_text()
        assert run.apps() == {}
        assert run.stop() == 0, run.story()
    finally:
        if run.process is not None and run.process.poll() is None:
            run.process.kill()
            run.process.wait()
