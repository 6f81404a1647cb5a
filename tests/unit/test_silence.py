"""Controllers that take a connection and never answer, before the clients and the command."""

from __future__ import annotations

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
PASSED_S = HASTE_S + 1.0


@pytest.fixture
def silent() -> Iterator[str]:
    """An address whose connections are taken, by the kernel, and never served."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_reads_and_waiting_writes_pass_it_by(connect: Connect, silent: str) -> None:
    """Each within three seconds, and the second one at once."""
    with nodes(answer) as (node,), connect([silent, node.url]) as client:
        begun_s = time.monotonic()
        assert client.list_apps()["total"] == 1
        assert HASTE_S <= time.monotonic() - begun_s < PASSED_S
        begun_s = time.monotonic()
        assert client.list_apps()["total"] == 1
        assert time.monotonic() - begun_s < 1
    with nodes(answer) as (node,), connect([silent, node.url]) as client:
        begun_s = time.monotonic()
        assert client.scale_app("web", 5)["current_replicas"] == 5
        assert time.monotonic() - begun_s < PASSED_S
        assert node.pulses == 1


def test_a_stream_begins_elsewhere(connect: Connect, silent: str) -> None:
    """Its silence afterwards is another matter."""
    def streaming(seen: Seen) -> Says:
        return Says(200, b"data: {\"id\": 5}\n\n", {"Content-Type": "text/event-stream"})

    with nodes(streaming) as (node,), connect([silent, node.url]) as client:
        begun_s = time.monotonic()
        events = client.stream_events(since_id=1)
        assert next(events) == {"id": 5}
        assert time.monotonic() - begun_s < PASSED_S
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
    with connect(silent, timeout=20) as client:
        begun_s = time.monotonic()
        with pytest.raises(NotReachable, match=silent) as told:
            client.list_apps()
        assert told.value.code == "NO_ANSWER"
        assert time.monotonic() - begun_s < READ_TIMEOUT_S + 1
    with connect(silent, timeout=1) as client, pytest.raises(TimedOut) as unknown:
        client.restart_app("web")
    assert isinstance(unknown.value.details, dict)
    assert unknown.value.details["outcome"] == "unknown"


def test_the_command_says_who_is_waited_for_and_ends(silent: str, capsys: Captured) -> None:
    """On standard error, and nothing on standard output."""
    begun_s = time.monotonic()
    assert main(["list", "--url", silent]) == 3
    assert time.monotonic() - begun_s < READ_TIMEOUT_S + 1
    printed = capsys.readouterr()
    assert printed.out == ""
    next_step = ("Look at the controllers that are named and at the network, restart those that "
                 "hang, or name others with --url.")
    assert printed.err.splitlines() == [
        f"{silent} does not answer; waiting for it up to 10 s.",
        "Error: No controller answered in time",
        f"  tried {silent}; {silent} did not answer in time (10.0 s)",
        f"Next: {next_step}",
    ]


def test_the_command_says_who_is_passed_by(silent: str, capsys: Captured) -> None:
    """Once, unless nothing is to be said."""
    with nodes(answer) as (node,):
        assert main(["list", "--url", silent, "--url", node.url]) == 0
        printed = capsys.readouterr()
        assert printed.err == f"{silent} did not answer in time (2.0 s); asking {node.url}.\n"
        assert printed.out.startswith("NAME")
        assert main(["up", "web", "--quiet", "--url", silent, "--url", node.url]) == 0
        assert capsys.readouterr().err == ""


def test_a_command_that_waits_ends_when_nobody_is_there(silent: str, capsys: Captured) -> None:
    """Its long patience is for controllers that live."""
    begun_s = time.monotonic()
    assert main(["scale", "web", "3", "--url", silent]) == 3
    assert time.monotonic() - begun_s < READ_TIMEOUT_S + 1
    assert "No controller answered in time" in capsys.readouterr().err
