"""What every engine must do with commands in containers, on the real Docker and on the fake."""

from __future__ import annotations

import select
import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from cluster.engine.base import EngineError
from cluster.engine.execution import (
    END_OF_INPUT,
    STDERR,
    STDOUT,
    ExecOrder,
    ExecState,
    Execution,
    Size,
    Splitter,
)
from tests.contract.engine_hosts import DEADLINE_S, DockerHost, Host, request_for, until


@pytest.fixture
def shell(host: Host, request: pytest.FixtureRequest) -> Host:
    """A host whose image has programs."""
    if isinstance(host, DockerHost):
        host.image = request.getfixturevalue("test_shell_image")
    return host


class Running:
    """A command, whose bytes are read and written with deadlines."""

    def __init__(self, execution: Execution, *, terminal: bool) -> None:
        self.execution = execution
        self.ended = False
        self.out = {STDOUT: b"", STDERR: b""}
        self._splitter = Splitter(terminal=terminal)
        self._take(execution.first)

    def _take(self, data: bytes) -> None:
        for channel, piece in self._splitter.feed(data):
            self.out[channel] += piece

    def read(self) -> None:
        """Read once, or find the end."""
        assert select.select([self.execution.sock], [], [], DEADLINE_S)[0], "nothing comes"
        data = self.execution.sock.recv(65536)
        self.ended = not data
        self._take(data)

    def until_out(self, text: bytes) -> None:
        """Read until the output has this."""
        while text not in self.out[STDOUT]:
            assert not self.ended, self.out
            self.read()

    def code(self) -> int:
        """Read to the end; the exit code."""
        while not self.ended:
            self.read()
        found: list[ExecState] = []

        def over() -> bool:
            found[:] = [self.execution.state()]
            return found[0].exit_code is not None

        until(over)
        assert found[0].exit_code is not None
        return found[0].exit_code

    def write(self, data: bytes) -> None:
        """Send input."""
        self.execution.sock.setblocking(True)
        self.execution.sock.settimeout(DEADLINE_S)
        self.execution.sock.sendall(data)


@contextmanager
def running(
    host: Host, container_id: str, *command: str, stdin: bool = False, size: Size | None = None
) -> Iterator[Running]:
    """A command, whose connection is closed at the end."""
    execution = host.engine.execute(container_id, ExecOrder(command, stdin, size))
    try:
        yield Running(execution, terminal=size is not None)
    finally:
        execution.sock.close()
        execution.close()


def test_output_errors_and_exit_code_are_apart(shell: Host) -> None:
    """What a command writes to each is told apart, and its exit code is its own."""
    started = shell.engine.run(request_for(shell))
    with running(shell, started.id, "sh", "-c", "echo out; echo wrong >&2; exit 7") as one:
        assert one.code() == 7
    assert one.out == {STDOUT: b"out\n", STDERR: b"wrong\n"}
    for words, code in ((("true",), 0), (("false",), 1)):
        with running(shell, started.id, *words) as one:
            assert one.code() == code
    assert one.execution.state() == ExecState(1, True)


def test_nothing_of_the_output_is_lost(shell: Host) -> None:
    """What comes together with the answer's head too, however quickly the command ends."""
    started = shell.engine.run(request_for(shell))
    for number in range(20):
        with running(shell, started.id, "echo", f"line {number}") as one:
            assert one.code() == 0
        assert one.out[STDOUT] == b"line %d\n" % number


def test_input_reaches_the_command_and_ends(shell: Host) -> None:
    """Megabytes go through and come back; the end of the input is the command's end of file."""
    started = shell.engine.run(request_for(shell))
    data = b"".join(b"%07d\n" % number for number in range(200_000))
    with running(shell, started.id, "cat", stdin=True) as one:
        for at in range(0, len(data), 16_384):
            one.write(data[at:at + 16_384])
            while select.select([one.execution.sock], [], [], 0)[0]:
                one.read()
        one.execution.sock.shutdown(socket.SHUT_WR)
        assert one.code() == 0
    assert one.out[STDOUT] == data


def test_without_input_there_is_none(shell: Host) -> None:
    """A command that reads finds the end at once, instead of waiting."""
    started = shell.engine.run(request_for(shell))
    with running(shell, started.id, "cat") as one:
        assert one.code() == 0
    assert one.out[STDOUT] == b""


def test_a_terminal_has_a_size_that_changes(shell: Host) -> None:
    """From the beginning, and later; what is typed is shown."""
    started = shell.engine.run(request_for(shell))
    with running(shell, started.id, "sh", stdin=True, size=Size(41, 93)) as one:
        one.write(b"stty size\n")
        one.until_out(b"41 93\r\n")
        one.execution.resize(Size(17, 121))
        one.write(b"stty size\n")
        one.until_out(b"17 121\r\n")
        assert b"stty size" in one.out[STDOUT]
        one.write(b"exit 3\n")
        assert one.code() == 3
        one.execution.resize(Size(1, 1))


def test_what_is_not_there_ends_with_the_reason(shell: Host) -> None:
    """And with 126 or 127: that depends on the version of Docker."""
    started = shell.engine.run(request_for(shell))
    with running(shell, started.id, "no-such-program") as one:
        assert one.code() in (126, 127)
    assert b"executable file not found" in one.out[STDOUT]


def test_a_command_ends_with_its_container(shell: Host) -> None:
    """Its connection ends, and its state tells that the container does not run any more."""
    started = shell.engine.run(request_for(shell))
    with running(shell, started.id, "sh", "-c", "echo begun; sleep 60") as one:
        one.until_out(b"begun\n")  # a daemon has taken it before it has begun it
        assert one.execution.state() == ExecState(None, True)
        shell.kill(started.id)
        assert one.code() == 137
        assert one.execution.state() == ExecState(137, False)
        with pytest.raises(EngineError) as refused:
            shell.engine.execute(started.id, ExecOrder(("true",)))
        assert refused.value.fault == "rejected"
        shell.engine.stop(started.id, grace_s=0)
        ask: Callable[[], object]
        for ask in (one.execution.state,
                    lambda: shell.engine.execute(started.id, ExecOrder(("true",)))):
            with pytest.raises(EngineError, match=f"{started.id[:12]} is gone") as gone:
                ask()
            assert gone.value.fault == "gone"


def test_a_stranger_is_refused(shell: Host) -> None:
    """Nothing is run in a container that is not ours."""
    shell.engine.observe(shell.cluster_id)
    stranger = shell.add_foreign(f"stranger-{uuid.uuid4().hex[:8]}")
    with pytest.raises(EngineError, match="not ours") as caught:
        shell.engine.execute(stranger, ExecOrder(("true",)))
    assert caught.value.fault == "rejected"


def test_closing_the_connection_ends_what_reads(shell: Host) -> None:
    """A client that goes takes the input with it: a command that reads it ends. In a terminal it
    ends when it is told the end of its input, as long as somebody reads."""
    started = shell.engine.run(replace(request_for(shell), memory_bytes=64 * 1024**2))
    with running(shell, started.id, "cat", stdin=True) as one:
        execution = one.execution
        one.write(b"ready\n")
        one.until_out(b"ready\n")
        assert execution.state().exit_code is None
    until(lambda: execution.state().exit_code is not None)
    with running(shell, started.id, "cat", stdin=True, size=Size(24, 80)) as one:
        one.write(b"ready\n")
        one.until_out(b"ready\r\n")
        one.write(END_OF_INPUT)
        assert one.code() == 0
