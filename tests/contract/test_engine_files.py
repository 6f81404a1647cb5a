"""Secrets as files on real Docker: there before the first instruction, in memory alone."""

from __future__ import annotations

import json
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.control.loop import Fenced
from cluster.engine.base import FILES_FOLDER, EngineError, RunRequest
from cluster.engine.docker_files import ContainerFiles, helper_name
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, Listener, request_for, until
from tests.live import listening

pytestmark = pytest.mark.docker

PLAIN = "pa55-never-to-be-seen"


def with_file(host: DockerHost, **more: Any) -> RunRequest:
    """A replica that ends with 9 when its file is not there as it begins."""
    return replace(
        request_for(host), files=(("pw", PLAIN),),
        environment=(("NEEDS", f"{FILES_FOLDER}/pw"),), **more)


def needed(address: str) -> str:
    """What the file had when the process began."""
    listening(address, timeout_s=DEADLINE_S)
    with urllib.request.urlopen(f"http://{address}:8080/needed", timeout=DEADLINE_S) as answer:
        return str(answer.read().decode())


def volume_of(host: DockerHost, container_id: str) -> str:
    """The volume that is the memory."""
    return next(str(one["Name"]) for one in host.client.inspect_container(container_id)["Mounts"]
                if one["Destination"] == FILES_FOLDER)


@pytest.mark.parametrize("user", ["", "1000", "1000:2000"])
def test_the_file_is_there_when_the_process_begins(docker_host: DockerHost, user: str) -> None:
    """For the container's user alone."""
    started = docker_host.engine.run(with_file(docker_host, user=user))
    assert needed(started.ip) == PLAIN
    memory = Path(docker_host.client.inspect_volume(
        volume_of(docker_host, started.id))["Mountpoint"])
    found = os.stat(memory / "pw")
    uid, _, gid = (user or "0").partition(":")
    assert (found.st_mode & 0o777, found.st_uid, found.st_gid) == (
        0o400, int(uid), int(gid or 0))
    assert f"tmpfs {memory} tmpfs" in Path("/proc/mounts").read_text()


def test_the_value_is_in_no_inspection_and_on_no_disk(docker_host: DockerHost) -> None:
    """Neither while it runs nor afterwards; nothing is left when it is stopped."""
    started = docker_host.engine.run(with_file(docker_host))
    assert needed(started.ip) == PLAIN
    volume = volume_of(docker_host, started.id)
    whole = docker_host.client.inspect_container(started.id)
    told = [whole, docker_host.client.inspect_volume(volume),
            docker_host.client.containers(all=True), docker_host.client.logs(started.id).decode()]
    assert PLAIN not in json.dumps(told)
    root = Path(docker_host.client.info()["DockerRootDir"])
    folders = [Path(whole["GraphDriver"]["Data"]["UpperDir"]), root / "containers" / started.id]
    assert all(folder.is_dir() for folder in folders)
    assert _holding(*folders) == []
    docker_host.engine.stop(started.id, grace_s=0)
    assert not (root / "volumes" / volume).exists()
    names = [name for one in docker_host.client.containers(all=True) for name in one["Names"]]
    assert f"/{helper_name(started.name)}" not in names


def _holding(*folders: Path) -> list[Path]:
    return [path for folder in folders for path in folder.rglob("*")
            if path.is_file() and not path.is_symlink() and PLAIN.encode() in path.read_bytes()]


def test_a_container_that_is_started_again_without_its_file_is_replaced(
    docker_host: DockerHost,
) -> None:
    """By hand, or by a daemon that came back: it counts as dead, and another one takes over."""
    request = with_file(docker_host)
    with Listener(docker_host) as listener:
        started = docker_host.engine.run(replace(request, environment=()))
        docker_host.client.restart(started.id, timeout=0)
        until(lambda: docker_host.engine.observe(docker_host.cluster_id)[0].phase == "exited")
        assert listener.heard
    (dead,) = docker_host.engine.observe(docker_host.cluster_id)
    assert "without its files" in dead.error
    assert dead.exit_code != 0
    assert docker_host.client.inspect_container(started.id)["State"]["Running"]
    second = docker_host.engine.run(request)
    assert second.id != started.id
    assert needed(second.ip) == PLAIN
    assert not docker_host.exists(started.id)


