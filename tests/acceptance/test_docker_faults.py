"""A Docker daemon that dies, hangs and comes back, seen through the engine."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.engine.base import Container, EngineError, EngineEvent, RunRequest
from cluster.engine.docker import DockerEngine
from tests.docker_daemon import PrivateDaemon
from tests.images import build_test_app

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

TIMEOUT_S = 4.0
DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def daemon(
    docker_socket: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrivateDaemon]:
    with PrivateDaemon(tmp_path_factory.mktemp("dockerd")) as private:
        yield private


@pytest.fixture
def engine(daemon: PrivateDaemon) -> Iterator[DockerEngine]:
    """One that loses patience soon."""
    with contextlib.closing(
        DockerEngine(base_url=daemon.url, timeout_s=TIMEOUT_S)
    ) as engine:
        yield engine


@pytest.fixture
def patient(daemon: PrivateDaemon) -> Iterator[DockerEngine]:
    """One for what a daemon does that is well, however busy the machine is."""
    with contextlib.closing(
        DockerEngine(base_url=daemon.url, timeout_s=DEADLINE_S)
    ) as engine:
        yield engine


@pytest.fixture
def request_for_test(patient: DockerEngine) -> Iterator[RunRequest]:
    """A replica that can be run, under a cluster of its own that is purged in the end."""
    cluster_id = uuid.uuid4().hex
    try:
        yield RunRequest(
            cluster_id, "web", 0, 1, 1, build_test_app(patient), memory_bytes=16 * 1024**2
        )
    finally:
        patient.purge(cluster_id)


class Hints:
    """Collects events() on a thread; `heard` are those that nobody has waited for yet."""

    def __init__(self, engine: DockerEngine, cluster_id: str) -> None:
        self.heard: list[EngineEvent] = []
        self.stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, args=(engine, cluster_id))

    def _listen(self, engine: DockerEngine, cluster_id: str) -> None:
        for hint in engine.events(cluster_id, self.stop):
            with self._changed:
                self.heard.append(hint)
                self._changed.notify_all()

    def wait_for(self, kind: str) -> None:
        """Wait for the next hint of a kind; those of containers may come before and after it."""
        with self._changed:
            came = self._changed.wait_for(
                lambda: any(hint.kind == kind for hint in self.heard), DEADLINE_S)
            assert came, f"{kind} did not come, only {self.heard}"
            while self.heard.pop(0).kind != kind:
                pass

    def __enter__(self) -> Hints:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


def observed_running(engine: DockerEngine, cluster_id: str) -> Sequence[Container]:
    """What observe() shows once it answers and shows a running container."""
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(EngineError):
            found = engine.observe(cluster_id)
            if any(container.phase == "running" for container in found):
                return found
        assert time.monotonic() < deadline_s, "no running container came into sight"
        time.sleep(0.1)


def test_killed_daemon_is_unavailable_and_comes_back(
    daemon: PrivateDaemon, patient: DockerEngine, request_for_test: RunRequest
) -> None:
    """A dead daemon is a retryable fault; after its restart events reconnect and runs work."""
    cluster_id = request_for_test.cluster_id
    first = patient.run(request_for_test)
    with Hints(patient, cluster_id) as hints:
        hints.wait_for("connected")
        daemon.kill()
        hints.wait_for("lost")
        with pytest.raises(EngineError, match="does not answer") as caught:
            patient.observe(cluster_id)
        assert caught.value.fault == "unavailable"
        assert caught.value.retryable
        with pytest.raises(EngineError):
            patient.stop(first.id, grace_s=0)
        daemon.start()
        hints.wait_for("connected")
    # A daemon killed without live-restore ends its containers when it comes back; either way
    # the replica runs again under its identity.
    again = patient.run(request_for_test)
    assert again.phase == "running"
    assert [c.id for c in observed_running(patient, cluster_id)] == [again.id]


def test_hanging_daemon_times_out_and_its_containers_are_adopted(
    daemon: PrivateDaemon, engine: DockerEngine, patient: DockerEngine,
    request_for_test: RunRequest,
) -> None:
    """Every call on a hung daemon ends with `timeout`; then what ran before is still ours."""
    cluster_id = request_for_test.cluster_id
    started = patient.run(request_for_test)
    observed_running(engine, cluster_id)  # it knows the daemon, unlike the next one
    fresh = DockerEngine(base_url=daemon.url, timeout_s=TIMEOUT_S)
    calls = [
        lambda: engine.observe(cluster_id),
        lambda: engine.run(request_for_test),
        lambda: engine.stop(started.id, grace_s=0),
        lambda: engine.logs(started.id, tail=5),
        lambda: engine.info(),
        lambda: fresh.observe(cluster_id),
        lambda: fresh.info(),
    ]
    daemon.freeze()
    try:
        with ThreadPoolExecutor(len(calls)) as pool:
            asked = [pool.submit(call) for call in calls]
            faults = [one.exception() for one in asked]
    finally:
        daemon.thaw()
    assert [error.fault for error in faults if isinstance(error, EngineError)] == (
        ["timeout"] * len(calls)
    )
    # The frozen daemon has read the requests and acts on them now, so the stop may still happen
    # after a run: as for a reconciler, what counts is where repeating it leads.
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(EngineError):
            again = patient.run(request_for_test)
            time.sleep(1.0)
            running = [c.id for c in patient.observe(cluster_id) if c.phase == "running"]
            if running == [again.id]:
                break
        assert time.monotonic() < deadline_s, "the replica does not come back"
    fresh.close()


def test_events_end_while_the_daemon_hangs(
    daemon: PrivateDaemon, engine: DockerEngine, request_for_test: RunRequest
) -> None:
    """A listener that waits for a frozen daemon still ends when it is told to stop."""
    daemon.freeze()
    try:
        with Hints(engine, request_for_test.cluster_id) as hints:
            hints.wait_for("lost")
    finally:
        daemon.thaw()


def test_containers_of_a_former_engine_are_adopted(
    daemon: PrivateDaemon, patient: DockerEngine, request_for_test: RunRequest
) -> None:
    """A new leader's engine sees what its predecessor started and returns it from run()."""
    started = patient.run(request_for_test)
    successor = DockerEngine(base_url=daemon.url, timeout_s=DEADLINE_S)
    try:
        assert list(successor.observe(request_for_test.cluster_id)) == [started]
        assert successor.run(request_for_test) == started
        successor.stop(started.id, grace_s=0)
        assert list(successor.observe(request_for_test.cluster_id)) == []
    finally:
        successor.close()


def test_no_daemon_at_all_is_unavailable(tmp_path: Path) -> None:
    """An engine can be made without a daemon; its calls say what is wrong."""
    engine = DockerEngine(base_url=f"unix://{tmp_path}/absent.sock", timeout_s=TIMEOUT_S)
    with pytest.raises(EngineError, match="No such file") as caught:
        engine.info()
    assert caught.value.fault == "unavailable"
