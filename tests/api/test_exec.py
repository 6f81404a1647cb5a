"""Commands in containers over real sockets: refusals before the upgrade, and both ways after."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.api.process import ANSWER_S, Process, ready
from tests.api.support import spec

PATH = "/api/v1/apps/app-0/exec"
PLACES = 3


@pytest.fixture(scope="module")
def node() -> Iterator[Process]:
    """One process whose replicas have containers, and which allows commands in them."""
    with ready(ENGINE="fake") as found:
        configure(found, enabled=True, max_sessions=PLACES)
        yield found


def configure(node: Process, **keys: Any) -> None:
    """Change keys of the group."""
    assert node.call("PUT", "/api/v1/config", {"exec": keys})[0] == 200


class Session:
    """One command's WebSocket."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.out = {1: b"", 2: b""}
        self.started: dict[str, Any] | None = None

    def say(self, **message: Any) -> None:
        """A message as JSON."""
        self.socket.send(json.dumps(message))

    def type(self, data: bytes) -> None:
        """Input."""
        self.socket.send(b"\0" + data)

    def next(self) -> dict[str, Any] | None:
        """The next message; None for output."""
        found = self.socket.recv(timeout=ANSWER_S)
        if isinstance(found, bytes):
            self.out[found[0]] += found[1:]
            return None
        told: dict[str, Any] = json.loads(found)
        return told

    def until_out(self, text: bytes) -> None:
        """Read until the output has this."""
        while text not in self.out[1]:
            told = self.next()
            assert told is None or told["type"] == "started", told

    def last(self) -> dict[str, Any]:
        """Read to the end; the last words."""
        while True:
            told = self.next()
            if told is not None and told["type"] == "started":
                self.started = told
            elif told is not None:
                return told

    def closed(self) -> tuple[int, str]:
        """How the stream was closed."""
        with pytest.raises(ConnectionClosed) as closed:
            self._all()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    def _all(self) -> None:
        while True:
            self.socket.recv(timeout=ANSWER_S)


@contextmanager
def opened(node: Process, path: str = PATH, **headers: str) -> Iterator[Session]:
    """A session that has said nothing yet."""
    with connect(
        f"ws://127.0.0.1:{node.port}{path}", additional_headers=headers, open_timeout=ANSWER_S,
        compression=None,
    ) as found:
        yield Session(found)


def refusal(node: Process, path: str = PATH, **headers: str) -> tuple[int, dict[str, Any]]:
    """The answer before the upgrade."""
    with pytest.raises(InvalidStatus) as refused, opened(node, path, **headers):
        pass
    return refused.value.response.status_code, json.loads(refused.value.response.body or b"")


def places_free(node: Process) -> None:
    """Wait until nobody has a place."""
    deadline_s = time.monotonic() + ANSWER_S
    with ExitStack() as stack:
        for _ in range(PLACES):
            while True:
                try:
                    stack.enter_context(opened(node))
                    break
                except InvalidStatus:
                    assert time.monotonic() < deadline_s, "a place was not given back"
                    time.sleep(0.05)


def test_output_errors_and_the_exit_code(node: Process) -> None:
    """Each on its channel, the exit code at last, and then the end."""
    with opened(node) as one:
        one.say(type="start", command=["sh", "-c", "echo out; echo wrong >&2; exit 3"])
        assert one.last() == {"type": "exit", "exit_code": 3, "reason": None}
        assert one.started == {"type": "started", "replica": "app-0-1"}
        assert one.out == {1: b"out\n", 2: b"wrong\n"}
        assert one.closed()[0] == 1000
    with opened(node, f"{PATH}?replica=2") as one:
        one.say(type="start", command=["no-such"])
        assert one.last()["exit_code"] == 127
        assert one.started == {"type": "started", "replica": "app-0-2"}


def test_input_goes_through_in_order_and_ends(node: Process) -> None:
    """Megabytes there and back, also what is sent before the command has begun."""
    with opened(node) as one:
        one.say(type="start", command=["cat"], stdin=True)
        data = b"".join(b"%07d\n" % number for number in range(100_000))
        for at in range(0, len(data), 32_768):
            one.type(data[at:at + 32_768])
            while True:  # who does not read is not written to
                try:
                    message = one.socket.recv(timeout=0)
                except TimeoutError:
                    break
                if isinstance(message, bytes):
                    one.out[1] += message[1:]
        one.say(type="eof")
        assert one.last()["exit_code"] == 0
        assert one.out[1] == data


def test_a_terminal_has_the_size_that_it_is_given(node: Process) -> None:
    """In the first message, and later."""
    with opened(node) as one:
        one.say(type="start", command=["sh"], stdin=True, terminal={"rows": 41, "columns": 93})
        one.type(b"stty size\n")
        one.until_out(b"41 93\r\n")
        for rows in range(10, 21):
            one.say(type="resize", terminal={"rows": rows, "columns": 120})
        deadline_s = time.monotonic() + ANSWER_S
        while b"20 120\r\n" not in one.out[1]:
            assert time.monotonic() < deadline_s, one.out
            one.type(b"stty size\n")
            time.sleep(0.05)
            one.next()
        one.type(b"exit 4\n")
        assert one.last()["exit_code"] == 4


def test_it_is_off_until_an_administrator_switches_it_on() -> None:
    """Refused with what to do; switching it off ends what runs."""
    with ready(ENGINE="fake") as node:
        status, body = refusal(node)
        assert (status, body["code"]) == (403, "FORBIDDEN")
        assert "exec.enabled=true" in body["details"]
        configure(node, enabled=True)
        with opened(node) as one:
            one.say(type="start", command=["sleep", "60"])
            assert (one.next() or {})["type"] == "started"
            configure(node, enabled=False)
            code, reason = one.closed()
            assert (code, "switched off" in reason) == (1008, True)
        assert refusal(node)[0] == 403


