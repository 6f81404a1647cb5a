"""The Python client's streams: parsing, resuming, and streams of stub controllers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import islice
from typing import Any

import pytest

from orchestry import client as sdk
from orchestry.client import sse
from orchestry.client.streams import RECENT_LINES_MAX, End, LogLines, Trouble
from tests.unit.both_clients import Connect
from tests.unit.stub_cluster import Says, Script, Seen, error, nodes

TEXT = b'retry: 1000\n\n: ping\n\nid: 7\ndata: {"id":7}\n\nevent: close\ndata: {}\n\n'
WANTED = [sse.Event("message", '{"id":7}'), sse.Event("close", "{}")]
BEGUN = datetime(2026, 1, 1, 0, 0, 9, tzinfo=UTC)


def stream(*pieces: str) -> Says:
    """A stream that ends."""
    return Says(200, "".join(pieces).encode(), {"Content-Type": "text/event-stream"})


def event(number: int) -> str:
    """One event."""
    return f"id: {number}\ndata: {json.dumps({'id': number, 'type': 'config'})}\n\n"


def data(document: Any) -> str:
    """One message without an id."""
    return f"data: {json.dumps(document)}\n\n"


def close(code: int, reason: str = "why") -> str:
    """The last words of a controller."""
    return f"event: close\n{data({'code': code, 'reason': reason})}"


def line(second: int, message: str, container: str = "web-1") -> dict[str, Any]:
    """One log line."""
    return {"timestamp": f"2026-01-01T00:00:{second:02}.000000001Z", "container": container,
            "level": "INFO", "message": message, "stream": "stdout"}


def in_turn(*answers: Says) -> Script:
    """A node that answers differently each time, and then as the last time."""
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("text", [TEXT, TEXT.replace(b"\n", b"\r\n")])
def test_events_are_parsed_wherever_the_text_is_cut(text: bytes) -> None:
    """Pieces of any size, with either end of line."""
    for size in range(1, len(text)):
        parser = sse.Parser()
        found = [one for at in range(0, len(text), size) for one in parser.push(text[at:at + size])]
        assert found == WANTED


def test_an_event_without_an_end_is_not_kept_without_a_limit() -> None:
    """A line, or lines, beyond the limit end the stream."""
    with pytest.raises(ValueError, match="more than"):
        list(sse.Parser().push(b"x" * (sse.EVENT_BYTES_MAX + 1)))
    many = (b"data: " + b"x" * 1000 + b"\n") * 2000
    with pytest.raises(ValueError, match="more than"):
        list(sse.Parser().push(many))


def test_events_resume_at_the_next_node_without_a_double(connect: Connect) -> None:
    """After the last id, with the same filter."""
    with nodes(in_turn(stream("retry: 1\n\n", event(4), event(5))),
               in_turn(stream(event(5), event(6), close(1000)))) as (first, second), \
            connect([first.url, second.url]) as client:
        found = [one["id"] for one in client.stream_events(3, app="web")]
    assert found == [4, 5, 6]
    assert first.seen[0].path == "/api/v1/events/stream?app=web&since_id=3"
    assert first.seen[0].headers["Accept"] == "text/event-stream"
    assert second.seen[0].path == "/api/v1/events/stream?app=web&since_id=5"


def test_from_now_on_has_an_id(connect: Connect) -> None:
    """Nothing is lost between the beginning and the first event."""
    def script(seen: Seen) -> Says:
        if "stream" in seen.path:
            return stream(event(9), close(1000))
        return Says(200, {"events": [{"id": 8}]})

    with nodes(script) as (node,), connect(node.url) as client:
        assert [one["id"] for one in client.stream_events()] == [9]
    assert [seen.path for seen in node.seen] == [
        "/api/v1/events?limit=1", "/api/v1/events/stream?since_id=8"]


def test_a_stream_that_cannot_begin_raises_what_the_cluster_said(connect: Connect) -> None:
    """Errors before a stream are those of any call; a node without its engine is passed over."""
    with nodes(in_turn(error(404, "APP_NOT_FOUND", "no such app"))) as (node,), \
            connect(node.url) as client, pytest.raises(sdk.NotFound) as missing:
        next(client.stream_metrics("web"))
    assert (missing.value.code, missing.value.details) == ("APP_NOT_FOUND", "no such app")
    with nodes(in_turn(error(500, "DOCKER_ERROR", "away")),
               in_turn(stream(data(line(1, "hello")), close(1000)))) as (first, second), \
            connect([first.url, second.url]) as client:
        assert [one["message"] for one in client.stream_logs("web")] == ["hello"]
    with nodes(in_turn(Says(200, {}))) as (node,), connect(node.url) as client, \
            pytest.raises(sdk.ClientError, match="did not answer as a controller"):
        next(client.stream_metrics("web"))
    with pytest.raises(sdk.InvalidRequest):
        client.stream_logs("..")


def test_streams_that_end_at_once_again_and_again_are_given_up(connect: Connect) -> None:
    """With pauses between them, and the controller's reason."""
    with nodes(in_turn(stream(close(1011, "events are missing")))) as (node,), \
            connect(node.url, timeout=3) as client, \
            pytest.raises(sdk.NotReachable, match="events are missing"):
        next(client.stream_events(0))
    assert 2 < len(node.seen) < 12


