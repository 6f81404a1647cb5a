"""What every engine must do, on the real Docker and on the fake."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cluster.control.loop import Fenced
from cluster.engine.base import EngineError, EngineEvent, Mount, container_name
from tests.contract.engine_hosts import MISSING_IMAGE, Host, Listener, request_for, until


def test_run_starts_a_replica_that_observe_shows(host: Host) -> None:
    """A started replica has its identity, an address and a start time, and is observed so."""
    started = host.engine.run(request_for(host))
    assert (started.app, started.slot, started.revision, started.epoch) == ("web", 0, 3, 7)
    assert started.name == container_name(host.cluster_id, "web", 3, 0)
    assert started.phase == "running"
    assert started.ip
    assert started.started_at_ms > 0
    assert host.engine.observe(host.cluster_id) == (started,)


def test_run_again_returns_the_running_replica(host: Host) -> None:
    """Running twice, even with a newer epoch, starts one container."""
    first = host.engine.run(request_for(host))
    again = host.engine.run(replace(request_for(host), epoch=8))
    assert again == first
    assert len(host.engine.observe(host.cluster_id)) == 1


def test_what_runs_once_is_returned_also_when_it_has_ended(host: Host) -> None:
    """Where an ended replica is replaced; two runs of one app are two containers."""
    order = replace(request_for(host), run=12, command=("/app", "once", "3", "0"))
    first = host.engine.run(order)
    assert (first.run, first.name) == (12, container_name(host.cluster_id, "web", 3, 0, 12))
    other = host.engine.run(replace(order, run=13))
    replica = host.engine.run(request_for(host))
    assert len({first.id, other.id, replica.id}) == 3
    until(lambda: all(one.phase == "exited" for one in host.engine.observe(host.cluster_id)
                      if one.run))
    again = host.engine.run(replace(order, epoch=9))
    assert (again.id, again.phase) == (first.id, "exited")
    seen = {one.id: one.run for one in host.engine.observe(host.cluster_id)}
    assert seen == {first.id: 12, other.id: 13, replica.id: 0}


def test_parallel_runs_of_one_identity_start_one_container(host: Host) -> None:
    """Eight threads that run the same replica all get the same running container."""
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(host.engine.run, [request_for(host)] * 8))
    (observed,) = host.engine.observe(host.cluster_id)
    assert observed.phase == "running"
    assert observed.id in {container.id for container in results}


def test_parallel_runs_of_many_replicas(host: Host) -> None:
    """Six replicas started in parallel all run, each at its own address."""
    requests = [request_for(host, slot) for slot in range(6)]
    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(host.engine.run, requests))
    assert len({container.ip for container in results}) == 6
    assert {c.slot for c in host.engine.observe(host.cluster_id)} == set(range(6))


def test_killed_container_is_observed_as_exited(host: Host) -> None:
    """A dead container stays visible with its exit code, its end and no address."""
    started = host.engine.run(request_for(host))
    host.engine.observe(host.cluster_id)
    host.kill(started.id)
    (dead,) = host.engine.observe(host.cluster_id)
    assert (dead.id, dead.phase, dead.exit_code, dead.ip) == (started.id, "exited", 137, "")
    assert dead.finished_at_ms >= dead.started_at_ms > 0


def test_run_replaces_an_exited_container(host: Host) -> None:
    """An exited container of the same identity makes room for a new one."""
    first = host.engine.run(request_for(host))
    host.kill(first.id)
    second = host.engine.run(replace(request_for(host), epoch=9))
    assert second.id != first.id
    assert (second.phase, second.epoch) == ("running", 9)
    assert not host.exists(first.id)


@pytest.mark.parametrize("grace_s", [0, 5])
def test_stop_removes_and_is_idempotent(host: Host, grace_s: int) -> None:
    """A stopped container is gone; stopping it again, or one never seen, succeeds."""
    started = host.engine.run(request_for(host))
    host.engine.stop(started.id, grace_s=grace_s)
    host.engine.stop(started.id, grace_s=grace_s)
    host.engine.stop("0" * 64, grace_s=grace_s)
    assert host.engine.observe(host.cluster_id) == ()
    assert not host.exists(started.id)


def test_stop_removes_an_exited_container(host: Host) -> None:
    """Stopping a container that is dead already removes it."""
    started = host.engine.run(request_for(host))
    host.kill(started.id)
    host.engine.stop(started.id, grace_s=5)
    assert not host.exists(started.id)


def test_foreign_container_with_our_name_is_left_alone(host: Host) -> None:
    """A stranger under our name is an error, never removed."""
    stranger = host.add_foreign(container_name(host.cluster_id, "web", 3, 0))
    with pytest.raises(EngineError, match="not ours") as caught:
        host.engine.run(request_for(host))
    assert caught.value.fault == "name_taken"
    assert not caught.value.retryable
    assert host.exists(stranger)


@pytest.mark.parametrize("owner", ["", "another-cluster"])
def test_containers_of_others_are_neither_seen_nor_stopped(host: Host, owner: str) -> None:
    """Containers without labels or of another cluster are invisible, and stop() refuses them."""
    stranger = host.add_foreign(f"stranger-{uuid.uuid4().hex[:8]}", owner)
    assert host.engine.observe(host.cluster_id) == ()
    with pytest.raises(EngineError, match="not ours") as caught:
        host.engine.stop(stranger, grace_s=0)
    assert caught.value.fault == "rejected"
    assert host.exists(stranger)


def test_missing_image_is_named(host: Host) -> None:
    """An image neither here nor in a registry fails with its name in a one-line reason."""
    with pytest.raises(EngineError, match=MISSING_IMAGE) as caught:
        host.engine.run(replace(request_for(host), image=MISSING_IMAGE))
    assert caught.value.fault == "image_missing"
    assert "\n" not in caught.value.reason
    assert host.engine.observe(host.cluster_id) == ()


def test_logs_tell_streams_times_and_tail(host: Host) -> None:
    """Log lines come in order with stream and time; tail and since cut from the old end."""
    started = host.engine.run(request_for(host))
    until(lambda: len(host.engine.logs(started.id, tail=10)) == 2)
    lines = sorted(host.engine.logs(started.id, tail=10), key=lambda line: line.stream)
    assert [line.stream for line in lines] == ["stderr", "stdout"]
    assert lines[0].text == "this line goes to stderr"
    assert lines[1].text.startswith("listening")
    assert all(line.at_ns > 1e18 for line in lines)
    assert len(host.engine.logs(started.id, tail=1)) == 1
    after_ns = max(line.at_ns for line in lines) + 1
    assert list(host.engine.logs(started.id, tail=10, since_ns=after_ns)) == []
    assert list(host.engine.logs(started.id, tail=0)) == []
    with pytest.raises(EngineError) as caught:
        host.engine.logs("0" * 64, tail=10)
    assert (caught.value.fault, caught.value.retryable) == ("gone", False)


def test_volumes_are_made_listed_and_removed(host: Host) -> None:
    """A volume outlives its container, is listed with its users, and goes by name alone."""
    volume = f"orchestry-web-{uuid.uuid4().hex[:8]}"
    request = replace(request_for(host), mounts=(Mount(volume, "/data", read_only=False),))
    started = host.engine.run(request)
    (known,) = host.engine.volumes(host.cluster_id)
    assert (known.name, known.app, known.used_by, known.size_bytes) == (
        volume, "web", (started.name,), None)
    assert known.created_at_ms > 0
    assert host.engine.volumes("another-cluster") == []
    with pytest.raises(EngineError, match="in use") as caught:
        host.engine.remove_volume(host.cluster_id, volume)
    assert caught.value.fault == "rejected"
    host.engine.stop(started.id, grace_s=0)
    (left,) = host.engine.volumes(host.cluster_id, sizes=True)
    assert (left.used_by, left.size_bytes) == ((), 0)
    with pytest.raises(EngineError, match="not this cluster's"):
        host.engine.remove_volume("another-cluster", volume)
    host.engine.remove_volume(host.cluster_id, volume)
    host.engine.remove_volume(host.cluster_id, volume)
    assert host.engine.volumes(host.cluster_id) == []


def test_a_guard_that_objects_keeps_the_volume(host: Host) -> None:
    """A leader whose time is over neither makes nor removes a volume."""
    def over() -> None:
        raise Fenced("over")

    volume = f"orchestry-web-{uuid.uuid4().hex[:8]}"
    request = replace(request_for(host), mounts=(Mount(volume, "/data", read_only=False),))
    with pytest.raises(Fenced):
        host.engine.run(request, guard=over)
    assert host.engine.volumes(host.cluster_id) == []
    host.engine.stop(host.engine.run(request).id, grace_s=0)
    with pytest.raises(Fenced):
        host.engine.remove_volume(host.cluster_id, volume, guard=over)
    assert [one.name for one in host.engine.volumes(host.cluster_id)] == [volume]
    host.engine.remove_volume(host.cluster_id, volume)


def test_volume_of_another_app_is_refused(host: Host) -> None:
    """App `a`, volume `b-c`, and app `a-b`, volume `c`, share a volume's name, never its data."""
    app = f"a{uuid.uuid4().hex[:8]}"
    volume = f"orchestry-{app}-b-c"
    mounts = (Mount(volume, "/data", read_only=False),)
    owner = host.engine.run(replace(request_for(host), app=app, mounts=mounts))
    with pytest.raises(EngineError, match=volume) as caught:
        host.engine.run(replace(request_for(host), app=f"{app}-b", mounts=mounts))
    assert caught.value.fault == "rejected"
    assert [c.id for c in host.engine.observe(host.cluster_id)] == [owner.id]
    host.engine.stop(owner.id, grace_s=0)
    assert [(one.name, one.app) for one in host.engine.volumes(host.cluster_id)] == [(volume, app)]
    host.engine.remove_volume(host.cluster_id, volume)


