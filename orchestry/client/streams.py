"""Streams: server-sent events, and how they go on at another controller; touches no network."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

from orchestry.client import attempts, sse
from orchestry.client.errors import NotReachable
from orchestry.client.exchange import READ_TIMEOUT_S, Answer, Request

# A controller sends something every 20 s.
SILENCE_S = 45.0
# A stream that lasted this long was a good one, even if nothing happened.
HELD_S = 5.0
# What ends sooner is not followed at once by the next.
BRIEF_S = 1.0
NORMAL = 1000
TOO_SLOW = 1013
# Lines of different replicas overtake one another by less than this.
OVERLAP = timedelta(seconds=5)
RECENT_LINES_MAX = 10_000

Query = Mapping[str, str]


class Source(Protocol):
    """What is streamed, and how it goes on after a break."""

    path: str

    def before(self) -> str | None:
        """The path of what must be read before the stream can begin, if there is such a thing."""

    def learn(self, answer: Answer) -> None:
        """Take what was read before."""

    def query(self) -> Query:
        """What to ask for next."""

    def opened(self, headers: Mapping[str, str]) -> None:
        """A controller took the stream."""

    def take(self, message: Answer) -> bool:
        """Whether a message is new."""


class _AtOnce:
    """A source that needs no other answer to begin."""

    def before(self) -> str | None:
        """Nothing."""
        return None

    def learn(self, answer: Answer) -> None:
        """Nothing was asked."""
        raise AssertionError("nothing was asked")


class Events:
    """Events after `since_id`; None is now, which the id of the newest event tells."""

    path = "/api/v1/events/stream"

    def __init__(self, asked: Query, since_id: int | None) -> None:
        self._asked = asked
        self._last_id = since_id

    def before(self) -> str | None:
        """The newest event, once."""
        return "/api/v1/events" if self._last_id is None else None

    def learn(self, answer: Answer) -> None:
        """Begin after it."""
        self._last_id = int(next((event["id"] for event in answer["events"]), 0))

    def query(self) -> Query:
        """After the last one."""
        return {**self._asked, "since_id": str(self._last_id)}

    def opened(self, headers: Mapping[str, str]) -> None:
        """Ids mean the same on every controller."""

    def take(self, message: Answer) -> bool:
        """Each once."""
        if message["id"] <= (self._last_id or 0):
            return False
        self._last_id = int(message["id"])
        return True


class Measurements(_AtOnce):
    """Measurements: each replaces the one before."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._last: Answer | None = None

    def query(self) -> Query:
        """Every stream begins with the last one."""
        return {}

    def opened(self, headers: Mapping[str, str]) -> None:
        """Nothing to learn."""

    def take(self, message: Answer) -> bool:
        """Not the same twice."""
        again, self._last = message == self._last, message
        return not again


class LogLines(_AtOnce):
    """Log lines, which have no ids.

    After a break the last seconds are asked for again, and what came already is left out.
    """

    def __init__(self, path: str, asked: Query, past: Query) -> None:
        self.path = path
        self._asked = asked
        self._past = past
        self._begun: datetime | None = None
        self._newest: datetime | None = None
        self._recent: deque[tuple[datetime, tuple[object, ...]]] = deque()
        self._known: set[tuple[object, ...]] = set()

    def query(self) -> Query:
        """The past that was asked for, or what may have been missed."""
        if self._newest is not None:
            self._known = {key for _, key in self._recent}
            cut = len(self._recent) >= RECENT_LINES_MAX
            return self._since(self._recent[0][0] if cut else self._newest - OVERLAP)
        past = "since" in self._past or self._past.get("tail", "0") != "0"
        if self._begun is None or past:
            return {**self._asked, **self._past}
        return self._since(self._begun)

    def _since(self, at: datetime) -> Query:
        text = at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {**self._asked, "since": text}

    def opened(self, headers: Mapping[str, str]) -> None:
        """Where "now" is, by the controller's clock, since this one may be wrong."""
        try:
            self._begun = self._begun or parsedate_to_datetime(headers["Date"])
        except (KeyError, ValueError):
            return

    def take(self, message: Answer) -> bool:
        """Each once."""
        key = tuple(map(message.get, ("timestamp", "container", "stream", "message")))
        if key in self._known:
            self._known.discard(key)
            return False
        at = datetime.fromisoformat(str(message["timestamp"]))
        self._newest = max(self._newest or at, at)
        self._recent.append((at, key))
        while len(self._recent) > RECENT_LINES_MAX or self._recent[0][0] < self._newest - OVERLAP:
            self._recent.popleft()
        return True


