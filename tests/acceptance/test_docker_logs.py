"""Logs of a Docker daemon that is killed, hangs, restarts, or logs nothing by default."""

from __future__ import annotations

import http.client
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import pytest
from docker import APIClient

from cluster.clock import SystemClock
from cluster.consensus.local_log import LocalLog
from cluster.engine.base import Container, EngineError, LogLine, RunRequest
from cluster.engine.docker import DockerEngine
from cluster.live.follow import LogSource
from cluster.state.commands import RegisterApp, ReportApp, Stamp, StartApp
from cluster.state.model import Replica
from orchestry.spec.parse import canonical
from tests.api.support import spec
from tests.docker_daemon import PrivateDaemon
from tests.images import build_test_app
from tests.live import listening

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

TIMEOUT_S = 2.0
DEADLINE_S = 60.0
CLUSTER = uuid.uuid4().hex


@pytest.fixture(scope="module")
def daemon(
    docker_socket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateDaemon]:
    """A daemon whose containers outlive it, and which by default keeps no logs."""
    folder = tmp_path_factory.mktemp("dockerd")
    with PrivateDaemon(folder, "--live-restore", "--log-driver", "none") as private:
        yield private


@pytest.fixture
def engine(daemon: PrivateDaemon) -> Iterator[DockerEngine]:
    """An engine that loses patience soon."""
    with closing(DockerEngine(
        base_url=daemon.url, timeout_s=TIMEOUT_S, serves=lambda: CLUSTER,
    )) as made:
        yield made


@pytest.fixture
def patient(daemon: PrivateDaemon) -> Iterator[DockerEngine]:
    """An engine that loses it later than any of these tests."""
    with closing(DockerEngine(base_url=daemon.url, timeout_s=10 * DEADLINE_S)) as made:
        yield made


@pytest.fixture
def replica(patient: DockerEngine) -> Iterator[Container]:
    """A container that runs."""
    try:
        yield patient.run(RunRequest(
            CLUSTER, "web", 1, 1, 1, build_test_app(patient), memory_bytes=16 * 1024**2))
    finally:
        patient.purge(CLUSTER)


def until(holds: Callable[[], bool], what: Callable[[], str]) -> None:
    """Wait until it holds, at most DEADLINE_S."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline_s, what()
        time.sleep(0.05)


def say(replica: Container, *lines: str) -> None:
    """Let it write lines."""
    listening(replica.ip, timeout_s=DEADLINE_S)
    connection = http.client.HTTPConnection(replica.ip, 8080, timeout=DEADLINE_S)
    connection.request("POST", "/say", body="".join(f"{line}\n" for line in lines).encode())
    assert connection.getresponse().status == 200
    connection.close()


def watch(engine: DockerEngine, replica: Container) -> tuple[LogSource, list[str]]:
    """A source of live logs, and what came through it."""
    log, got = LocalLog(), list[str]()
    stamp = Stamp(time.time_ns() // 1_000_000, "local")
    log.submit(RegisterApp("web", canonical(spec("web")), 1), stamp)
    log.submit(StartApp("web"), stamp)
    log.submit(ReportApp("web", log.state().apps["web"].revision, (Replica(
        1, 1, replica.id, replica.name, replica.ip, 80, "running", "healthy",
        started_at_ms=replica.started_at_ms),)), stamp)
    source = LogSource(engine, log, SystemClock())

    def take(lines: Sequence[tuple[str, LogLine]]) -> None:
        got.extend(line.text for _, line in lines if line.text.startswith("line "))

    source.subscribe("web", None, take, since_ns=0)
    return source, got


def test_the_driver_is_ours_whatever_the_daemon_prefers(
    daemon: PrivateDaemon, patient: DockerEngine, replica: Container
) -> None:
    """Logs can be read, and stay small, on a daemon whose own default keeps none."""
    client = APIClient(base_url=daemon.url, version="auto", timeout=DEADLINE_S)
    assert client.info()["LoggingDriver"] == "none"
    assert client.inspect_container(replica.id)["HostConfig"]["LogConfig"] == {
        "Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    client.close()
    say(replica, "line 0")
    until(lambda: [line.text for line in patient.logs(replica.id, tail=1)] == ["line 0"],
          lambda: "the line does not come")


def test_a_daemon_that_comes_back_loses_and_doubles_nothing(
    daemon: PrivateDaemon, engine: DockerEngine, replica: Container
) -> None:
    """Killed twice while lines are written, and once stopped for a while: each comes once."""
    source, got = watch(engine, replica)
    said: list[str] = []

    def speak(count: int) -> None:
        for _ in range(count):
            said.append(f"line {len(said)}")
            say(replica, said[-1])

    try:
        speak(50)
        until(lambda: len(got) == len(said), lambda: f"{len(got)} of {len(said)}")
        for _ in range(2):
            daemon.kill()
            speak(50)  # into the pipe that the next daemon reads
            daemon.start()
            speak(50)
            until(lambda: len(got) >= len(said), lambda: f"{len(got)} of {len(said)}")
        daemon.freeze()
        try:
            speak(50)
            time.sleep(2 * TIMEOUT_S)
        finally:
            daemon.thaw()
        speak(50)
        until(lambda: len(got) >= len(said), lambda: f"{len(got)} of {len(said)}")
        assert got == said
    finally:
        source.close()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("live-log")],
          lambda: "a thread is left")


def test_follow_ends_while_the_daemon_hangs(
    daemon: PrivateDaemon, patient: DockerEngine, replica: Container
) -> None:
    """Told to stop, it does not wait for a frozen daemon, before or after its answer began."""
    opened, stop = threading.Event(), threading.Event()
    ended: list[str] = []

    def read(name: str, started: threading.Event | None) -> None:
        try:
            for _ in patient.follow(replica.id, since_ns=0, stop=stop):
                if started is not None:
                    started.set()
        except EngineError as error:
            ended.append(error.fault)
        ended.append(name)

    first = threading.Thread(target=read, args=("open", opened))
    first.start()
    assert opened.wait(DEADLINE_S)
    daemon.freeze()
    try:
        second = threading.Thread(target=read, args=("opening", None))
        second.start()
        time.sleep(0.3)
        stop.set()
        first.join(DEADLINE_S)
        second.join(DEADLINE_S)
    finally:
        daemon.thaw()
    assert sorted(ended) == ["open", "opening"]
