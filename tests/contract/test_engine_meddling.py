"""What users of the same Docker do behind the engine's back."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from docker.errors import APIError

from cluster.engine.base import EngineError, container_name
from cluster.engine.docker_format import LABEL_INGRESS, cluster_filter, container_config
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, request_for

pytestmark = pytest.mark.docker


@pytest.mark.parametrize("grace_s", [0, 1])
def test_paused_replica_is_kept_and_can_be_stopped(docker_host: DockerHost, grace_s: int) -> None:
    """A paused container still holds its slot: run() returns it, and stop() ends it."""
    engine = docker_host.engine
    started = engine.run(request_for(docker_host))
    docker_host.client.pause(started.id)
    assert engine.run(request_for(docker_host)).id == started.id
    assert [c.phase for c in engine.observe(docker_host.cluster_id)] == ["running"]
    engine.stop(started.id, grace_s=grace_s)
    assert not docker_host.exists(started.id)


def test_renamed_replica_stays_ours(docker_host: DockerHost) -> None:
    """A container is known by its labels: under another name it is observed and stopped."""
    engine = docker_host.engine
    started = engine.run(request_for(docker_host))
    docker_host.client.rename(started.id, f"renamed-{docker_host.cluster_id[:8]}")
    assert [c.id for c in engine.observe(docker_host.cluster_id)] == [started.id]
    engine.stop(started.id, grace_s=0)
    assert not docker_host.exists(started.id)


@contextmanager
def copy_of(host: DockerHost, container_id: str) -> Iterator[str]:
    """A container from an image that was committed from another: it has the same labels."""
    tag = f"orchestry-test-copy-{host.cluster_id[:8]}"
    host.client.commit(container_id, tag)
    try:
        network = {"NetworkMode": host.engine.network_id(host.cluster_id)}
        copy = host.client.create_container_from_config(
            {"Image": tag, "HostConfig": network}, f"{tag}-1")["Id"]
        try:
            host.client.start(copy)
            yield str(copy)
        finally:
            host.client.remove_container(copy, force=True)
    finally:
        host.client.remove_image(tag, force=True)


def test_copy_of_a_replica_is_no_replica(docker_host: DockerHost) -> None:
    """`docker commit` copies our labels; the copy gets no traffic while the replica is there."""
    started = docker_host.engine.run(request_for(docker_host))
    with copy_of(docker_host, started.id):
        assert docker_host.engine.observe(docker_host.cluster_id) == (started,)
        docker_host.kill(started.id)
        assert [c.id for c in docker_host.engine.observe(docker_host.cluster_id)] == [started.id]


def test_labels_that_are_not_of_our_making(docker_host: DockerHost) -> None:
    """Numbers that we never write make no replica; under its very name, a stranger."""
    wanted = request_for(docker_host)
    network_id = docker_host.engine.network_id(docker_host.cluster_id)
    for number, (label, text) in enumerate((
        ("slot", "9" * 30), ("slot", "-1"), ("revision", "1e3"), ("epoch", "٣"), ("run", "x"),
    )):
        config = container_config(replace(wanted, slot=number + 10), network_id)
        config["Labels"][f"orchestry.{label}"] = text
        docker_host.client.create_container_from_config(
            config, f"odd-{number}-{docker_host.cluster_id[:8]}")
    assert docker_host.engine.observe(docker_host.cluster_id) == ()
    config = container_config(wanted, network_id)
    config["Labels"]["orchestry.epoch"] = "soon"
    docker_host.client.create_container_from_config(config, container_name(
        docker_host.cluster_id, wanted.app, wanted.revision, wanted.slot))
    with pytest.raises(EngineError) as caught:
        docker_host.engine.run(wanted)
    assert caught.value.fault == "name_taken"


def test_removed_replica_is_started_anew(docker_host: DockerHost) -> None:
    """After `docker rm -f` nothing is observed, stop() succeeds and run() starts another."""
    engine = docker_host.engine
    started = engine.run(request_for(docker_host))
    docker_host.client.remove_container(started.id, force=True)
    assert engine.observe(docker_host.cluster_id) == ()
    engine.stop(started.id, grace_s=5)
    assert engine.run(request_for(docker_host)).phase == "running"


def test_removal_in_the_middle_of_a_start_is_survived(docker_host: DockerHost) -> None:
    """Whatever moment somebody removes the container at, run() ends with a running one."""
    removed, over = threading.Event(), threading.Event()

    def remove_twice() -> None:
        left, ours = 2, cluster_filter(docker_host.cluster_id)
        while left and not over.is_set():
            for found in docker_host.client.containers(all=True, filters=ours):
                with suppress(APIError):
                    docker_host.client.remove_container(found["Id"], force=True)
                    left -= 1
                    removed.set()

    meddler = threading.Thread(target=remove_twice)
    meddler.start()
    try:
        docker_host.engine.run(request_for(docker_host))
        assert removed.wait(DEADLINE_S)
    finally:
        over.set()
        meddler.join(DEADLINE_S)
    assert docker_host.engine.run(request_for(docker_host)).phase == "running"


def test_replica_cut_off_from_the_network_is_replaced(docker_host: DockerHost) -> None:
    """A container that runs without an address is told as failed, and run() replaces it."""
    engine = docker_host.engine
    started = engine.run(request_for(docker_host))
    network_id = engine.network_id(docker_host.cluster_id)
    docker_host.client.disconnect_container_from_network(started.id, network_id)
    (cut_off,) = engine.observe(docker_host.cluster_id)
    assert (cut_off.id, cut_off.phase, cut_off.ip) == (started.id, "exited", "")
    assert cut_off.exit_code != 0
    assert "address" in cut_off.error
    again = engine.run(request_for(docker_host))
    assert again.id != started.id
    assert again.ip
    assert not docker_host.exists(started.id)


def test_second_network_does_not_change_the_address(docker_host: DockerHost) -> None:
    """The address is that on our network, whatever else the container is connected to."""
    client, engine = docker_host.client, docker_host.engine
    started = engine.run(request_for(docker_host))
    other = client.create_network(f"aaa-orchestry-test-{docker_host.cluster_id[:8]}")["Id"]
    try:
        client.connect_container_to_network(started.id, other)
        assert engine.observe(docker_host.cluster_id) == (started,)
        assert engine.run(request_for(docker_host)) == started
        engine.stop(started.id, grace_s=0)
    finally:
        client.remove_network(other)


def test_half_made_replica_is_started(docker_host: DockerHost) -> None:
    """A container that a dead leader only created is observed so, and started by run()."""
    request, engine = request_for(docker_host), docker_host.engine
    name = container_name(request.cluster_id, request.app, request.revision, request.slot)
    config = container_config(request, engine.network_id(request.cluster_id))
    half = docker_host.client.create_container_from_config(config, name)["Id"]
    (observed,) = engine.observe(docker_host.cluster_id)
    assert (observed.id, observed.phase) == (half, "created")
    started = engine.run(request)
    assert (started.id, started.phase) == (half, "running")


def test_half_made_replica_that_cannot_start_is_replaced(docker_host: DockerHost) -> None:
    """When what was left behind lacks its network by now, run() makes a new container."""
    request, engine = request_for(docker_host), docker_host.engine
    name = container_name(request.cluster_id, request.app, request.revision, request.slot)
    config: dict[str, Any] = container_config(request, "orchestry-test-absent")
    half = docker_host.client.create_container_from_config(config, name)["Id"]
    started = engine.run(request)
    assert started.id != half
    assert started.phase == "running"
    assert not docker_host.exists(half)


def test_image_with_a_bad_entrypoint_is_refused(docker_host: DockerHost) -> None:
    """An image whose entrypoint is absent fails with its name, and leaves no container."""
    tag = f"orchestry-test-bad:{uuid.uuid4().hex[:8]}"
    dockerfile = b'FROM scratch\nCOPY note /note\nENTRYPOINT ["/absent"]\n'
    docker_host.engine.build_image(tag, {"Dockerfile": dockerfile, "note": b""})
    docker_host.image = tag
    try:
        with pytest.raises(EngineError, match="/absent") as caught:
            docker_host.engine.run(request_for(docker_host))
        assert caught.value.fault == "rejected"
        assert docker_host.engine.observe(docker_host.cluster_id) == ()
    finally:
        docker_host.client.remove_image(tag, force=True)


def test_purge_removes_the_container_of_an_ingress(docker_host: DockerHost) -> None:
    """An ingress left behind would keep the network from being removed."""
    network = {"NetworkMode": docker_host.engine.network_id(docker_host.cluster_id)}
    config = {
        "Image": docker_host.image, "HostConfig": network,
        "Labels": {LABEL_INGRESS: docker_host.cluster_id},
    }
    left = docker_host.client.create_container_from_config(
        config, f"orchestry-test-{docker_host.cluster_id[:8]}")["Id"]
    docker_host.client.start(left)
    assert docker_host.engine.observe(docker_host.cluster_id) == ()
    docker_host.engine.purge(docker_host.cluster_id)
    assert not docker_host.exists(left)
    ours = cluster_filter(docker_host.cluster_id)
    assert docker_host.client.networks(filters=ours) == []