@dataclass(frozen=True, slots=True)
class End:
    """How one connection ended: the controller's code, None when it just broke."""

    code: int | None
    reason: str
    fresh: int
    lasted_s: float


@dataclass(slots=True)
class Trouble:
    """Streams in a row that were of no use, and since when."""

    in_a_row: int = 0
    since_s: float | None = None

    def after(self, end: End, *, now_s: float, timeout_s: float, jitter: float) -> float | None:
        """How many seconds to wait before the next stream; None to give up."""
        if end.fresh or end.lasted_s >= HELD_S:
            self.in_a_row, self.since_s = 0, None
            if end.code == TOO_SLOW:
                return attempts.BACKOFF_MAX_S
            return attempts.backoff_s(1, jitter) if end.lasted_s < BRIEF_S else 0.0
        self.in_a_row += 1
        self.since_s = now_s if self.since_s is None else self.since_s
        if now_s - self.since_s >= timeout_s:
            return None
        return attempts.backoff_s(self.in_a_row, jitter)


class Connection:
    """One connection of a stream: from bytes to new messages."""

    # What malformed messages raise.
    FAULTS = (ValueError, KeyError, TypeError)

    def __init__(self, source: Source) -> None:
        self._source = source
        self._parser = sse.Parser()
        self._begun_s = time.monotonic()
        self._fresh = 0
        self._code: int | None = None
        self._reason = "the connection broke"

    def push(self, piece: bytes) -> Iterator[Answer]:
        """The new messages that this piece completes; raises one of FAULTS."""
        for event in self._parser.push(piece):
            message = json.loads(event.data)
            if event.name == "close":
                self._code, self._reason = message["code"], message["reason"]
            elif self._source.take(message):
                self._fresh += 1
                yield message

    def broke(self, error: Exception) -> None:
        """No more will come."""
        self._reason = str(error) or self._reason

    def end(self) -> End:
        """How it ended."""
        return End(self._code, self._reason, self._fresh, time.monotonic() - self._begun_s)


class Following:
    """A stream over all its connections: what to ask for next, and when to give up."""

    def __init__(self, source: Source, timeout_s: float) -> None:
        self.first = True
        self._source = source
        self._timeout_s = timeout_s
        self._trouble = Trouble()
        self._start: str | None = None
        self._node = ""
        self._index_floor = 0

    def before(self) -> Request | None:
        """What is to be read and given to the source before the next request."""
        path = self._source.before()
        return None if path is None else Request(
            "GET", path, {"limit": "1"}, budget_s=self._timeout_s,
            read_timeout_s=min(READ_TIMEOUT_S, self._timeout_s))

    def request(self) -> Request:
        """The request that opens the next connection."""
        return Request(
            "GET", self._source.path, self._source.query(), budget_s=self._timeout_s,
            read_timeout_s=SILENCE_S, stream=True, start=self._start,
            index_floor=self._index_floor,
            patience_s=attempts.PATIENCE_S if self.first else self._timeout_s,
        )

    def opened(self, node: str, headers: Mapping[str, str]) -> Connection:
        """A controller took the stream."""
        self.first = False
        self._node = node
        index = headers.get("X-Orchestry-Index", "")
        if index.isascii() and index.isdigit():
            self._index_floor = max(self._index_floor, int(index))
        self._source.opened(headers)
        return Connection(self._source)

    def after(self, end: End, members: tuple[str, ...]) -> float | None:
        """How many seconds to wait before the next connection; None when the stream is over.

        Raises:
            NotReachable: no controller has continued it for so long as it may take.
        """
        if end.code == NORMAL:
            return None
        delay_s = self._trouble.after(
            end, now_s=time.monotonic(), timeout_s=self._timeout_s,
            jitter=random.random())  # noqa: S311
        if delay_s is None:
            raise NotReachable(
                "NOT_REACHABLE", "No controller continues the stream", end.reason)
        self._start = _after(members, self._node)
        return delay_s


def _after(nodes: tuple[str, ...], node: str) -> str:
    return nodes[(nodes.index(node) + 1) % len(nodes)] if node in nodes else nodes[0]
