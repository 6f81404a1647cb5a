"""A command's session between its client and an engine: slow sides, lost sides, and refusals."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from api.streams import exec as execs
from api.streams import peer as peers
from api.streams.exec import Asked, Execs
from api.streams.hub import Hub
from api.streams.wire import WebSocketWire
from cluster import config
from cluster.clock import SystemClock
from cluster.config.effective import effective
from cluster.engine.base import RunRequest
from cluster.engine.execution import STDOUT, ExecOrder
from cluster.engine.fake import FakeEngine
from orchestry.client import websocket as ws
from orchestry.errors import Code, OrchestryError
from tests.live import until

HEAD = b"HEAD\r\n\r\n"
WAIT_S = 30.0
SETTINGS = config.load({})
LINES = b"".join(b"%07d\n" % number for number in range(1000))


class World:
    """A hub, an engine with one container, and sessions in it."""

    def __init__(self) -> None:
        self.hub = Hub(10)
        self.engine = FakeEngine(SystemClock())
        self.container_id = self.engine.run(RunRequest("c", "web", 1, 1, 1, "web:1")).id
        self.keys: dict[str, Any] = {"exec.enabled": True}
        self.noted: list[ExecOrder] = []
        self.hold = threading.Event()
        self.hold.set()
        self.refuse: OrchestryError | None = None
        self.execs = Execs(self.hub, lambda: self.engine, lambda: effective(self.keys, SETTINGS))
        self._ends: list[socket.socket] = []

    def note(self, order: ExecOrder) -> None:
        """What notes a command."""
        self.hold.wait(WAIT_S)
        if self.refuse is not None:
            raise self.refuse
        self.noted.append(order)

    def attached(self) -> Client:
        """A client's end."""
        place, key = self.hub.reserve(), ws.new_key()
        assert place is not None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        wire = WebSocketWire(
            "/exec", [("Host", "x"), *ws.handshake(key).items()], listens_bytes_max=65_536)
        self.hub.attach(ours, HEAD, wire, self.execs.feed(
            Asked(self.container_id, "web-1", self.note)), place)
        theirs.settimeout(WAIT_S)
        assert theirs.recv(len(HEAD)) == HEAD
        self._ends.append(theirs)
        return Client(theirs)

    def executions(self) -> list[Any]:
        """Those of the engine."""
        return list(self.engine._records[self.container_id].executions)

    def close(self) -> None:
        """End all."""
        self.hold.set()
        for end in self._ends:
            end.close()
        self.hub.stop()
        self.engine.kill(self.container_id)


