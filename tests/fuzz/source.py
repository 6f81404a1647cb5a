"""Source: bytes of a fuzzer as choices, texts and plain values; when they end, all is zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

T = TypeVar("T")

DEPTH_MAX = 4
ITEMS_MAX = 5
TEXT_BYTES_MAX = 48
_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 2**31, 2**63, 2**64, -(2**63), 1e308, 0.5, "", "\x00", "\r\n",
    "\ud800", "\u2028", "a" * 64, "../x", "a.com;}server{", "$(id)", "-v", "*", [], {}, [[]],
)


class Source:
    """Reads from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are there still."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """So many bytes, or what is left."""
        taken = self._data[self._at : self._at + count]
        self._at += len(taken)
        return taken

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def number(self, most: int) -> int:
        """From 0 to `most`."""
        return int.from_bytes(self.take((most.bit_length() + 7) // 8), "little") % (most + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[self.number(len(choices) - 1)]

    def text(self) -> str:
        """Any text, lone surrogates too."""
        return self.take(self.number(TEXT_BYTES_MAX)).decode("utf-8", "surrogateescape")

    def plain(self, words: Sequence[str], depth: int = 0) -> Any:
        """A plain value as from JSON; `words` are likely keys and texts."""
        kind = self.number(7)
        if kind <= 1:
            return self.pick(_ODD)
        if kind == 2:
            return self.pick(words)
        if kind == 3:
            return self.text()
        if kind == 4:
            return int.from_bytes(self.take(self.number(9)), "little", signed=True)
        if depth >= DEPTH_MAX:
            return None
        count = self.number(ITEMS_MAX)
        if kind == 5:
            return [self.plain(words, depth + 1) for _ in range(count)]
        return {
            self.pick(words) if self.number(3) else self.text(): self.plain(words, depth + 1)
            for _ in range(count)
        }
