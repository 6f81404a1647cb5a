"""Controllers that take a connection and never answer, before the clients and the command."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest

from orchestry.cli import main
from orchestry.client import NotReachable, TimedOut
from orchestry.client.attempts import HASTE_S
from orchestry.client.exchange import READ_TIMEOUT_S
from tests.unit.both_clients import Connect
from tests.unit.stub_answers import answer
from tests.unit.stub_cluster import Says, Seen, nodes

Captured = pytest.CaptureFixture[str]
ENDED_S = 60.0
"""A busy machine adds to what a call waits; its own timeout, or that of a write, is longer."""


@pytest.fixture
def taken() -> Iterator[socket.socket]:
    """Takes connections, in the kernel, that are never served."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def silent(taken: socket.socket) -> str:
    """Its address."""
    return f"http://127.0.0.1:{taken.getsockname()[1]}"


def connections(taken: socket.socket) -> int:
    """How many there were since it was last asked."""
    taken.setblocking(False)
    for count in range(1000):
        try:
            taken.accept()[0].close()
        except BlockingIOError:
            return count
    pytest.fail("there is no end of connections")


def waited_s(text: str, pattern: str) -> float:
    """The seconds that a text of this pattern tells."""
    found = re.fullmatch(pattern.replace("SECONDS", r"(\d+\.\d) s"), text)
    assert found is not None, text
    return float(found[1])


def test_reads_and_waiting_writes_pass_it_by(
    connect: Connect, taken: socket.socket, silent: str
) -> None:
    """Each long before it would be given up, and the second one at once."""
    with nodes(answer) as (node,), connect([silent, node.url]) as client:
        begun_s = time.monotonic()
        assert client.list_apps()["total"] == 1
        assert HASTE_S <= time.monotonic() - begun_s < READ_TIMEOUT_S
        assert connections(taken) == 1
        assert client.list_apps()["total"] == 1
        assert connections(taken) == 0
    with nodes(answer) as (node,), connect([silent, node.url]) as client:
        begun_s = time.monotonic()
        assert client.scale_app("web", 5)["current_replicas"] == 5
        assert time.monotonic() - begun_s < READ_TIMEOUT_S
        assert node.pulses == 1


def test_a_stream_begins_elsewhere(connect: Connect, silent: str) -> None:
    """Its silence afterwards is another matter."""
    def streaming(seen: Seen) -> Says:
        return Says(200, b"data: {\"id\": 5}\n\n", {"Content-Type": "text/event-stream"})

    with nodes(streaming) as (node,), connect([silent, node.url]) as client:
        begun_s = time.monotonic()
        events = client.stream_events(since_id=1)
        assert next(events) == {"id": 5}
        assert time.monotonic() - begun_s < READ_TIMEOUT_S
        events.close()


def test_one_that_takes_its_time_is_awaited_when_the_others_are_gone(
    connect: Connect, silent: str
) -> None:
    """The first try is cut short, the second one is not; a body may pause."""
    def slow(seen: Seen) -> Says:
        return Says(200, {"total": 0, "apps": []}, delay_s=HASTE_S + 1)

    with nodes(slow) as (node,), connect([node.url, silent]) as client:
        assert client.list_apps() == {"total": 0, "apps": []}
        assert len(node.seen) == 2


def test_what_is_told_only_once_is_awaited(connect: Connect, silent: str) -> None:
    """A repeat would find that the token was made, and not get it."""
    def slow(seen: Seen) -> Says:
        return answer(seen) if seen.method == "GET" else Says(
            201, {"token": "t" if len(node.seen) == 1 else None}, delay_s=HASTE_S + 1, as_is=True)

    with nodes(slow) as (node,):
        for urls in ([node.url, silent], [silent, node.url]):
            node.seen.clear()
            with connect(urls) as client:
                assert client.create_token("ci", "viewer")["token"] == "t"
                assert len(node.seen) == 1
    with nodes(slow) as (node,), connect([node.url, silent]) as client:
        client.begin_drill("leader-kill", term=3)
        assert len(node.seen) == 1


def test_alone_it_is_told_within_the_bound(connect: Connect, silent: str) -> None:
    """A read was not carried out; of a write nobody knows."""
    with connect(silent, timeout=2 * ENDED_S) as client:
        begun_s = time.monotonic()
        with pytest.raises(NotReachable, match=silent) as told:
            client.list_apps()
        assert told.value.code == "NO_ANSWER"
        assert READ_TIMEOUT_S <= time.monotonic() - begun_s < ENDED_S
    with connect(silent, timeout=1) as client, pytest.raises(TimedOut) as unknown:
        client.restart_app("web")
    assert isinstance(unknown.value.details, dict)
    assert unknown.value.details["outcome"] == "unknown"


def test_the_command_says_who_is_waited_for_and_ends(silent: str, capsys: Captured) -> None:
    """On standard error, and nothing on standard output."""
    assert main(["list", "--url", silent]) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    next_step = ("Look at the controllers that are named and at the network, restart those that "
                 "hang, or name others with --url.")
    first, error, tried, last = printed.err.splitlines()
    assert (first, error, last) == (
        f"{silent} does not answer; waiting for it up to 10 s.",
        "Error: No controller answered in time",
        f"Next: {next_step}",
    )
    assert READ_TIMEOUT_S <= waited_s(
        tried, rf"  tried {silent}; {silent} did not answer in time \(SECONDS\)") < ENDED_S


def test_the_command_says_who_is_passed_by(silent: str, capsys: Captured) -> None:
    """Once, unless nothing is to be said."""
    with nodes(answer) as (node,):
        assert main(["list", "--url", silent, "--url", node.url]) == 0
        printed = capsys.readouterr()
        assert HASTE_S <= waited_s(
            printed.err, rf"{silent} did not answer in time \(SECONDS\); asking {node.url}\.\n"
        ) < READ_TIMEOUT_S
        assert printed.out.startswith("NAME")
        assert main(["up", "web", "--quiet", "--url", silent, "--url", node.url]) == 0
        assert capsys.readouterr().err == ""


def test_a_command_that_waits_ends_when_nobody_is_there(silent: str, capsys: Captured) -> None:
    """Its long patience is for controllers that live."""
    begun_s = time.monotonic()
    assert main(["scale", "web", "3", "--url", silent]) == 3
    assert time.monotonic() - begun_s < ENDED_S
    assert "No controller answered in time" in capsys.readouterr().err