class Client:
    """Speaks frames over a socket."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.out = b""
        self.pings = 0
        self.closed: tuple[int, str] | None = None
        self._parser = ws.Parser()
        self._unsent = b""

    def say(self, **message: Any) -> None:
        """A message as JSON."""
        self.end.sendall(ws.frame(ws.TEXT, json.dumps(message).encode()))

    def start(self, *command: str, **more: Any) -> None:
        """Say what to run, and wait until it runs."""
        self.say(type="start", command=command, **more)
        assert self.next("started")["replica"] == "web-1"

    def next(self, kind: str) -> dict[str, Any]:
        """Read up to a message of this kind."""
        while True:
            for opcode, data in self._parser.push(self._some()):
                if opcode == ws.BINARY:
                    self.out += data[1:]
                elif opcode == ws.PING:
                    self.pings += 1
                elif opcode == ws.CLOSE:
                    self.closed = ws.closing(data)
                else:
                    told: dict[str, Any] = json.loads(data)
                    assert told["type"] == kind, told
                    return told
            assert self.closed is None, self.closed

    def fill(self, world: World) -> int:
        """Write LINES until the hub takes no more; how often they went out as a whole."""
        (peer,) = world.hub._peers
        deadline_s = time.monotonic() + WAIT_S
        self.end.settimeout(0.2)
        for times in range(2 * 1024**2 // len(LINES)):
            self._unsent += ws.frame(ws.BINARY, b"\0" + LINES)
            while self._unsent:
                try:
                    self._unsent = self._unsent[self.end.send(self._unsent):]
                except TimeoutError:
                    if peer._deaf:
                        self.end.settimeout(WAIT_S)
                        return times
                    assert time.monotonic() < deadline_s, "it takes nothing, and is not held up"
        pytest.fail("nothing was bounded")

    def _some(self) -> bytes:
        found = self.end.recv(65_536)
        assert found, "the hub has closed"
        return found


@pytest.fixture
def world() -> Iterator[World]:
    found = World()
    try:
        yield found
    finally:
        found.close()


def test_a_replica_that_ends_ends_the_session(world: World) -> None:
    """With its exit code, and why."""
    client = world.attached()
    client.start("sleep", "60")
    world.engine.kill(world.container_id)
    assert client.next("exit") == {
        "type": "exit", "exit_code": 137, "reason": "replica web-1 has ended"}


def test_an_engine_that_fails_is_told(world: World) -> None:
    """Whether it does not answer, does not have the container any more, or loses a command."""
    world.engine.fail_next("timeout", "Docker did not answer within 10 s")
    client = world.attached()
    client.say(type="start", command=["true"])
    told = client.next("error")
    assert (told["code"], told["details"]) == (
        "DOCKER_ERROR", "Docker did not answer within 10 s; the command may have begun")
    lost = world.attached()
    lost.start("sleep", "60")
    (execution,) = world.executions()
    execution._runs = lambda: True
    execs.LEARN_S, before = 0.2, execs.LEARN_S
    try:
        execution._ours.shutdown(socket.SHUT_RDWR)
        told = lost.next("error")
    finally:
        execs.LEARN_S = before
    assert (told["code"], "may go on" in told["details"]) == ("DOCKER_ERROR", True)
    world.engine.stop(world.container_id, grace_s=0)
    gone = world.attached()
    gone.say(type="start", command=["true"])
    assert gone.next("error")["code"] == "NOT_FOUND"
    world.container_id = world.engine.run(RunRequest("c", "web", 2, 1, 1, "web:1")).id


def test_what_cannot_be_noted_does_not_begin(world: World) -> None:
    """The engine is not asked."""
    world.refuse = OrchestryError(Code.CLUSTER_NOT_READY, "no leader")
    client = world.attached()
    client.say(type="start", command=["true"])
    told = client.next("error")
    assert (told["code"], told["details"]) == ("CLUSTER_NOT_READY", "no leader")
    assert world.executions() == []


@pytest.mark.parametrize("terminal", [None, {"rows": 24, "columns": 80}])
def test_a_client_that_goes_while_it_begins_leaves_nothing(
    world: World, terminal: dict[str, int] | None
) -> None:
    """The command that begins a moment later finds the end of its input."""
    world.hold.clear()
    client = world.attached()
    client.say(type="start", command=["sh"], stdin=True, terminal=terminal)
    client.end.close()
    until("its place is free", lambda: world.hub.count == 0, WAIT_S)
    world.hold.set()
    until("it has begun", world.executions, WAIT_S)
    (execution,) = world.executions()
    until("it has ended", lambda: execution.state().exit_code is not None, WAIT_S)


def test_a_client_that_does_not_read_holds_the_command_up(world: World) -> None:
    """What waits for it is bounded, and all of it comes once it reads."""
    client = world.attached()
    client.start("cat", stdin=True)
    written = client.fill(world)
    (peer,) = world.hub._peers
    assert peer._queued_bytes <= peers.QUEUE_BYTES_MAX
    while len(client.out) < written * len(LINES):
        for opcode, data in client._parser.push(client._some()):
            assert opcode == ws.BINARY
            client.out += data[1:]
    assert client.out[:written * len(LINES)] == LINES * written


def test_a_command_that_does_not_read_holds_its_client_up(world: World) -> None:
    """And the client is not taken for a silent one, since nobody listens to it."""
    client = world.attached()
    client.start("sleep", "60", stdin=True)
    client.fill(world)
    (peer,) = world.hub._peers
    for tick in range(1, 8):
        world.hub.soon(peer.tick, time.monotonic() + tick * 100)
    world.engine.kill(world.container_id)
    assert client.next("exit")["exit_code"] == 137
    assert client.pings >= 5


def test_a_silent_client_is_dropped_and_one_that_beats_is_not(world: World) -> None:
    """Whatever it says counts, a pong that nobody asked for too."""
    world.attached().start("cat", stdin=True)
    (silent,) = world.hub._peers
    beats = world.attached()
    beats.start("cat", stdin=True)
    (peer,) = world.hub._peers - {silent}
    wire: Any = peer._wire
    first = time.monotonic()
    for tick in range(1, 8):
        world.hub.soon(silent.tick, first + tick * 100)
        world.hub.soon(peer.tick, first + tick * 100)
        until("it is asked", lambda: wire._missed, WAIT_S, gap_s=0.005)
        beats.end.sendall(ws.frame(ws.PONG, b""))
        until("its beat is heard", lambda: not wire._missed, WAIT_S, gap_s=0.005)
    until("the silent one is gone", lambda: world.hub.count == 1, WAIT_S)
    beats.say(type="eof")
    assert beats.next("exit")["exit_code"] == 0


def test_who_says_nothing_is_not_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place is not for those who only hold it."""
    monkeypatch.setattr(execs, "START_S", 0.1)
    assert world.attached().next("error")["code"] == "VALIDATION_ERROR"


