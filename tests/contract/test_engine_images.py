"""Images: what every engine must do, on the real Docker with a registry, and on the fake."""

from __future__ import annotations

import base64
import json
import socket
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from cluster.control.loop import Fenced
from cluster.engine.base import Engine, EngineError, Login, PullOrder, PullProgress
from cluster.engine.docker import DockerEngine
from tests.contract.engine_hosts import (
    DEADLINE_S,
    DockerHost,
    FakeHost,
    Host,
    request_for,
    until,
)
from tests.registry import Fault, Registry, saved

LOGIN = Login("robot", "hunter2-horse")
WRONG = Login("robot", "another-horse")
SLOW_BYTES_PER_S = 200_000.0
MINE = "orchestry-test-mine"


class Hub(Protocol):
    """A registry, and the engine that pulls from it."""

    registry: str

    @property
    def host(self) -> Host:
        """Where the engine is."""

    @property
    def engine(self) -> Engine:
        """The engine under test."""

    def put(self, image: str, content: str, label: str = "") -> str:
        """Give the registry an image under a name; returns its digest.

        A label makes it another image of the same layers.
        """

    def tag(self, image_id: str, name: str) -> None:
        """Somebody gives an image of the host one more name."""

    def lock(self) -> None:
        """From now on only LOGIN is taken."""

    def image_of(self, container_id: str) -> str:
        """The id of the image that a container is made from."""


class FakeHub:
    def __init__(self) -> None:
        self.registry = "registry.example:5000"
        self.host = FakeHost()
        self.engine = self.host.engine
        self.engine.images.is_missing = lambda name: name.startswith(self.registry)

    def put(self, image: str, content: str, label: str = "") -> str:
        return self.engine.images.push(image, content + label).digests[0].partition("@")[2]

    def tag(self, image_id: str, name: str) -> None:
        self.engine.images.tag(image_id, name)

    def lock(self) -> None:
        self.engine.images.logins[self.registry] = LOGIN

    def image_of(self, container_id: str) -> str:
        return self.engine.made_from(container_id)


