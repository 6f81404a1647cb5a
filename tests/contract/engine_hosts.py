"""Hosts for the engine suites: the real Docker, the fake, and what happens behind their backs."""

from __future__ import annotations

import http.client
import io
import tarfile
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import pytest
from docker import APIClient
from docker.errors import NotFound

from cluster.clock import SystemClock
from cluster.engine.base import (
    FILES_FOLDER,
    Container,
    Engine,
    EngineEvent,
    RunRequest,
)
from cluster.engine.docker import DockerEngine
from cluster.engine.fake import FakeEngine
from cluster.engine.fake_parts import ImageBehaviour
from tests.live import listening

DEADLINE_S = 90.0
"""Of what has to come: a daemon beside other work may take long, and no test says how long."""
MISSING_IMAGE = "orchestry.invalid/missing:1"


class Host(Protocol):
    """An engine and what happens behind its back."""

    cluster_id: str
    image: str

    @property
    def engine(self) -> Engine:
        """The engine under test."""

    def kill(self, container_id: str) -> None:
        """Kill the container's process."""

    def say(self, container: Container, text: bytes, *, stream: int = 1) -> None:
        """Let the container write `text`, which ends with an end of line, to 1 out or 2 error."""

    def add_foreign(self, name: str, cluster_id: str = "") -> str:
        """Place a container that is not ours; returns its id."""

    def exists(self, container_id: str) -> bool:
        """Is the container there, running or not?"""

    def file(self, container: Container, name: str) -> str | None:
        """The text of a secret that is a file, None without one."""

    def close(self) -> None:
        """Remove all that the test left."""


class DockerHost:
    """The real daemon, under a cluster id of the test's own."""

    def __init__(self, url: str, image: str) -> None:
        self.image = image
        self.cluster_id = uuid.uuid4().hex
        self.engine = DockerEngine(base_url=url, timeout_s=DEADLINE_S)
        self.client = APIClient(base_url=url, version="auto", timeout=DEADLINE_S)
        self._foreign: list[str] = []

    def kill(self, container_id: str) -> None:
        self.client.kill(container_id)
        self.client.wait(container_id, timeout=DEADLINE_S)

    def say(self, container: Container, text: bytes, *, stream: int = 1) -> None:
        listening(container.ip, timeout_s=DEADLINE_S)
        connection = http.client.HTTPConnection(container.ip, 8080, timeout=DEADLINE_S)
        try:
            connection.request("POST", f"/say?stream={stream}", body=text)
            assert connection.getresponse().status == 200
        finally:
            connection.close()

    def add_foreign(self, name: str, cluster_id: str = "") -> str:
        labels = {"orchestry.cluster": cluster_id} if cluster_id else {}
        config: dict[str, Any] = {
            "Image": self.image, "Labels": labels, "HostConfig": {"NetworkMode": "none"},
        }
        container_id = str(self.client.create_container_from_config(config, name)["Id"])
        self._foreign.append(container_id)
        self.client.start(container_id)
        return container_id

    def exists(self, container_id: str) -> bool:
        try:
            self.client.inspect_container(container_id)
        except NotFound:
            return False
        return True

    def file(self, container: Container, name: str) -> str | None:
        try:
            stream, _ = self.client.get_archive(container.id, f"{FILES_FOLDER}/{name}")
        except NotFound:
            return None
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
            found = tar.extractfile(name)
            assert found is not None
            return found.read().decode()

    def inspect(self, container: Container) -> dict[str, Any]:
        found: dict[str, Any] = self.client.inspect_container(container.id)
        return found

    def close(self) -> None:
        try:
            for container_id in self._foreign:
                self.client.remove_container(container_id, force=True)
            self.engine.purge(self.cluster_id)
        finally:
            self.engine.close()
            self.client.close()


class FakeHost:
    """The fake, on the real clock."""

    def __init__(self) -> None:
        self.image = "app:1"
        self.cluster_id = uuid.uuid4().hex
        self.engine = FakeEngine(SystemClock())
        self.engine.behaviours[MISSING_IMAGE] = ImageBehaviour(missing=True)

    def kill(self, container_id: str) -> None:
        self.engine.kill(container_id)

    def say(self, container: Container, text: bytes, *, stream: int = 1) -> None:
        self.engine.say(container.id, *text.removesuffix(b"\n").split(b"\n"),
                        stream="stderr" if stream == 2 else "stdout")

    def add_foreign(self, name: str, cluster_id: str = "") -> str:
        return self.engine.add_foreign(name, cluster_id)

    def exists(self, container_id: str) -> bool:
        return self.engine.exists(container_id)

    def file(self, container: Container, name: str) -> str | None:
        return self.engine.files(container.id).get(name)

    def close(self) -> None:
        """Nothing is left of it."""


@pytest.fixture
def docker_host(docker_socket: str, test_app_image: str) -> Iterator[DockerHost]:
    host = DockerHost(docker_socket, test_app_image)
    try:
        yield host
    finally:
        host.close()


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "docker":
        yield request.getfixturevalue("docker_host")
    else:
        yield FakeHost()


def request_for(host: Host, slot: int = 0) -> RunRequest:
    return RunRequest(
        host.cluster_id, "web", slot, 3, 7, host.image, memory_bytes=16 * 1024**2,
        stop_grace_s=5,
    )


class Listener:
    """Collects the hints of an engine on a thread of its own."""

    def __init__(self, host: Host) -> None:
        self.heard: list[EngineEvent] = []
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._listen, args=(host,))

    def _listen(self, host: Host) -> None:
        for hint in host.engine.events(host.cluster_id, self._stop):
            with self._changed:
                self.heard.append(hint)
                self._changed.notify_all()

    def wait_for(self, hint: EngineEvent) -> None:
        with self._changed:
            came = self._changed.wait_for(lambda: hint in self.heard, DEADLINE_S)
        assert came, f"{hint} did not come, only {self.heard}"

    def __enter__(self) -> Listener:
        self._thread.start()
        self.wait_for(EngineEvent("connected"))
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive(), "events() did not end after stop"


def until(holds: Callable[[], bool]) -> None:
    """Wait until it holds, at most DEADLINE_S."""
    tick = threading.Event()
    for _ in range(int(DEADLINE_S / 0.05)):
        if holds():
            return
        tick.wait(0.05)
    pytest.fail("the condition did not come to hold")
