"""A container on which operations hang: all others go on, on the real daemon and on the fake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.engine import docker_hanging
from cluster.engine.base import Container, EngineError
from cluster.engine.docker import DockerEngine
from cluster.engine.execution import ExecOrder
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, FakeHost, request_for, until
from tests.docker_proxy import DockerProxy

TIMEOUT_S = 5.0


class HangingFake(FakeHost):
    """The fake, told to hang."""

    hung = 0
    """How many requests have hung so far, where they are counted."""

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """It does not wait."""
        yield

    def hang(self, container_id: str) -> None:
        self.engine.hanging.add(container_id)

    def heal(self) -> None:
        self.engine.hanging.clear()


class HangingDocker(DockerHost):
    """The daemon behind a proxy, which lets requests about a container hang."""

    def __init__(self, url: str, image: str, proxy: DockerProxy) -> None:
        super().__init__(url, image)
        self.engine.close()
        self.engine = DockerEngine(base_url=proxy.url, timeout_s=DEADLINE_S)
        self._proxy = proxy

    @property
    def hung(self) -> int:
        return len(self._proxy.met)

    @contextmanager
    def impatient(self) -> Iterator[None]:
        """Requests have TIMEOUT_S, which starts and stops of a busy daemon may well need."""
        api, client = self.engine._api, self.engine._api._connected()
        api.timeout_s = client.timeout = TIMEOUT_S
        try:
            yield
        finally:
            api.timeout_s = client.timeout = DEADLINE_S

    def hang(self, container_id: str) -> None:
        self._proxy.hang(f"/containers/{container_id}")

    def heal(self) -> None:
        self._proxy.hang("")

    def close(self) -> None:
        self.heal()
        super().close()


Hanging = HangingFake | HangingDocker


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def hanging(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hanging]:
    """Both of them."""
    if request.param == "fake":
        yield HangingFake()
        return
    url = request.getfixturevalue("docker_socket")
    with DockerProxy(tmp_path / "docker.sock", url) as proxy:
        found = HangingDocker(url, request.getfixturevalue("test_app_image"), proxy)
        try:
            yield found
        finally:
            found.close()


def observed(host: Hanging) -> dict[str, Container]:
    """By id."""
    return {one.id: one for one in host.engine.observe(host.cluster_id)}


def test_a_container_that_hangs_keeps_nothing_else(hanging: Hanging) -> None:
    """Its stop ends with `timeout`, its log and a command in it too; others are run, seen and
    stopped meanwhile."""
    stuck, other = (hanging.engine.run(request_for(hanging, slot)) for slot in (1, 2))
    hanging.hang(stuck.id)
    with hanging.impatient():
        with pytest.raises(EngineError) as caught:
            hanging.engine.stop(stuck.id, grace_s=0)
        assert (caught.value.fault, caught.value.silent) == ("timeout", True)
        with pytest.raises(EngineError) as caught:
            hanging.engine.logs(stuck.id, tail=5)
        assert caught.value.fault == "timeout"
        with pytest.raises(EngineError) as caught:
            hanging.engine.execute(stuck.id, ExecOrder(("true",)))
        assert caught.value.fault == "timeout"
    third = hanging.engine.run(request_for(hanging, 3))
    hanging.engine.stop(other.id, grace_s=0)
    with hanging.impatient():
        assert observed(hanging).keys() == {stuck.id, third.id}
    hanging.heal()
    hanging.engine.stop(stuck.id, grace_s=0)
    assert observed(hanging).keys() == {third.id}


def test_the_end_of_a_container_that_cannot_be_inspected_is_seen(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its exit code, and without holding up the observation a second time soon after."""
    monkeypatch.setattr(docker_hanging, "AGAIN_FIRST_S", 600.0)
    stuck, other = (hanging.engine.run(request_for(hanging, slot)) for slot in (1, 2))
    assert len(observed(hanging)) == 2
    hanging.hang(stuck.id)
    hanging.kill(stuck.id)
    with hanging.impatient():
        until(lambda: observed(hanging)[stuck.id].phase != "running")
        hung = hanging.hung
        found = observed(hanging)
        assert hanging.hung == hung
    assert (found[stuck.id].phase, found[stuck.id].exit_code) == ("exited", 137)
    assert found[other.id].phase == "running"
