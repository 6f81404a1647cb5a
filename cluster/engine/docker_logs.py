"""Log lines out of the bytes of Docker's log stream; pure.

Docker sends frames, of a container with a terminal plain bytes, and cuts lines into pieces of
16 KiB. The pieces of one line carry the time of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cluster.engine.base import LogLine
from cluster.engine.docker_format import unix_ns
from cluster.engine.lines import LINE_BYTES_MAX, readable

FRAME_BYTES_MAX = 1024**2
"""So much of a frame is kept; Docker's own have 16 KiB."""

_HEADER_BYTES = 8
_STREAMS_MAX = 2
_STDOUT = 1
# One byte past the limit proves that a line is longer, and two more may be its end.
_KEPT_BYTES = LINE_BYTES_MAX + 3


@dataclass(slots=True)
class _Open:
    """A line of which more may come."""

    stamp: bytes
    text: bytearray = field(default_factory=bytearray)


class LineReader:
    """Turns bytes, as they come, into lines; remembers a frame and one line a stream at most.

    `pieces` counts what Docker calls lines.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self._buffer = bytearray()
        self._skip = 0
        self._rest = False
        self._framed: bool | None = None
        self._open: dict[int, _Open] = {}

    def feed(self, chunk: bytes) -> list[LogLine]:
        """The lines that this chunk completes."""
        self._buffer += chunk
        if self._framed is None and self._buffer:
            # A frame begins with the number of its stream, plain bytes with a time.
            self._framed = self._buffer[0] <= _STREAMS_MAX
        pieces = self._frames() if self._framed else self._plain()
        return [line for stream, piece in pieces for line in self._add(stream, piece)]

    def end(self) -> list[LogLine]:
        """What was left open."""
        left = [_line(stream, one) for stream, one in self._open.items()]
        self._open.clear()
        return left

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        """(stream, piece): 1 byte stream, 3 zero, 4 length."""
        buffer = self._buffer
        while True:
            if self._skip:
                gone = min(self._skip, len(buffer))
                del buffer[:gone]
                self._skip -= gone
            if len(buffer) < _HEADER_BYTES:
                return
            length = int.from_bytes(buffer[4:8], "big")
            end = _HEADER_BYTES + min(length, FRAME_BYTES_MAX)
            if len(buffer) < end:
                return
            stream, piece = buffer[0], bytes(buffer[_HEADER_BYTES:end])
            del buffer[:end]
            self._skip = length + _HEADER_BYTES - end
            yield stream, piece + b"\n" if self._skip else piece

    def _plain(self) -> Iterator[tuple[int, bytes]]:
        """Lines of a terminal: each piece has its time in front, and no end of its own."""
        buffer = self._buffer
        while True:
            end = buffer.find(b"\n")
            if end < 0 and len(buffer) <= FRAME_BYTES_MAX:
                return
            size = end + 1 if end >= 0 else len(buffer)
            line, rest = bytes(buffer[:size]), self._rest
            del buffer[:size]
            self._rest = end < 0
            if not rest:  # else it is more of a line that was told without its end
                stamp = line.partition(b" ")[0] + b" "
                line = stamp + line.removeprefix(stamp).replace(stamp, b"")
                yield _STDOUT, line if end >= 0 else line + b"\n"

    def _add(self, stream: int, piece: bytes) -> Iterator[LogLine]:
        self.pieces += 1
        stamp, _, text = piece.partition(b" ")
        one = self._open.get(stream)
        if one is not None and one.stamp != stamp:
            yield _line(stream, self._open.pop(stream))  # its writer ended without an end of line
            one = None
        if one is None:
            one = self._open[stream] = _Open(stamp)
        one.text += text[: max(0, _KEPT_BYTES - len(one.text))]
        if piece.endswith(b"\n"):
            yield _line(stream, self._open.pop(stream))


def _line(stream: int, one: _Open) -> LogLine:
    text, cut = readable(one.text.rstrip(b"\r\n"))
    return LogLine(
        at_ns=unix_ns(one.stamp.decode("ascii", "replace")),
        stream="stderr" if stream == 2 else "stdout", text=text, truncated=cut,
    )