def test_measurements_come_once_and_end_with_the_app(connect: Connect) -> None:
    """Also when the app goes while no stream is open."""
    one, two = {"rps": 1}, {"rps": 2}
    with nodes(in_turn(stream(data(one)), stream(data(one), data(two)),
                       error(404, "APP_NOT_FOUND"))) as (node,), \
            connect(node.url) as client:
        assert list(client.stream_metrics("web")) == [one, two]


def test_who_stops_reading_closes_the_connection(connect: Connect) -> None:
    """Ending the iterator early is no error, and leaves nothing open."""
    with nodes(in_turn(stream(event(1), event(2)))) as (node,), \
            connect(node.url) as client:
        found = client.stream_events(0)
        assert [one["id"] for one in islice(found, 1)] == [1]
        found.close()
        assert len(node.seen) == 1


def test_log_lines_resume_a_little_before_the_last_and_leave_out_what_came() -> None:
    """Lines of replicas overtake one another; each comes once."""
    lines = LogLines("/x", {"level": "WARN"}, {"tail": "10"})
    assert lines.query() == {"level": "WARN", "tail": "10"}
    lines.opened({"Date": format_datetime(BEGUN, usegmt=True)})
    assert lines.query() == {"level": "WARN", "tail": "10"}
    for each in (line(10, "a"), line(11, "b"), line(11, "b", "web-2")):
        assert lines.take(each)
    assert lines.query() == {"level": "WARN", "since": "2026-01-01T00:00:06.000Z"}
    assert not lines.take(line(11, "b"))
    assert lines.take(line(10, "late", "web-2"))
    assert lines.take(line(12, "c"))


def test_log_lines_from_now_on_resume_at_the_beginning_while_none_came() -> None:
    """The beginning is told by the controller's clock."""
    for past in ({}, {"tail": "0"}):
        lines = LogLines("/x", {}, past)
        assert lines.query() == past
        lines.opened({"Date": format_datetime(BEGUN, usegmt=True)})
        assert lines.query() == {"since": "2026-01-01T00:00:09.000Z"}


def test_what_is_remembered_of_log_lines_is_bounded() -> None:
    """They resume where memory begins."""
    lines = LogLines("/x", {}, {})
    for at in range(RECENT_LINES_MAX):
        lines.take(line(1 if at < 9 else 3, f"m{at}"))
    for at in range(9):
        lines.take(line(4, f"n{at}"))
    assert lines.query()["since"] == "2026-01-01T00:00:03.000Z"


def test_pauses_between_streams_grow_except_after_a_good_one() -> None:
    """A controller that ends streams at once is not asked in a tight loop."""
    trouble, bad = Trouble(), End(1011, "", 0, 0.0)

    def after(end: End, now_s: float) -> float | None:
        return trouble.after(end, now_s=now_s, timeout_s=30.0, jitter=0.0)

    delays = [after(bad, at) or 0 for at in (1.0, 2.0, 3.0)]
    assert 0 < delays[0] < delays[1] < delays[2]
    assert after(bad, 31.0) is None
    assert after(End(None, "", 1, 9.0), 32.0) == 0
    assert trouble == Trouble()
    assert after(End(1013, "", 1, 9.0), 33.0) == 1
    assert (after(End(1001, "", 1, 0.1), 33.0) or 0) > 0