def test_a_right_that_ends_ends_the_command(world: World) -> None:
    """Its input ends although the client goes on: nobody types on with a token that was revoked."""
    client = world.attached()
    client.start("cat", stdin=True)
    (peer,) = world.hub._peers
    peer.allowed = lambda: False
    (execution,) = world.executions()
    until("it has ended", lambda: execution.state().exit_code == 0, WAIT_S)
    client.end.sendall(ws.frame(ws.BINARY, b"\0more"))
    with pytest.raises(AssertionError, match="revoked"):
        client.next("exit")
    assert client.closed is not None
    assert client.closed[0] == 1008


def test_what_came_early_and_is_not_read_holds_its_client_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is more than the engine's connection takes."""
    monkeypatch.setattr(execs, "EARLY_BYTES_MAX", 512 * 1024)
    world.hold.clear()
    client = world.attached()
    client.say(type="start", command=["sleep", "60"], stdin=True)
    early = client.fill(world)
    world.hold.set()
    assert client.next("started")
    assert client.fill(world) < early
    world.engine.kill(world.container_id)
    assert client.next("exit")["exit_code"] == 137


@pytest.mark.parametrize("message", [
    ws.frame(ws.BINARY, b"\0"),
    ws.frame(ws.TEXT, b'{"type":"resize","terminal":{"rows":1,"columns":1}}'),
], ids=["nothing", "a size"])
def test_small_things_that_come_early_are_bounded(world: World, message: bytes) -> None:
    """What is kept of them is more than what they have in bytes."""
    world.hold.clear()
    client = world.attached()
    client.say(type="start", command=["cat"], stdin=True)
    client.end.settimeout(0.5)
    many = message * 200_000
    with pytest.raises(TimeoutError):
        client.end.sendall(many)
    client.end.settimeout(WAIT_S)
    (peer,) = world.hub._peers
    until("it is held up", lambda: peer._deaf, WAIT_S)
    (feed,) = world.execs._feeds
    assert len(feed._early) <= 5_000
    world.hold.set()
    assert client.next("started")
    world.engine.kill(world.container_id)
    client.end.close()
    until("it is over", lambda: world.hub.count == 0, WAIT_S)


@pytest.mark.parametrize("terminal", [None, {"rows": 24, "columns": 80}])
def test_output_is_not_lost_with_input_that_nobody_takes(
    world: World, terminal: dict[str, int] | None
) -> None:
    """A command writes much and ends while its client writes on and reads late."""
    client = world.attached()
    client.start("sleep", "60", stdin=True, terminal=terminal)
    (execution,) = world.executions()
    (peer,) = world.hub._peers
    execution._write(STDOUT, LINES * 20)
    until("the client holds it up", lambda: peer.busy, WAIT_S)
    execution._write(STDOUT, LINES * 10)
    execution._over.set()
    until("it has ended", lambda: execution.state().exit_code is not None, WAIT_S)
    client.end.sendall(ws.frame(ws.BINARY, b"\0more"))
    assert client.next("exit")["exit_code"] == 0
    assert client.out.replace(b"\r", b"") == LINES * 30


def test_what_was_said_before_a_right_ended_goes_nowhere(world: World) -> None:
    """A command that the engine begins late finds the end of its input at once."""
    world.hold.clear()
    client = world.attached()
    client.say(type="start", command=["sh"], stdin=True)
    client.end.sendall(ws.frame(ws.BINARY, b"\0exit 7\n"))
    until("it is heard", lambda: any(one._early for one in world.execs._feeds), WAIT_S)
    (peer,) = world.hub._peers
    peer.allowed = lambda: False
    until("it is told", lambda: peer.closing, WAIT_S)
    world.hold.set()
    until("it has begun", world.executions, WAIT_S)
    (execution,) = world.executions()
    until("it has ended", lambda: execution.state().exit_code is not None, WAIT_S)
    assert execution.state().exit_code == 0


def test_an_end_does_not_wait_for_input_that_nobody_takes(world: World) -> None:
    """An engine may end its output alone, and read no more of what waits for it."""
    client = world.attached()
    client.start("sleep", "60", stdin=True)
    client.fill(world)
    (execution,) = world.executions()
    execution._code = 4
    execution._ours.shutdown(socket.SHUT_WR)
    assert client.next("exit")["exit_code"] == 4
