"""Log lines of an application's replicas as they are written, on any node that has the engine."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from api.levels import Level, at_least, level_of
from api.replica_logs import Line, LogReader
from api.streams.hub import Hub
from api.streams.peer import Feed, Peer
from api.streams.wire import FAILED, NORMAL, TOO_SLOW, Message
from api.times import rfc3339_ns
from cluster.clock import Clock
from cluster.engine.base import LogLine
from cluster.live.follow import LogSource, Subscription, TooManyFollowed
from cluster.state.model import ClusterState, Run
from cluster.state.readable import readable
from orchestry.errors import OrchestryError

logger = logging.getLogger(__name__)

WAITING_LINES_MAX = 20_000
"""Lines of one topic on their way to the hub's thread."""
RECENT_LINES_MAX = 256
"""Lines that a topic remembers for streams that were asked for before these were told."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Lines of one app, or of one of its replicas or runs, of `level` or worse: the last
    `tail` since `since_ns`, and all that come."""

    app: str
    container: str | None = None
    run: int = 0
    """The run that the container is of: the stream ends with it."""
    tail: int = 0
    since_ns: int = 0
    level: Level | None = None


def entry(name: str, line: LogLine) -> dict[str, Any]:
    """One line of the replica `name`, as clients see it."""
    return {
        "timestamp": rfc3339_ns(line.at_ns), "container": name, "level": level_of(line.text),
        "message": line.text, "stream": line.stream, "truncated": line.truncated,
    }


class Logs:
    """The source of all log streams of one node.

    Streams that begin now share a topic by app and replica; one that begins in the past has
    its own.
    """

    def __init__(
        self, hub: Hub, source: LogSource, reader: LogReader, clock: Clock,
        state: Callable[[], ClusterState],
    ) -> None:
        self.hub = hub
        self.source = source
        self._reader = reader
        self._clock = clock
        self._state = state
        self._shared: dict[tuple[str, str | None], Topic] = {}
        self._feeds: set[LogsFeed] = set()
        self._watched = False

    def feed(self, asked: Asked) -> Callable[[Hub, Peer], Feed]:
        """A stream of what is asked for, from this call on."""
        now_ns = self._clock.wall_ms() * 1_000_000

        def begin(hub: Hub, peer: Peer) -> Feed:
            if not self._watched:
                self._watched = True
                hub.watch(self._look)
            found = LogsFeed(self, asked, peer, past_ns=now_ns if asked.tail else 0)
            self._feeds.add(found)
            if asked.tail:
                hub.work(lambda: self._begin_ns(asked, now_ns),
                         lambda at_ns, fault: self._begun(found, at_ns, fault), slow=True)
            else:
                key = (asked.app, asked.container)
                topic = self._shared.get(key)
                if topic is None:
                    topic = self._shared[key] = Topic(self, key)
                self._join(found, topic, now_ns)
            return found

        return begin

    def _begin_ns(self, asked: Asked, now_ns: int) -> int:
        """After which moment the last `tail` lines lie."""
        state, level = self._state(), asked.level
        app = state.apps.get(asked.app)
        wanted: Mapping[str, str] = {} if app is None else {
            one.container_id: one.name for one in readable(state, app, asked.container)}
        if not wanted:
            return now_ns
        lines = self._reader.read(
            wanted, tail=asked.tail, since_ns=asked.since_ns,
            keep=None if level is None else lambda line: at_least(level_of(line.text), level),
        ).lines
        return lines[0][1].at_ns - 1 if lines else now_ns

    def _begun(self, feed: LogsFeed, at_ns: int | None, fault: BaseException | None) -> None:
        if at_ns is not None:
            if feed in self._feeds:
                self._join(feed, Topic(self, None), at_ns)
        elif isinstance(fault, OrchestryError):
            feed.peer.close(FAILED, f"logs cannot be read: {fault.details}")
        else:
            feed.peer.close(FAILED, "logs cannot be read; see this controller's log")
            logger.error("the past of a stream of logs cannot be read", exc_info=fault)

    def _join(self, feed: LogsFeed, topic: Topic, since_ns: int) -> None:
        feed.topic = topic
        topic.feeds.add(feed)
        if topic.subscription is not None:
            feed.told([line for line in topic.recent if line[0] > since_ns])
            return
        try:
            topic.subscription = self.source.subscribe(
                feed.app, feed.asked.container, topic.deliver, since_ns=since_ns)
        except TooManyFollowed as error:
            feed.peer.close(TOO_SLOW, error.reason)

    def forget(self, feed: LogsFeed) -> None:
        """A stream has ended."""
        self._feeds.discard(feed)
        topic = feed.topic
        if topic is None:
            return
        topic.feeds.discard(feed)
        if not topic.feeds:
            if topic.key is not None:
                self._shared.pop(topic.key, None)
            if topic.subscription is not None:
                # Lines are delivered under a lock that closing waits for.
                subscription = topic.subscription
                self.hub.work(subscription.close, lambda _, __: None, slow=True)

    def _look(self, now_s: float) -> None:
        state = self._state()
        for feed in tuple(self._feeds):
            if feed.app not in state.apps:
                feed.peer.close(NORMAL, f"application '{feed.app}' was removed")
            elif feed.asked.run and feed.has_all(state.runs.get(str(feed.asked.run))):
                feed.peer.close(NORMAL, f"run {feed.asked.run} is over")