@pytest.mark.parametrize(("path", "status", "text"), [
    ("/api/v1/apps/none/exec", 404, "none"),
    (f"{PATH}?replica=7", 404, "app-0-1, app-0-2"),
    (f"{PATH}?replica=0", 400, "replica"),
    (f"{PATH}?container=x", 400, "container"),
    ("/api/v1/apps/idle/exec", 409, "orchestry up idle"),
])
def test_refusals_come_before_the_upgrade(
    node: Process, path: str, status: int, text: str
) -> None:
    """With the reason and what there is."""
    node.call("POST", "/api/v1/apps/register", spec("idle"))
    found, body = refusal(node, path)
    assert found == status
    assert text in json.dumps(body["details"])


def test_what_is_no_websocket_is_told_so(node: Process) -> None:
    """There is nothing for server-sent events here."""
    status, body = node.call("GET", PATH)
    assert (status, body["details"][0]["field"]) == (400, "Upgrade")


def test_pages_of_other_sites_are_refused(node: Process) -> None:
    """A browser would let any page open a WebSocket."""
    status, body = refusal(node, Origin="https://evil.example")
    assert (status, body["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize(("message", "field"), [
    ("no json", ""),
    ('{"type": "start"}', "command"),
    ('{"type": "start", "command": []}', "command"),
    ('{"type": "start", "command": [""]}', "command[0]"),
    ('{"type": "start", "command": ["a\\u0000"]}', "command.0"),
    ('{"type": "start", "command": ["a"], "user": "root"}', "user"),
    ('{"type": "start", "command": ["a"], "terminal": {"rows": 0, "columns": 1}}',
     "terminal.rows"),
    ('{"type": "eof"}', "type"),
    (b"\0input", "type"),
])
def test_a_first_message_that_is_wrong_names_its_fault(
    node: Process, message: str | bytes, field: str
) -> None:
    """And nothing is run."""
    with opened(node) as one:
        one.socket.send(message)
        found = one.last()
        assert (found["type"], found["code"]) == ("error", "VALIDATION_ERROR")
        assert field in [fault["field"] for fault in found["details"]]
        assert one.started is None
        assert one.closed()[0] == 1011


@pytest.mark.parametrize("message", ["no json", '{"type": "other"}', b"", b"\1input"])
def test_a_later_message_that_is_wrong_ends_the_session(
    node: Process, message: str | bytes
) -> None:
    """A client that speaks another language is not guessed at."""
    with opened(node) as one:
        one.say(type="start", command=["cat"], stdin=True)
        assert (one.next() or {})["type"] == "started"
        one.socket.send(message)
        assert one.last()["code"] == "VALIDATION_ERROR"
    places_free(node)


def test_a_message_that_is_too_large_ends_the_session(node: Process) -> None:
    """With the code that says so, and whatever it is made of."""
    with opened(node) as one:
        one.say(type="start", command=["cat"], stdin=True)
        assert (one.next() or {})["type"] == "started"
        one.type(b"x" * 70_000)
        assert one.closed()[0] == 1009
    with opened(node) as one:
        one.say(type="start", command=["cat"], stdin=True)
        one.socket.send(iter([b"\0one ", b"two ", b"three\n"]))  # one message in three frames
        one.until_out(b"one two three\n")


def test_there_are_so_many_places(node: Process) -> None:
    """One more is refused with the way out, and one that is given back is good again."""
    places_free(node)
    with ExitStack() as stack:
        for _ in range(PLACES):
            stack.enter_context(opened(node)).say(type="start", command=["sleep", "60"])
        status, body = refusal(node)
        assert (status, body["code"]) == (503, "CLUSTER_NOT_READY")
        assert "exec.max_sessions" in body["details"]
        assert node.call("GET", "/livez")[0] == 200
    places_free(node)


def test_a_client_that_vanishes_leaves_its_place(node: Process) -> None:
    """Whether it closes, resets or has sent nothing; its command's input ends."""
    for linger in (False, True):
        with opened(node) as one:
            one.say(type="start", command=["cat"], stdin=True)
            assert (one.next() or {})["type"] == "started"
            if linger:
                one.socket.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            one.socket.socket.close()
        places_free(node)


def test_idle_sessions_are_ended(node: Process) -> None:
    """With the key that says how long they may be; one that is written to is not idle."""
    configure(node, idle_timeout=10)
    try:
        with opened(node) as idle, opened(node) as busy:
            for one in (idle, busy):
                one.say(type="start", command=["cat"], stdin=True)
            until_s = time.monotonic() + 12
            while time.monotonic() < until_s:
                busy.type(b"still here\n")
                time.sleep(1)
            found = idle.last()
            assert (found["code"], "exec.idle_timeout" in found["details"]) == ("TIMEOUT", True)
            busy.say(type="eof")
            assert busy.last()["exit_code"] == 0
    finally:
        configure(node, idle_timeout=None)


def test_it_is_on_record_without_its_arguments(node: Process) -> None:
    """Who looks at the application's events sees that a command began, and which."""
    with opened(node) as one:
        one.say(type="start", command=["echo", "--password=hunter2"])
        assert one.last()["exit_code"] == 0
    events = node.call("GET", "/api/v1/apps/app-0/events?limit=1")[1]["events"]
    assert events[0]["message"] == "Command echo begins in app-0-1"
    assert events[0]["details"]["arguments"] == 1
    assert "hunter2" not in json.dumps(events) + node.said()
