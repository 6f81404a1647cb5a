"""What measuring promises: on the real Docker by files and through its API, and on the fake."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.clock import SystemClock
from cluster.control.rates import load
from cluster.engine import docker_usage
from cluster.engine.base import Container, Engine, EngineError
from cluster.engine.cgroups import Cgroups
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_usage import UsageReader
from cluster.engine.fake import FakeEngine
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, FakeHost, Host, request_for, until

MB = 1024**2
WATCHED_S = 2.0


class Subject:
    """A host, and how to keep one of its containers busy."""

    def __init__(self, host: Host, busy: Callable[[Container], None]) -> None:
        self.host, self.engine, self.cluster_id = host, host.engine, host.cluster_id
        self.busy = busy


@contextmanager
def asking(container: Container, stop: threading.Event) -> Iterator[None]:
    """Requests that cost CPU, until told to stop."""
    def ask() -> None:
        while not stop.is_set():
            try:
                urllib.request.urlopen(f"http://{container.ip}:8080/?cpu=50", timeout=30).read()
            except OSError:
                stop.wait(0.05)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join(60)


@pytest.fixture(params=[
    "fake", pytest.param("files", marks=pytest.mark.docker),
    pytest.param("api", marks=pytest.mark.docker),
])
def subject(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Subject]:
    """Each way to measure."""
    monkeypatch.setattr(docker_usage, "WHOLE_S", DEADLINE_S)  # else who is slow is left out
    if request.param == "fake":
        fake = FakeHost()
        yield Subject(fake, lambda c: fake.engine.set_load(c.id, cpu_cores=1.0))
        return
    docker: DockerHost = request.getfixturevalue("docker_host")
    assert isinstance(docker.engine, DockerEngine)
    root = Path("/sys/fs/cgroup") if request.param == "files" else tmp_path
    docker.engine._usage = UsageReader(docker.engine._api, Cgroups(root))
    stop = threading.Event()
    running: list[object] = []

    def busy(container: Container) -> None:
        context = asking(container, stop)
        context.__enter__()
        running.append(context)

    try:
        yield Subject(docker, busy)
    finally:
        for context in running:
            context.__exit__(None, None, None)  # type: ignore[attr-defined]


def test_a_busy_container_is_told_from_an_idle_one(subject: Subject) -> None:
    """A container that is pegged at its tenth of a core uses all of its limit."""
    busy = subject.engine.run(request_for(subject.host, 1))
    idle = subject.engine.run(request_for(subject.host, 2))
    subject.busy(busy)

    def told() -> bool:
        """Until both have begun, and the one is kept busy."""
        before = {u.container_id: u for u in subject.engine.usage([busy.id, idle.id])}
        time.sleep(WATCHED_S)
        after = {u.container_id: u for u in subject.engine.usage([busy.id, idle.id])}
        assert set(before) == set(after) == {busy.id, idle.id}
        assert after[busy.id].cpu_limit_cores == pytest.approx(0.1)
        assert after[busy.id].memory_limit_bytes == 16 * MB
        assert 0 < after[idle.id].memory_bytes < 16 * MB
        pegged, calm = (load(before[one.id], after[one.id]).cpu_percent for one in (busy, idle))
        assert pegged is not None
        assert calm is not None
        assert pegged < 140
        return pegged > 60 and calm < 30

    until(told)


def test_what_does_not_run_is_missing(subject: Subject) -> None:
    """Never zero: unknown, dead and stopped containers are left out."""
    runs = subject.engine.run(request_for(subject.host, 1))
    dead = subject.engine.run(request_for(subject.host, 2))
    gone = subject.engine.run(request_for(subject.host, 3))
    subject.engine.usage([runs.id, dead.id, gone.id])
    subject.host.kill(dead.id)
    subject.engine.stop(gone.id, grace_s=0)
    found = subject.engine.usage([dead.id, runs.id, gone.id, "0" * 64])
    assert [usage.container_id for usage in found] == [runs.id]
    assert list(subject.engine.usage([])) == []


def test_many_in_one_call(subject: Subject) -> None:
    """Each once."""
    ids = [subject.engine.run(request_for(subject.host, slot)).id for slot in range(8)]
    found = subject.engine.usage(ids)
    assert sorted(usage.container_id for usage in found) == sorted(ids)


def dead_engines(tmp_path: Path) -> Iterator[Engine]:
    """Engines that do not answer."""
    fake = FakeEngine(SystemClock())
    fake.down = True
    yield fake
    engine = DockerEngine(base_url=f"unix://{tmp_path}/none.sock", timeout_s=DEADLINE_S)
    yield engine
    engine.close()


def test_an_engine_that_is_down_says_so(tmp_path: Path) -> None:
    """An error, so that nobody takes it for an answer without containers."""
    for engine in dead_engines(tmp_path):
        with pytest.raises(EngineError) as failed:
            engine.usage(["0" * 64])
        assert failed.value.fault == "unavailable"