class Topic:
    """Lines that one or more streams get, encoded once."""

    def __init__(self, logs: Logs, key: tuple[str, str | None] | None) -> None:
        self.key = key
        self.feeds: set[LogsFeed] = set()
        self.subscription: Subscription | None = None
        self.recent: deque[tuple[int, Level, Message]] = deque(maxlen=RECENT_LINES_MAX)
        self._hub = logs.hub
        self._lock = threading.Lock()
        self._waiting: list[Line] = []
        self._lost = False

    def deliver(self, lines: Sequence[Line]) -> None:
        """Lines of the source, in its thread; never waits."""
        with self._lock:
            asked = bool(self._waiting)
            self._waiting += lines
            if len(self._waiting) > WAITING_LINES_MAX:
                self._waiting, self._lost = self._waiting[:1], True
        if not asked:
            self._hub.soon(self._tell)

    def waits(self) -> bool:
        """Whether there are lines that no stream was told of yet."""
        with self._lock:
            return bool(self._waiting)

    def _tell(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
        if self._lost:
            for feed in tuple(self.feeds):
                feed.peer.close(TOO_SLOW, "lines come faster than this node can send them")
            return
        made = []
        for name, line in lines:
            shown = entry(name, line)
            made.append((line.at_ns, shown["level"], Message(orjson.dumps(shown))))
        self.recent += made
        for feed in tuple(self.feeds):
            feed.told(made)


class LogsFeed:
    """One client."""

    def __init__(self, logs: Logs, asked: Asked, peer: Peer, *, past_ns: int) -> None:
        self._logs = logs
        self.app = asked.app
        self.asked = asked
        self.peer = peer
        self.topic: Topic | None = None
        self._past_ns = past_ns

    def told(self, lines: Sequence[tuple[int, Level, Message]]) -> None:
        """Lines of the topic, oldest first: what was asked for of the past may take its time."""
        least = self.asked.level
        wanted = [(at_ns, message) for at_ns, level, message in lines
                  if least is None or at_least(level, least)]
        past = [message for at_ns, message in wanted if at_ns <= self._past_ns]
        if past:
            self.peer.send_past(past)
        live = [message for at_ns, message in wanted if at_ns > self._past_ns]
        if live:
            self.peer.send(live)

    def has_all(self, run: Run | None) -> bool:
        """Whether a run is over, or not known any more, and all that it wrote was sent."""
        if run is not None and not run.is_over:
            return False
        topic = self.topic
        if topic is None or topic.subscription is None or self.peer.busy or topic.waits():
            return False
        return run is None or not run.container_id or topic.subscription.has_read(run.container_id)

    def drained(self) -> None:
        """Lines come from the topic by themselves."""

    def close(self) -> None:
        """The client is gone."""
        self._logs.forget(self)
