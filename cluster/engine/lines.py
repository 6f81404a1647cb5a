"""What a container wrote, as text that can be shown anywhere; pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

from cluster.engine.base import LOGS_BYTES_MAX, LogLine

LINE_BYTES_MAX = 64 * 1024
CUT_MARK = " …[cut]"

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
# Control characters become their pictures, so that neither a terminal nor a database trips over
# them; a tab is harmless.
_PICTURES = {
    **{code: 0x2400 + code for code in range(0x20) if code != 0x09},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
}


def readable(line: bytes | bytearray) -> tuple[str, bool]:
    """The text of one line without its end, and whether it was cut at LINE_BYTES_MAX.

    Bytes that are no UTF-8 are replaced, colours are left out.
    """
    cut = len(line) > LINE_BYTES_MAX
    if cut:
        line = _whole_characters(line[:LINE_BYTES_MAX])
    text = line.decode("utf-8", "replace")
    if not text.isprintable():
        text = _COLOURS.sub("", text).translate(_PICTURES)
    return (text + CUT_MARK if cut else text), cut


class Newest:
    """The last `tail` lines of those that are added; the oldest beyond LOGS_BYTES_MAX go.

    `crowded` says that some went for their size.
    """

    def __init__(self, tail: int) -> None:
        self.crowded = False
        self._tail = tail
        self._lines: deque[LogLine] = deque()
        self._size = 0

    def add(self, lines: Iterable[LogLine]) -> None:
        """Take more lines, newer than all before."""
        for line in lines:
            self._lines.append(line)
            self._size += len(line.text)
            if len(self._lines) > self._tail:
                self._size -= len(self._lines.popleft().text)
            while self._size - len(self._lines[0].text) >= LOGS_BYTES_MAX:
                self._size -= len(self._lines.popleft().text)
                self.crowded = True

    def lines(self) -> Sequence[LogLine]:
        """What is left of them, oldest first."""
        return list(self._lines)


def _whole_characters(line: bytes | bytearray) -> bytes | bytearray:
    """Without the character at its end that the cut left in pieces."""
    for back in range(1, min(4, len(line)) + 1):
        byte = line[-back]
        if byte & 0xC0 != 0x80:
            length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
            return line[:-back] if length > back else line
    return line