class DockerHub:
    def __init__(self, host: DockerHost, registry: Registry) -> None:
        self.registry = registry.host
        self.host = host
        self.engine = host.engine
        self.stub = registry
        self._saved = saved(host.client, host.image)

    def put(self, image: str, content: str, label: str = "") -> str:
        name, _, tag = image.removeprefix(f"{self.registry}/").partition(":")
        return self.stub.put(name, tag, self._saved, content.encode(), label)

    def tag(self, image_id: str, name: str) -> None:
        repository, _, tag = name.rpartition(":")
        self.host.client.tag(image_id, repository, tag)

    def lock(self) -> None:
        self.stub.login = LOGIN.username, LOGIN.password

    def image_of(self, container_id: str) -> str:
        return str(self.host.client.inspect_container(container_id)["Image"])

    def close(self) -> None:
        """Remove what was pulled."""
        self.engine.purge(self.host.cluster_id)
        for image in self.host.client.images():
            names = [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
            if any(name.startswith((f"{self.registry}/", MINE)) for name in names):
                self.host.client.remove_image(image["Id"], force=True)


@pytest.fixture
def docker_hub(docker_host: DockerHost) -> Iterator[DockerHub]:
    with Registry() as registry:
        hub = DockerHub(docker_host, registry)
        try:
            yield hub
        finally:
            hub.close()


@pytest.fixture(params=["fake", pytest.param("docker", marks=pytest.mark.docker)])
def hub(request: pytest.FixtureRequest) -> Hub:
    if request.param == "docker":
        found: Hub = request.getfixturevalue("docker_hub")
        return found
    return FakeHub()


def new_name(hub: Hub) -> str:
    """An image that nobody has yet."""
    return f"{hub.registry}/team/shop-{uuid.uuid4().hex[:8]}:1"


def test_a_pull_brings_the_image_under_its_name_and_its_digest(hub: Hub) -> None:
    """It is not here before, and after it is; a second pull brings nothing new."""
    name = new_name(hub)
    digest = hub.put(name, "one")
    assert hub.engine.image(name) is None
    told: list[PullProgress] = []
    before = stored(hub)
    pulled = hub.engine.pull(PullOrder(name), tell=told.append)
    repository = name.rpartition(":")[0]
    assert pulled.id not in before
    assert f"{repository}@{digest}" in pulled.digests
    for name_of_it in (name, f"{repository}@{digest}", pulled.id):
        assert hub.engine.image(name_of_it) == pulled
    assert 0 < told[-1].done_bytes == told[-1].total_bytes
    assert pulled.id in stored(hub)
    assert hub.engine.pull(PullOrder(name)) == pulled


def stored(hub: Hub) -> set[str]:
    """The ids of all images on the host."""
    return {one.id for one in hub.engine.stored_images()}


def test_a_digest_can_be_pulled(hub: Hub) -> None:
    """What was pinned comes back after its tag has moved on."""
    name = new_name(hub)
    repository = name.rpartition(":")[0]
    first = hub.put(name, "one")
    hub.put(name, "two")
    newer = hub.engine.pull(PullOrder(name))
    older = hub.engine.pull(PullOrder(f"{repository}@{first}"))
    assert older.id != newer.id
    assert hub.engine.image(name) == newer
    assert hub.engine.image(f"{repository}@{first}") == older


def test_a_replica_is_made_from_what_is_pinned(hub: Hub) -> None:
    """Whatever its name stands for by then."""
    name = new_name(hub)
    repository = name.rpartition(":")[0]
    digest = hub.put(name, "one")
    first = hub.engine.pull(PullOrder(name))
    hub.put(name, "two")
    second = hub.engine.pull(PullOrder(name))
    pinned = replace(request_for(hub.host), image=name, pinned=f"{repository}@{digest}")
    by_id = replace(request_for(hub.host, 2), image=name, pinned=first.id)
    by_name = replace(request_for(hub.host, 3), image=name)
    made = [hub.image_of(hub.engine.run(one).id) for one in (pinned, by_id, by_name)]
    assert made == [first.id, first.id, second.id]


def test_what_is_gone_keeps_a_replica_from_starting(hub: Hub) -> None:
    """Nothing is pulled by a start."""
    name = new_name(hub)
    hub.put(name, "one")
    with pytest.raises(EngineError) as caught:
        hub.engine.run(replace(request_for(hub.host), image=name))
    assert caught.value.fault == "image_missing"
    assert name in caught.value.reason


def test_an_image_that_is_not_in_its_registry(hub: Hub) -> None:
    """The reason names it, its registry, and what to look at."""
    name = new_name(hub)
    with pytest.raises(EngineError) as caught:
        hub.engine.pull(PullOrder(name))
    assert caught.value.fault == "image_missing"
    assert name in caught.value.reason
    assert hub.registry in caught.value.reason
    assert "\n" not in caught.value.reason


def test_a_registry_takes_only_the_right_login(hub: Hub) -> None:
    """None and a wrong one are refused, with the remedy and without the password."""
    name = new_name(hub)
    hub.put(name, "one")
    hub.lock()
    for login in (None, WRONG):
        with pytest.raises(EngineError) as caught:
            hub.engine.pull(PullOrder(name, login))
        assert caught.value.fault == "unauthorized", caught.value.reason
        assert hub.registry in caught.value.reason
        assert WRONG.password not in caught.value.reason
    assert hub.engine.image(name) is None
    assert hub.engine.pull(PullOrder(name, LOGIN)).id in stored(hub)


@pytest.mark.parametrize("calls", [0, 1])
def test_a_pull_ends_when_its_leader_may_act_no_more(hub: Hub, calls: int) -> None:
    """Before it began, and in the middle: its guard's error comes out, and nothing is here."""
    name = new_name(hub)
    hub.put(name, "one")
    left = [None] * calls

    def guard() -> None:
        if not left:
            raise Fenced("over")
        left.pop()

    with pytest.raises(Fenced):
        hub.engine.pull(PullOrder(name), guard=guard)
    assert hub.engine.image(name) is None


def test_an_image_is_removed_unless_something_uses_it(hub: Hub) -> None:
    """A container, running or dead, keeps its image; what is gone is removed already."""
    name = new_name(hub)
    hub.put(name, "one")
    image = hub.engine.pull(PullOrder(name))
    container = hub.engine.run(replace(request_for(hub.host), image=name, pinned=image.id))
    assert not hub.engine.remove_image(image.id)
    hub.host.kill(container.id)
    assert not hub.engine.remove_image(image.id)
    hub.engine.stop(container.id, grace_s=0)
    assert hub.engine.remove_image(image.id)
    assert hub.engine.remove_image(image.id)
    assert hub.engine.image(name) is None
    assert hub.engine.image(image.id) is None


@pytest.mark.docker
def test_the_login_of_dockers_file(
    docker_hub: DockerHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds without one of ours; one that cannot be read is told as that, and Docker answers."""
    name = new_name(docker_hub)
    docker_hub.put(name, "one")
    docker_hub.lock()
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    file = tmp_path / "config.json"
    for config in ({"credsStore": "absent"}, {"auths": {docker_hub.registry: {"auth": "!"}}}):
        file.write_text(json.dumps(config))
        with pytest.raises(EngineError, match=str(file)) as caught:
            docker_hub.engine.pull(PullOrder(name))
        assert (caught.value.fault, caught.value.silent) == ("unauthorized", False)
        DockerEngine().ping()
    auth = base64.b64encode(f"{LOGIN.username}:{LOGIN.password}".encode()).decode()
    file.write_text(json.dumps({"auths": {docker_hub.registry: {"auth": auth}}}))
    assert docker_hub.engine.pull(PullOrder(name)).id in stored(docker_hub)


@pytest.mark.docker
@pytest.mark.parametrize(("fault", "expected"), [
    ("500", "registry_down"), ("hang", "timeout"), ("hang in a layer", "timeout"),
    ("echo", "unauthorized"),
])
def test_faults_of_a_real_registry(docker_hub: DockerHub, fault: Fault, expected: str) -> None:
    """Each has its reason, in bounded time, and no word of the login that came back."""
    name = new_name(docker_hub)
    docker_hub.put(name, "one")
    docker_hub.lock()
    docker_hub.stub.fault = fault
    with pytest.raises(EngineError) as caught:
        docker_hub.engine.pull(PullOrder(
            name, LOGIN, idle_s=2.0 if expected == "timeout" else DEADLINE_S,
            whole_s=2 * DEADLINE_S))
    assert caught.value.fault == expected, caught.value.reason
    assert name in caught.value.reason
    assert LOGIN.password not in caught.value.reason
    assert docker_hub.engine.image(name) is None
    assert docker_hub.stub.asked["ping"] + docker_hub.stub.asked["manifests"] > 0


@pytest.mark.docker
def test_a_registry_that_nobody_listens_on(docker_hub: DockerHub) -> None:
    """The reason is the same each time, though the daemon's own words have a new port in them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        name = f"127.0.0.1:{free.getsockname()[1]}/team/shop:1"
        reasons = set()
        for _ in range(2):
            with pytest.raises(EngineError) as caught:
                docker_hub.engine.pull(PullOrder(name))
            assert caught.value.fault == "registry_down"
            reasons.add(caught.value.reason)
    assert len(reasons) == 1
    assert "reaches it" in reasons.pop()


@pytest.mark.docker
def test_a_slow_pull_has_a_whole_deadline(docker_hub: DockerHub) -> None:
    """Progress keeps it from being idle, and not from taking too long; the daemon gives up too."""
    name = new_name(docker_hub)
    docker_hub.put(name, "x" * 3_000_000)
    docker_hub.stub.bytes_per_s = SLOW_BYTES_PER_S
    told: list[PullProgress] = []
    with pytest.raises(EngineError, match="not done within 6 s") as caught:
        docker_hub.engine.pull(PullOrder(name, idle_s=30.0, whole_s=6.0), tell=told.append)
    assert caught.value.fault == "timeout"
    assert 0 < told[-1].done_bytes < told[-1].total_bytes
    until(lambda: docker_hub.stub.open == 0)


@pytest.mark.parametrize("repository", ["", MINE])
def test_an_image_with_another_name_stays(hub: Hub, repository: str) -> None:
    """Of its own repository or another one: somebody gave it that, it is his too."""
    name = new_name(hub)
    hub.put(name, "one")
    image = hub.engine.pull(PullOrder(name))
    other = f"{repository or name.rpartition(':')[0]}:2"
    hub.tag(image.id, other)
    assert not hub.engine.remove_image(image.id)
    for one in (name, other, image.id):
        assert hub.engine.image(one) == image


def test_an_image_is_listed_with_its_names_and_its_size(hub: Hub) -> None:
    """One whose tag has moved on has only its digest left, and goes as well."""
    name = new_name(hub)
    repository = name.rpartition(":")[0]
    digests = [hub.put(name, "one")]
    first = hub.engine.pull(PullOrder(name))
    digests.append(hub.put(name, "two"))
    second = hub.engine.pull(PullOrder(name))
    found = {one.id: one for one in hub.engine.stored_images()}
    assert found[first.id].names == ()
    assert found[second.id].names == (name,)
    for image, digest in zip((first, second), digests, strict=True):
        assert found[image.id].digests == (f"{repository}@{digest}",)
        assert found[image.id].size_bytes > 0
        assert hub.engine.remove_image(image.id)
    assert not {first.id, second.id} & {one.id for one in hub.engine.stored_images()}


def test_an_image_of_layers_that_are_all_here_is_new(hub: Hub) -> None:
    """It was not on this host, though nothing had to be fetched but what it says of itself."""
    name = new_name(hub)
    hub.put(name, "one")
    first = hub.engine.pull(PullOrder(name))
    hub.put(name, "one", "another")
    before = stored(hub)
    second = hub.engine.pull(PullOrder(name))
    assert first.id in before
    assert second.id not in before
    hub.put(name, "one")
    assert hub.engine.pull(PullOrder(name)).id == first.id
