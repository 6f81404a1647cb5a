"""Docker's log stream: whatever bytes come in whatever chunks, lines come out, and few are kept."""

from __future__ import annotations

import threading
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.engine.base import LOGS_BYTES_MAX, EngineError, LogLine
from cluster.engine.docker_api import ApiRefusal
from cluster.engine.docker_log_api import LogFollow, last_lines
from cluster.engine.docker_logs import FRAME_BYTES_MAX, LineReader
from cluster.engine.lines import CUT_MARK, LINE_BYTES_MAX, Newest, readable

STAMP = b"2026-01-02T03:04:05.%09dZ "
PIECE_BYTES = 16 * 1024


def frame(stream: int, payload: bytes) -> bytes:
    """As Docker writes it."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


def frames(stream: int, number: int, text: bytes) -> bytes:
    """A line in pieces, all with the time of the first."""
    text += b"\n"
    return b"".join(
        frame(stream, STAMP % number + text[start:start + PIECE_BYTES])
        for start in range(0, len(text), PIECE_BYTES))


def read(data: bytes, size: int) -> list[LogLine]:
    """All lines of data that comes in chunks of `size`."""
    reader = LineReader()
    found = [line for start in range(0, len(data), size)
             for line in reader.feed(data[start:start + size])]
    return found + reader.end()


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=50)


@given(st.lists(st.tuples(st.sampled_from([1, 2]), texts), max_size=20), st.integers(1, 200))
def test_lines_do_not_depend_on_chunks(lines: list[tuple[int, str]], size: int) -> None:
    """Each line comes with its stream, time and text, however the bytes were cut."""
    data = b"".join(
        frames(stream, number, text.encode()) for number, (stream, text) in enumerate(lines))
    found = read(data, size)
    assert [(line.stream, line.text) for line in found] == [
        ("stdout" if stream == 1 else "stderr", text) for stream, text in lines]
    assert [line.at_ns % 1000 for line in found] == list(range(len(lines)))


@given(st.integers(0, 3), st.binary(max_size=600), st.integers(1, 700))
def test_any_bytes_are_survived(first: int, data: bytes, size: int) -> None:
    """Bytes that are no log at all raise nothing, and no control character comes out."""
    for line in read(bytes([first]) + data, size):
        assert not [c for c in line.text if c != "\t" and (ord(c) < 32 or 127 <= ord(c) < 160)]


def test_pieces_of_two_streams_are_told_apart() -> None:
    """A long line of one stream may be interrupted by one of the other."""
    data = (frame(1, STAMP % 1 + b"a" * PIECE_BYTES) + frame(2, STAMP % 2 + b"other\n")
            + frame(1, STAMP % 1 + b"b\n"))
    assert [line.text for line in read(data, 100)] == ["other", "a" * PIECE_BYTES + "b"]


def test_a_line_without_an_end_is_not_joined_to_the_next() -> None:
    """What a process wrote last, before it was killed, is a line of its own."""
    data = frame(1, STAMP % 1 + b"half a li") + frame(1, STAMP % 2 + b"whole\n")
    assert [line.text for line in read(data, 7)] == ["half a li", "whole"]
    assert [line.text for line in read(frame(1, STAMP % 1 + b"half"), 7)] == ["half"]


def test_megabytes_without_an_end_are_not_kept() -> None:
    """Of a line of 64 MB so much is remembered as is shown of it."""
    reader = LineReader()
    piece = frame(1, STAMP % 1 + b"x" * PIECE_BYTES)
    for _ in range(4096):
        assert reader.feed(piece) == []
        assert sum(len(one.text) for one in reader._open.values()) <= LINE_BYTES_MAX + 3
    (line,) = reader.feed(frame(1, STAMP % 1 + b"end\n"))
    assert (line.text, line.truncated) == ("x" * LINE_BYTES_MAX + CUT_MARK, True)


def test_a_frame_of_gigabytes_is_not_waited_for() -> None:
    """What a header promises beyond the limit is skipped as it comes; then it goes on."""
    huge = FRAME_BYTES_MAX * 3
    data = (bytes([1, 0, 0, 0]) + huge.to_bytes(4, "big") + STAMP % 1
            + b"y" * (huge - len(STAMP % 1)) + frame(1, STAMP % 2 + b"next\n"))
    reader, found = LineReader(), []
    for start in range(0, len(data), 65_536):
        found += reader.feed(data[start:start + 65_536])
        assert len(reader._buffer) <= FRAME_BYTES_MAX + 65_536
    assert [(line.text[:1], line.truncated) for line in found] == [("y", True), ("n", False)]


def test_a_terminal_that_never_ends_its_line() -> None:
    """Plain bytes without an end of line are cut too, and the rest of that line is left out."""
    stamp = STAMP % 1
    data = (stamp + b"z" * PIECE_BYTES) * 200 + b"\r\n" + STAMP % 2 + b"next\r\n"
    found = read(data, 65_536)
    assert [(line.text[:2], line.truncated, line.at_ns % 1000) for line in found] == [
        ("zz", True, 1), ("ne", False, 2)]


def test_times_that_are_none() -> None:
    """A stamp that is no time counts as 0, and takes nothing from the text after it."""
    for stamp in (b"", b"x", b"2026-99-99T99:99:99Z", b"\xff"):
        (line,) = read(frame(1, stamp + b" text\n"), 100)
        assert (line.at_ns, line.text) == (0, "text")


@given(st.binary(max_size=300))
def test_readable_is_idempotent(line: bytes) -> None:
    """Text that was made readable stays as it is."""
    text, cut = readable(line)
    assert not cut
    assert readable(text.encode()) == (text, False)


@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 10))
def test_the_newest_stay(sizes: list[int], tail: int) -> None:
    """As many as are asked for, or fewer that make up the limit of bytes."""
    lines = [LogLine(number, "stdout", "x" * (size * LOGS_BYTES_MAX // 6))
             for number, size in enumerate(sizes)]
    newest = Newest(tail)
    newest.add(lines)
    kept = list(newest.lines())
    assert kept == lines[len(lines) - len(kept):]
    size = sum(len(line.text) for line in kept)
    if len(kept) < min(tail, len(lines)):
        assert newest.crowded
        assert size >= LOGS_BYTES_MAX
    if kept:
        assert size - len(kept[0].text) < LOGS_BYTES_MAX


class Removing:
    """A daemon that is removing the container."""

    timeout_s = 1.0

    def stream(self, *_: object, **__: object) -> NoReturn:
        """As Docker says it; nothing comes of it while the removal takes its time."""
        raise ApiRefusal("rejected", "can not get logs from container which is dead or marked "
                         "for removal", 409)


def test_a_container_that_is_being_removed_is_gone() -> None:
    """Reading its last lines says so, and following it has come to the end."""
    api: Any = Removing()
    with pytest.raises(EngineError, match="container abc is gone") as caught:
        last_lines(api, "abc", tail=10, since_ns=0)
    assert caught.value.fault == "gone"
    assert list(LogFollow(api, "abc", 0, lambda: True).read(threading.Event())) == []
