"""What every engine must tell of a container's output, on the real Docker and on the fake."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cluster.engine.base import LOGS_BYTES_MAX, EngineError, LogLine
from cluster.engine.lines import CUT_MARK, LINE_BYTES_MAX
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, Host, request_for, until

REMOVED = 5
OPENING = 2
"""Lines that each container writes when it starts."""


class Reader:
    """Follows one container on a thread of its own."""

    def __init__(self, host: Host, container_id: str, since_ns: int = 0) -> None:
        self.lines: list[LogLine] = []
        self.stop = threading.Event()
        self.error: EngineError | None = None
        self._host, self._id, self._since_ns = host, container_id, since_ns
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            for line in self._host.engine.follow(
                self._id, since_ns=self._since_ns, stop=self.stop
            ):
                self.lines.append(line)
        except EngineError as error:
            self.error = error

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    def ended(self) -> bool:
        """Did it end by itself, in time?"""
        self._thread.join(DEADLINE_S)
        return not self._thread.is_alive()

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop.set()
        assert self.ended(), "follow() did not end after stop"


def test_text_is_readable(host: Host) -> None:
    """No control characters but tabs, no colours, no broken UTF-8 come out of a log."""
    started = host.engine.run(request_for(host))
    until(lambda: len(host.engine.logs(started.id, tail=10)) == OPENING)
    host.say(started, b"\x1b[31mred\x1b[0m\ta\x00b\x07 \xff\xfe \xc2\x85 caf\xc3\xa9\n")
    until(lambda: len(host.engine.logs(started.id, tail=10)) == OPENING + 1)
    (line,) = host.engine.logs(started.id, tail=1)
    assert line.text == "red\ta␀b␇ �� � café"
    assert not line.truncated


@pytest.mark.parametrize("end", [b"", "é".encode()])
def test_long_lines_are_whole_up_to_a_limit(host: Host, end: bytes) -> None:
    """A line of many pieces is one line; one beyond the limit is cut, with a mark."""
    started = host.engine.run(request_for(host))
    until(lambda: len(host.engine.logs(started.id, tail=10)) == OPENING)
    whole = b"w" * (LINE_BYTES_MAX - len(end)) + end
    host.say(started, whole + b"\nbetween\n" + b"x" * (LINE_BYTES_MAX - 1) + "é".encode() + b"\n")
    until(lambda: len(host.engine.logs(started.id, tail=10)) == OPENING + 3)
    for tail in (3, 10):
        lines = host.engine.logs(started.id, tail=tail)[-3:]
        assert [line.text for line in lines] == [
            whole.decode(), "between", "x" * (LINE_BYTES_MAX - 1) + CUT_MARK]
        assert [line.truncated for line in lines] == [False, False, True]


def test_follow_tells_what_was_and_what_comes(host: Host) -> None:
    """Lines from the start, then each as it is written, with its stream, until the end."""
    started = host.engine.run(request_for(host))
    with Reader(host, started.id) as reader:
        until(lambda: len(reader.lines) == OPENING)
        host.say(started, b"one\ntwo\n")
        until(lambda: len(reader.lines) == OPENING + 2)
        host.say(started, b"three\n", stream=2)
        until(lambda: len(reader.lines) == OPENING + 3)
        host.kill(started.id)
        assert reader.ended()
    assert reader.error is None
    assert reader.texts[OPENING:] == ["one", "two", "three"]
    assert [line.stream for line in reader.lines[OPENING:]] == ["stdout", "stdout", "stderr"]
    times = [line.at_ns for line in reader.lines[OPENING:]]
    assert times == sorted(times)
    assert list(host.engine.follow(started.id, since_ns=times[-1], stop=threading.Event())) == []


def test_follow_begins_after_a_time(host: Host) -> None:
    """`since_ns` itself is left out, all later lines come, also those of a container that ended."""
    started = host.engine.run(request_for(host))
    for text in (b"one\n", b"two\n", b"three\n"):
        time.sleep(0.01)
        host.say(started, text)
    until(lambda: len(host.engine.logs(started.id, tail=10)) == OPENING + 3)
    host.kill(started.id)
    one, two, three = host.engine.logs(started.id, tail=3)

    def after(at_ns: int) -> list[LogLine]:
        return list(host.engine.follow(started.id, since_ns=at_ns, stop=threading.Event()))

    assert after(one.at_ns) == [two, three]
    assert after(one.at_ns - 1) == [one, two, three]
    assert after(three.at_ns) == []


def test_follow_reads_all_of_a_container_that_is_removed(host: Host) -> None:
    """The last words before a stop are not lost; a container gone, or never there, is an end."""
    started = host.engine.run(request_for(host))
    with Reader(host, started.id) as reader:
        until(lambda: len(reader.lines) == OPENING)
        host.say(started, b"".join(b"line %d\n" % number for number in range(500)))
        until(lambda: len(reader.lines) >= OPENING + 500)
        host.engine.stop(started.id, grace_s=0)
        assert reader.ended()
    assert reader.error is None
    assert reader.texts[OPENING:] == [f"line {number}" for number in range(500)]
    assert list(host.engine.follow(started.id, since_ns=0, stop=threading.Event())) == []


def test_a_container_that_is_being_removed_is_gone(host: Host) -> None:
    """Whoever reads meanwhile gets lines, then hears that it is gone, and nothing else."""
    def read(container_id: str) -> tuple[str, str]:
        while True:
            try:
                host.engine.logs(container_id, tail=10)
            except EngineError as error:
                return error.fault, error.reason

    started = [host.engine.run(request_for(host, slot)).id for slot in range(REMOVED)]
    with ThreadPoolExecutor(REMOVED) as readers:
        found = [readers.submit(read, container_id) for container_id in started]
        for container_id in started:
            host.engine.stop(container_id, grace_s=0)
        assert [one.result(DEADLINE_S) for one in found] == [
            ("gone", f"container {container_id[:12]} is gone") for container_id in started]


@pytest.mark.parametrize("writes", [False, True])
def test_follow_ends_when_told(host: Host, writes: bool) -> None:
    """A silent container and a consumer amid lines are both left soon after `stop`."""
    started = host.engine.run(request_for(host))
    if writes:
        until(lambda: len(host.engine.logs(started.id, tail=10)) == OPENING)
        host.say(started, b"word\n" * 900)
    stop = threading.Event()
    lines = host.engine.follow(started.id, since_ns=0, stop=stop)
    next(lines)
    if not writes:
        next(lines)
        threading.Timer(0.1, stop.set).start()
    else:
        stop.set()
    assert list(lines) == []


def test_follow_of_a_stranger_is_refused(host: Host) -> None:
    """The output of a container that is not ours is not shown."""
    host.engine.observe(host.cluster_id)
    stranger = host.add_foreign(f"stranger-{uuid.uuid4().hex[:8]}")
    for read in (
        lambda: host.engine.logs(stranger, tail=1),
        lambda: list(host.engine.follow(stranger, since_ns=0, stop=threading.Event())),
    ):
        call: Callable[[], object] = read
        with pytest.raises(EngineError, match="not ours") as caught:
            call()
        assert caught.value.fault == "rejected"


@pytest.mark.docker
def test_a_tail_of_long_lines_is_full(docker_host: DockerHost) -> None:
    """Docker counts pieces of 16 KiB: so many lines are told as are asked for all the same."""
    started = docker_host.engine.run(request_for(docker_host))
    for number in range(12):
        docker_host.say(started, b"%d" % number + b"y" * 60_000 + b"\n")
    until(lambda: len(docker_host.engine.logs(started.id, tail=99)) == OPENING + 12)
    lines = docker_host.engine.logs(started.id, tail=12)
    assert [line.text.rstrip("y") for line in lines] == [str(number) for number in range(12)]
    assert all(len(line.text) > 60_000 and not line.truncated for line in lines)


@pytest.mark.docker
def test_a_log_of_megabytes_is_bounded(docker_host: DockerHost) -> None:
    """More than the limit at once is not kept: the newest lines stay, a little above it."""
    started = docker_host.engine.run(
        replace(request_for(docker_host), memory_bytes=64 * 1024**2))
    for number in range(10):
        docker_host.say(started, b"".join(
            b"%04d" % (number * 16 + part) + b"z" * 60_000 + b"\n" for part in range(16)))
    until(lambda: docker_host.engine.logs(started.id, tail=1)[0].text.startswith("0159"))
    lines = docker_host.engine.logs(started.id, tail=10_000)
    size = sum(len(line.text) for line in lines)
    assert LOGS_BYTES_MAX <= size < LOGS_BYTES_MAX + LINE_BYTES_MAX
    assert lines[-1].text.startswith("0159")


@pytest.mark.docker
def test_a_terminal_has_no_frames(docker_host: DockerHost) -> None:
    """The plain bytes of a container with a terminal are read as lines, joined of their pieces."""
    labels = {"orchestry.cluster": docker_host.cluster_id}
    docker_host.engine.observe(docker_host.cluster_id)
    created = docker_host.client.create_container_from_config({
        "Image": docker_host.image, "Tty": True, "Labels": labels, "Env": ["BANNER_BYTES=40000"],
        "HostConfig": {"NetworkMode": "none"},
    }, f"terminal-{uuid.uuid4().hex[:8]}")
    docker_host.client.start(created["Id"])
    until(lambda: len(docker_host.engine.logs(created["Id"], tail=10)) == 4)
    texts = [line.text for line in docker_host.engine.logs(created["Id"], tail=10)]
    assert "x" * 40_000 in texts
    assert "�� binary" in texts
    assert all(line.at_ns > 1e18 for line in docker_host.engine.logs(created["Id"], tail=10))
