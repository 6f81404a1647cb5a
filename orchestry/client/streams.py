"""Streams: server-sent events as iterators that go on at another controller."""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Protocol

import requests
import urllib3.exceptions

from orchestry.client import attempts, sse
from orchestry.client.errors import NotFound, NotReachable
from orchestry.client.transport import Answer, Request, Transport

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
_CHUNK_BYTES = 64 * 1024

Query = Mapping[str, str]


class Source(Protocol):
    """What is streamed, and how it goes on after a break."""

    path: str

    def query(self) -> Query:
        """What to ask for next."""

    def opened(self, headers: Mapping[str, str]) -> None:
        """A controller took the stream."""

    def take(self, message: Answer) -> bool:
        """Whether a message is new."""


class Events:
    """Events after `since_id`; None is now, by the word of `newest`."""

    path = "/api/v1/events/stream"

    def __init__(self, asked: Query, since_id: int | None, newest: Callable[[], int]) -> None:
        self._asked = asked
        self._last_id = since_id
        self._newest = newest

    def query(self) -> Query:
        """After the last one."""
        if self._last_id is None:
            self._last_id = self._newest()
        return {**self._asked, "since_id": str(self._last_id)}

    def opened(self, headers: Mapping[str, str]) -> None:
        """Ids mean the same on every controller."""

    def take(self, message: Answer) -> bool:
        """Each once."""
        if message["id"] <= (self._last_id or 0):
            return False
        self._last_id = int(message["id"])
        return True


class Measurements:
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


class LogLines:
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


def follow(transport: Transport, source: Source, timeout_s: float) -> Generator[Answer, None, None]:
    """All new messages of a source, until the cluster ends it.

    Nothing is read ahead: a slow caller slows the controller down, which drops it at some
    point, and then the stream resumes.

    Raises:
        ClientError: it cannot begin, or no controller has continued it for `timeout_s`.
    """
    trouble, start, index_floor, first = Trouble(), None, 0, True
    while True:
        try:
            node, response = transport.open(Request(
                "GET", source.path, source.query(), budget_s=timeout_s,
                read_timeout_s=SILENCE_S, stream=True, start=start, index_floor=index_floor,
                patience_s=attempts.PATIENCE_S if first else timeout_s,
            ))
        except NotFound:
            if first:
                raise
            return
        first = False
        index = response.headers.get("X-Orchestry-Index", "")
        if index.isascii() and index.isdigit():
            index_floor = max(index_floor, int(index))
        source.opened(response.headers)
        end = yield from _messages(response, source)
        if end.code == NORMAL:
            return
        delay_s = trouble.after(
            end, now_s=time.monotonic(), timeout_s=timeout_s, jitter=random.random())  # noqa: S311
        if delay_s is None:
            raise NotReachable(
                "NOT_REACHABLE", "No controller continues the stream", end.reason)
        start = _after(transport.members, node)
        time.sleep(delay_s)


def _messages(response: requests.Response, source: Source) -> Generator[Answer, None, End]:
    """The new messages of one connection."""
    begun_s = time.monotonic()
    fresh = 0
    code: int | None = None
    reason = "the connection broke"
    with closing(response):
        try:
            for event in _events(response):
                message = json.loads(event.data)
                if event.name == "close":
                    code, reason = message["code"], message["reason"]
                elif source.take(message):
                    fresh += 1
                    yield message
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError,
                ValueError, KeyError, TypeError) as error:
            reason = str(error) or reason
    return End(code, reason, fresh, time.monotonic() - begun_s)


def _events(response: requests.Response) -> Iterator[sse.Event]:
    parser = sse.Parser()
    # Pieces of a body that is not chunked would be held back until they are full.
    whole = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    for piece in response.iter_content(_CHUNK_BYTES if whole else 1):
        yield from parser.push(piece)


def _after(nodes: tuple[str, ...], node: str) -> str:
    return nodes[(nodes.index(node) + 1) % len(nodes)] if node in nodes else nodes[0]
