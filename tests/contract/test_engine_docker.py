"""What only a real daemon can show: limits, networks, refusals, logs."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

import pytest
from docker.errors import NotFound

from cluster.control.loop import Fenced
from cluster.engine.base import EngineError, EngineEvent, Mount
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_network import ClusterNetworks
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, Listener, request_for, until


@pytest.mark.docker
def test_limits_and_privileges_reach_docker(docker_host: DockerHost) -> None:
    """Limits, capabilities, restart policy, logging and labels are in the container's settings."""
    request = replace(
        request_for(docker_host), cpu_millicores=250, pids=64, cap_drop=("CHOWN",),
        cap_add=("SYS_NICE",), user="1000:1000", read_only_root_filesystem=True,
        environment=(("A", "1 = one"),), labels=(("team", "blue"),), stop_grace_s=17,
        working_dir="/tmp",
    )
    found = docker_host.inspect(docker_host.engine.run(request))
    limits, config = found["HostConfig"], found["Config"]
    assert limits["NanoCpus"] == 250_000_000
    assert limits["Memory"] == limits["MemorySwap"] == 16 * 1024**2
    assert limits["PidsLimit"] == 64
    assert limits["RestartPolicy"]["Name"] == "no"
    assert not limits["Privileged"]
    assert limits["CapDrop"] == ["ALL"]
    assert {"KILL", "SETUID", "SYS_NICE"} <= set(limits["CapAdd"])
    assert not {"CHOWN", "NET_RAW", "SYS_ADMIN"} & set(limits["CapAdd"])
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert limits["ReadonlyRootfs"]
    assert not limits["PortBindings"]
    assert limits["LogConfig"] == {
        "Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
    assert (config["User"], config["StopTimeout"]) == ("1000:1000", 17)
    assert config["WorkingDir"] == "/tmp"
    assert "A=1 = one" in config["Env"]
    assert config["Labels"] == {
        "team": "blue", "orchestry.cluster": docker_host.cluster_id, "orchestry.app": "web",
        "orchestry.revision": "3", "orchestry.slot": "0", "orchestry.epoch": "7",
    }


@pytest.mark.docker
def test_network_is_recreated_when_it_is_gone(docker_host: DockerHost) -> None:
    """A network removed behind our back is made again, with our label, by the next run."""
    name = f"orchestry-{docker_host.cluster_id[:8]}"
    started = docker_host.engine.run(request_for(docker_host))
    docker_host.engine.stop(started.id, grace_s=0)
    docker_host.client.remove_network(name)
    assert docker_host.engine.run(request_for(docker_host)).ip
    (network,) = docker_host.client.networks(names=[name])
    assert network["Labels"] == {"orchestry.cluster": docker_host.cluster_id}


@pytest.mark.docker
def test_foreign_network_of_our_name_is_refused(
    docker_host: DockerHost, docker_socket: str
) -> None:
    """A network that somebody else made is never used; the error names the setting."""
    name = f"orchestry-test-{uuid.uuid4().hex[:8]}"
    docker_host.client.create_network(name)
    engine = DockerEngine(name, base_url=docker_socket, timeout_s=DEADLINE_S)
    try:
        with pytest.raises(EngineError, match="DOCKER_NETWORK") as caught:
            engine.run(request_for(docker_host))
        assert caught.value.fault == "rejected"
    finally:
        engine.close()
        docker_host.client.remove_network(name)


@pytest.mark.docker
def test_a_replica_knows_its_address(
    docker_host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable holds the address that the replica has, also when the first choice was taken."""
    asked = replace(request_for(docker_host), address_in=("ME", "SELF"), environment=(("A", "1"),))
    first = docker_host.engine.run(asked)
    assert first.ip
    assert {f"ME={first.ip}", f"SELF={first.ip}", "A=1"} <= set(
        docker_host.inspect(first)["Config"]["Env"])

    choices = [first.ip, first.ip]
    some_address = ClusterNetworks.some_address
    monkeypatch.setattr(ClusterNetworks, "some_address", lambda self, network: (
        choices.pop() if choices else some_address(self, network)))
    second = docker_host.engine.run(replace(asked, slot=1))
    assert not choices
    assert second.ip not in ("", first.ip)
    assert f"ME={second.ip}" in docker_host.inspect(second)["Config"]["Env"]
    assert {one.slot for one in docker_host.engine.observe(docker_host.cluster_id)} == {0, 1}
    ours = {"label": [f"orchestry.cluster={docker_host.cluster_id}"]}
    named = [one["Name"] for one in docker_host.client.networks(filters=ours)]
    assert named == [f"orchestry-{docker_host.cluster_id[:8]}"]


@pytest.mark.docker
def test_the_range_of_a_network_is_found_again_after_a_death(docker_host: DockerHost) -> None:
    """Who dies while a range is asked for leaves a network, which keeps nobody from the next."""
    left = f"orchestry-{docker_host.cluster_id[:8]}-range"
    docker_host.client.create_network(
        left, labels={"orchestry.cluster": docker_host.cluster_id})
    started = docker_host.engine.run(replace(request_for(docker_host), address_in=("ME",)))
    assert f"ME={started.ip}" in docker_host.inspect(started)["Config"]["Env"]
    assert not docker_host.client.networks(names=[left])


@pytest.mark.docker
def test_an_address_is_refused_where_docker_promises_none(
    docker_host: DockerHost, docker_socket: str
) -> None:
    """A shared network without a subnet: the reason says what to do, and nothing is left."""
    name = f"orchestry-test-{uuid.uuid4().hex[:8]}"
    docker_host.client.create_network(name, labels={"orchestry.shared": "true"})
    engine = DockerEngine(name, base_url=docker_socket, timeout_s=DEADLINE_S)
    try:
        with pytest.raises(EngineError, match="--subnet") as caught:
            engine.run(replace(request_for(docker_host), address_in=("ME",)))
        assert caught.value.fault == "rejected"
        assert not engine.observe(docker_host.cluster_id)
    finally:
        engine.close()
        docker_host.client.remove_network(name)


@pytest.mark.docker
def test_full_network_is_no_resources(docker_host: DockerHost, docker_socket: str) -> None:
    """When the subnet has no address left the container goes and the fault is retryable."""
    engine = DockerEngine(
        base_url=docker_socket, timeout_s=DEADLINE_S, subnet="10.214.77.0/30"
    )
    try:
        engine.run(request_for(docker_host))
        with pytest.raises(EngineError, match="addresses") as caught:
            engine.run(request_for(docker_host, 1))
        assert caught.value.fault == "no_resources"
        assert caught.value.retryable
        assert [c.slot for c in engine.observe(docker_host.cluster_id)] == [0]
    finally:
        engine.close()


@pytest.mark.docker
def test_taken_subnet_is_no_resources(docker_host: DockerHost, docker_socket: str) -> None:
    """A subnet that another network holds is told as a lack of addresses."""
    name = f"orchestry-test-{uuid.uuid4().hex[:8]}"
    pool = {"Driver": "default", "Config": [{"Subnet": "10.214.78.0/24"}]}
    docker_host.client.create_network(name, ipam=pool)
    engine = DockerEngine(
        base_url=docker_socket, timeout_s=DEADLINE_S, subnet="10.214.78.0/24"
    )
    try:
        with pytest.raises(EngineError, match="DOCKER_SUBNET") as caught:
            engine.run(request_for(docker_host))
        assert caught.value.fault == "no_resources"
    finally:
        engine.close()
        docker_host.client.remove_network(name)


@pytest.mark.docker
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"command": ("/nope",)}, "/nope"),
        ({"memory_bytes": 1024}, "memory"),
        ({"user": "nobody-here"}, "nobody-here"),
    ],
)
def test_refused_start_leaves_nothing(
    docker_host: DockerHost, change: dict[str, Any], reason: str
) -> None:
    """A start that Docker refuses raises Docker's reason in one line and leaves no container."""
    with pytest.raises(EngineError, match=f"(?i){reason}") as caught:
        docker_host.engine.run(replace(request_for(docker_host), **change))
    assert caught.value.fault == "rejected"
    assert "\n" not in caught.value.reason
    assert docker_host.engine.observe(docker_host.cluster_id) == ()


@pytest.mark.docker
def test_restart_behind_our_back_is_observed(docker_host: DockerHost) -> None:
    """After a manual restart, told by an event, observe() shows the new start time."""
    with Listener(docker_host) as listener:
        started = docker_host.engine.run(request_for(docker_host))
        listener.wait_for(EngineEvent("started", started.id))
        docker_host.client.restart(started.id, timeout=0)
        until(
            lambda: docker_host.engine.observe(docker_host.cluster_id)[0].started_at_ms
            > started.started_at_ms
        )


@pytest.mark.docker
def test_stubborn_container_is_killed_after_its_grace(docker_host: DockerHost) -> None:
    """A container that ignores SIGTERM is killed when the grace is over."""
    started = docker_host.engine.run(
        replace(request_for(docker_host), environment=(("TERM_IGNORE", "1"),))
    )
    docker_host.engine.stop(started.id, grace_s=1)
    assert not docker_host.exists(started.id)


@pytest.mark.docker
def test_purge_removes_containers_volumes_and_network(docker_host: DockerHost) -> None:
    """Nothing of the cluster is left, and purging again is no error."""
    volume = f"orchestry-test-{uuid.uuid4().hex[:8]}"
    mounts = (Mount(volume, "/data", read_only=False),)
    docker_host.engine.run(replace(request_for(docker_host), mounts=mounts))
    docker_host.engine.purge(docker_host.cluster_id)
    docker_host.engine.purge(docker_host.cluster_id)
    filters = {"label": [f"orchestry.cluster={docker_host.cluster_id}"]}
    assert docker_host.client.containers(all=True, filters=filters) == []
    assert docker_host.client.networks(filters=filters) == []
    with pytest.raises(NotFound):
        docker_host.client.inspect_volume(volume)


@pytest.mark.docker
def test_a_controller_that_has_just_started_knows_what_is_its_own(
    docker_host: DockerHost, docker_socket: str
) -> None:
    """Before it has asked for anything: users may read logs of any controller at any time."""
    started = docker_host.engine.run(request_for(docker_host))
    known = ""
    fresh = DockerEngine(base_url=docker_socket, serves=lambda: known)
    try:
        with pytest.raises(EngineError, match="is not ours"):
            fresh.logs(started.id, tail=1)
        known = docker_host.cluster_id
        assert fresh.logs(started.id, tail=1) == docker_host.engine.logs(started.id, tail=1)
    finally:
        fresh.close()


@pytest.mark.docker
def test_purge_removes_what_comes_while_it_looks(
    docker_host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that a killed controller had asked for is in the network that is to go."""
    api, call = docker_host.engine._api, docker_host.engine._api.call
    looks = 0

    def later(method: str, *args: Any, **kwargs: Any) -> Any:
        nonlocal looks
        looks += method == "containers"
        if method == "remove_network" and looks == 2:  # after both first looks
            docker_host.engine.run(request_for(docker_host))
        return call(method, *args, **kwargs)

    docker_host.engine.network_id(docker_host.cluster_id)
    monkeypatch.setattr(api, "call", later)
    docker_host.engine.purge(docker_host.cluster_id)
    filters = {"label": [f"orchestry.cluster={docker_host.cluster_id}"]}
    assert looks > 2
    assert docker_host.client.containers(all=True, filters=filters) == []
    assert docker_host.client.networks(filters=filters) == []


@pytest.mark.docker
def test_failing_build_tells_the_step(docker_host: DockerHost) -> None:
    """A Dockerfile that cannot be built is refused with the builder's reason."""
    with pytest.raises(EngineError, match="absent"):
        docker_host.engine.build_image(
            "orchestry-test-broken:1", {"Dockerfile": b"FROM scratch\nCOPY absent /absent\n"}
        )
    assert docker_host.engine.image("orchestry-test-broken:1") is None


@pytest.mark.docker
def test_a_start_is_not_carried_on_when_the_guard_objects(docker_host: DockerHost) -> None:
    """A leader whose time ran out between two steps leaves nothing running; the next goes on."""
    calls = 0

    def guard() -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Fenced("over")

    request = request_for(docker_host)
    with pytest.raises(Fenced):
        docker_host.engine.run(request, guard=guard)
    left = docker_host.engine.observe(request.cluster_id)
    assert [container.phase for container in left] == ["created"]
    started = docker_host.engine.run(replace(request, epoch=request.epoch + 1))
    assert [(c.id, c.phase) for c in docker_host.engine.observe(request.cluster_id)] == [
        (started.id, "running")]