def test_secrets_that_are_files_are_in_the_container(host: Host) -> None:
    """Each with its text, also an empty one, and again in the one that replaces it."""
    files = (("pw", "one"), ("empty", ""), ("key.pem", "x" * 60_000))
    request = replace(request_for(host), files=files)
    assert "one" not in repr(request)
    for _ in range(2):
        started = host.engine.run(request)
        assert started.phase == "running"
        assert [(name, host.file(started, name)) for name, _ in files] == list(files)
        assert host.file(started, "other") is None
        host.kill(started.id)
    again = host.engine.run(replace(request, files=(("pw", "two"),)))
    assert host.file(again, "pw") == "two"
    assert [one.id for one in host.engine.observe(host.cluster_id)] == [again.id]


def test_parallel_runs_with_files_start_one_container(host: Host) -> None:
    """Nobody starts it before it has its files."""
    request = replace(request_for(host), files=(("pw", "one"),))
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(host.engine.run, [request] * 4))
    (observed,) = host.engine.observe(host.cluster_id)
    assert {container.id for container in results} == {observed.id}
    assert (observed.phase, host.file(observed, "pw")) == ("running", "one")


def test_events_tell_of_start_death_and_removal(host: Host) -> None:
    """Each change of a container is a hint; the stream ends soon after stop is set."""
    with Listener(host) as listener:
        started = host.engine.run(request_for(host))
        listener.wait_for(EngineEvent("started", started.id))
        host.kill(started.id)
        listener.wait_for(EngineEvent("died", started.id))
        host.engine.stop(started.id, grace_s=0)
        listener.wait_for(EngineEvent("removed", started.id))
        assert EngineEvent("lost") not in listener.heard


def test_info_tells_the_size_of_the_host(host: Host) -> None:
    """The host has a version, processors and memory; that it answers is asked for by itself."""
    host.engine.ping()
    info = host.engine.info()
    assert info.version
    assert info.cpus >= 1
    assert info.memory_bytes > 64 * 1024**2
    assert info.containers_running >= 0