@contextmanager
def _cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A controller dies after it has started the replica: the helper stays."""
    with monkeypatch.context() as patch:
        patch.setattr(ContainerFiles, "drop", lambda self, name: False)
        yield


def test_a_start_that_nobody_ended_is_begun_again(
    docker_host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who leads next cannot tell whether the files were there all the time."""
    request = with_file(docker_host)
    with _cut_off(monkeypatch):
        started = docker_host.engine.run(request)
    (doubtful,) = docker_host.engine.observe(docker_host.cluster_id)
    assert (doubtful.phase, "not known" in doubtful.error) == ("exited", True)
    second = docker_host.engine.run(replace(request, epoch=8))
    assert second.id != started.id
    assert needed(second.ip) == PLAIN
    assert [one.phase for one in docker_host.engine.observe(docker_host.cluster_id)] == ["running"]
    with _cut_off(monkeypatch):
        docker_host.engine.stop(second.id, grace_s=0)
        third = docker_host.engine.run(request)
    docker_host.engine.observe(docker_host.cluster_id)
    docker_host.engine.stop(third.id, grace_s=0)
    assert docker_host.client.containers(all=True, filters={
        "label": [f"orchestry.cluster={docker_host.cluster_id}"]}) == []


def test_a_run_whose_start_is_in_doubt_is_not_begun_again(
    docker_host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its one container stays, and is told of as of no use; so it is stopped, and has failed."""
    request = with_file(docker_host, run=7)
    whole = ContainerFiles.filled

    @contextmanager
    def doubtful(self: ContainerFiles, *order: Any) -> Iterator[None]:
        with whole(self, *order):
            yield
            raise EngineError("rejected", "Docker has not taken the files")

    with monkeypatch.context() as patch:
        patch.setattr(ContainerFiles, "filled", doubtful)
        with pytest.raises(EngineError) as raised:
            docker_host.engine.run(request)
    assert raised.value.fault == "timeout"
    (found,) = docker_host.engine.observe(docker_host.cluster_id)
    assert (found.phase, found.still_runs) == ("exited", True)
    assert docker_host.engine.run(replace(request, epoch=8)).id == found.id
    assert docker_host.client.inspect_container(found.id)["State"]["Running"]
    docker_host.engine.observe(docker_host.cluster_id)
    docker_host.engine.stop(found.id, grace_s=0)
    assert docker_host.client.containers(all=True, filters={
        "label": [f"orchestry.cluster={docker_host.cluster_id}"]}) == []


def test_a_run_that_was_made_and_not_started_is_filled_and_started(
    docker_host: DockerHost,
) -> None:
    """The same container: by whoever leads next."""
    request = with_file(docker_host, run=7)
    left = [2]

    def guard() -> None:
        left[0] -= 1
        if left[0] < 0:
            raise Fenced

    with pytest.raises(Fenced):
        docker_host.engine.run(request, guard=guard)
    (made,) = docker_host.engine.observe(docker_host.cluster_id)
    assert made.phase == "created"
    started = docker_host.engine.run(replace(request, epoch=8))
    assert started.id == made.id
    assert needed(started.ip) == PLAIN
    assert [(one.phase, one.still_runs)
            for one in docker_host.engine.observe(docker_host.cluster_id)] == [("running", False)]


def test_a_guard_that_objects_starts_nothing(docker_host: DockerHost) -> None:
    """Whenever the lease is over; whoever leads next starts it with its file."""
    for allowed in (1, 2):
        left = [allowed]

        def guard(left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise Fenced("over")

        request = with_file(docker_host, epoch=7 + allowed)
        with pytest.raises(Fenced):
            docker_host.engine.run(request, guard=guard)
        phases = {one.phase for one in docker_host.engine.observe(docker_host.cluster_id)}
        assert phases <= {"created"}
    second = docker_host.engine.run(with_file(docker_host, epoch=20))
    assert needed(second.ip) == PLAIN


def test_a_daemon_that_takes_no_files_starts_nothing(
    docker_host: DockerHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason is told, and nothing is left."""
    def broken(files: object, user: str) -> bytes:
        return b"no archive" * 200

    monkeypatch.setattr("cluster.engine.docker_files.archive", broken)
    docker_host.engine.ping()
    threads = threading.active_count()
    docker_host.engine._api.timeout_s = 3  # for streams; the calls of its client wait on
    with pytest.raises(EngineError):
        docker_host.engine.run(with_file(docker_host))
    assert docker_host.client.containers(all=True, filters={
        "label": [f"orchestry.cluster={docker_host.cluster_id}"]}) == []
    until(lambda: threading.active_count() <= threads)
