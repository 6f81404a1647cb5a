"""Audit: entries that are chained by their hashes, and the judge of such a chain; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FIELDS = (
    "id", "at_ms", "token", "name", "client", "method", "path", "app", "code", "index", "count",
)
"""What the hash of an entry covers, besides the hash of the entry before."""


def digest(previous: str, entry: Mapping[str, Any]) -> str:
    """The hash of an entry that follows the one with the hash `previous`."""
    text = json.dumps([previous, *(entry.get(name) for name in FIELDS)], separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Fault:
    """An entry that is not what it was, or does not follow the one before."""

    id: int
    reason: str


class Judge:
    """Looks at the entries of a chain, newest first; the oldest may follow others that are gone."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.count = 0
        self.oldest: Mapping[str, Any] | None = None

    def look(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Judge some more, which are older than all before."""
        for entry in entries:
            newer, self.oldest = self.oldest, entry
            self.count += 1
            if digest(str(entry.get("prev")), entry) != entry.get("hash"):
                self.faults.append(Fault(_id(entry), "was changed: it has another hash"))
            if newer is not None and newer.get("prev") != entry.get("hash"):
                self.faults.append(Fault(
                    _id(newer), f"does not follow {_id(entry)}: entries between were taken away, "
                    "or a backup was restored between them"))


def _id(entry: Mapping[str, Any]) -> int:
    return int(entry.get("id", 0))
