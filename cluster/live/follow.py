"""LogSource: the lines of containers as they are written, for any number of subscribers."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from cluster.clock import Clock
from cluster.consensus.log import ReplicatedLog
from cluster.engine.base import Engine, EngineError, LogLine
from cluster.live.cursor import Cursor, Run
from cluster.state.model import ClusterState
from cluster.state.readable import Readable, readable

logger = logging.getLogger(__name__)

FOLLOWS_MAX = 200
SUBSCRIPTIONS_MAX = 1_000
PENDING_LINES_MAX = 10_000
PENDING_CHARS_MAX = 8 * 1024**2
BATCH_LINES_MAX = 1_000
TRACKS_MAX = 1_000
"""Containers that a subscription remembers: those gone are forgotten beyond it."""
LOOK_AGAIN_S = 1.0
ROOM_POLL_S = 0.1
BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 5.0
GONE_S = 10.0
"""Time to read the rest of a container that is in no report any more."""
STOP_S = 2.0

Deliver = Callable[[Sequence[tuple[str, LogLine]]], None]


class TooManyFollowed(Exception):
    """No more containers, or subscriptions, can be followed on this node."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(eq=False, slots=True)
class _Track:
    """One subscription and one container; `read_ms` is the start whose output was all read."""

    subscription: Subscription
    name: str
    cursor: Cursor
    read_ms: int | None = None


@dataclass(eq=False, slots=True)
class _Follow:
    """One container that is read; `begun_ns` is None until its reading has begun.

    `started_ms` is the start that it was followed for: one that starts again is followed again.
    """

    container_id: str
    started_ms: int
    tracks: tuple[_Track, ...]
    halt: threading.Event = field(default_factory=threading.Event)
    begun_ns: int | None = None
    newest_ns: int = 0
    gone_s: float | None = None

    def serves(self, track: _Track) -> bool:
        """Would one who joins now miss nothing?"""
        resume_ns = track.cursor.resume_ns()
        return self.begun_ns is None or (
            self.begun_ns <= resume_ns and self.newest_ns <= resume_ns)


@dataclass(frozen=True, slots=True)
class _Item:
    """A line and whom it is for; without a line, the end of the container."""

    follow: _Follow
    tracks: tuple[_Track, ...]
    run: Run
    number: int = 0
    line: LogLine | None = None


class Subscription:
    """Lines of one app, or of one of its replicas or runs, until it is closed."""

    def __init__(
        self, source: LogSource, app: str, container: str | None, deliver: Deliver, since_ns: int
    ) -> None:
        self.app = app
        self._source = source
        self._container = container
        self._deliver = deliver
        self._closed = False
        # Held while lines are delivered: after close() there are none. One may close it from
        # within.
        self._lock = threading.RLock()
        self.since_ns = since_ns
        self.tracks: dict[str, _Track] = {}

    def close(self) -> None:
        """Deliver nothing more."""
        with self._lock:
            self._closed = True
        self._source.forget(self)

    def wanted(self, state: ClusterState) -> Sequence[Readable]:
        """The containers whose lines it gets."""
        app = state.apps.get(self.app)
        return () if app is None else readable(state, app, self._container)

    def has_read(self, container_id: str) -> bool:
        """Whether a container has ended, and all that it wrote was delivered."""
        track = self.tracks.get(container_id)
        return track is not None and track.read_ms is not None

    def take(self, lines: Sequence[tuple[str, LogLine]]) -> None:
        """Deliver; whoever fails to take lines gets no more."""
        with self._lock:
            if self._closed:
                return
            try:
                self._deliver(lines)
            except Exception:
                logger.exception("a subscriber to the logs of %s failed", self.app)
                self.close()


class LogSource:
    """Follows each container once, however many subscribe, and only while somebody does.

    One thread looks at the reports and delivers; each container has one that reads. When a
    reading breaks off, or somebody joins who needs earlier lines, the container is read again
    from where the one who lags most stands: cursors keep all from getting lines twice.
    """

    def __init__(self, engine: Engine, log: ReplicatedLog, clock: Clock) -> None:
        self._engine = engine
        self._log = log
        self._clock = clock
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._subscriptions: list[Subscription] = []
        self._follows: dict[str, _Follow] = {}
        self._pending: deque[_Item] = deque()
        self._pending_chars = 0
        self._threads: set[threading.Thread] = set()
        self._worker: threading.Thread | None = None
        self._dirty = True
        self._looked_s = 0.0
        self._crowded = False
        log.subscribe(self._changed)

    def subscribe(
        self, app: str, container: str | None, deliver: Deliver, *, since_ns: int
    ) -> Subscription:
        """Deliver lines later than `since_ns`, in batches, on a thread of this source.

        `deliver` gets pairs of a replica's name and a line, and must not wait. Replicas that
        come later are read from their start; `container` is a name or an id, and chooses one,
        which may be a run. Of a job all runs are read.

        Raises:
            TooManyFollowed: nothing was subscribed.
        """
        made = Subscription(self, app, container, deliver, since_ns)
        with self._lock:
            if len(self._subscriptions) >= SUBSCRIPTIONS_MAX:
                raise TooManyFollowed(
                    f"{SUBSCRIPTIONS_MAX} clients follow logs on this node already; close some, "
                    "or ask another node")
            state = self._log.state()
            ids = {one.container_id for one in made.wanted(state)}
            if len(self._follows.keys() | ids) > FOLLOWS_MAX:
                raise TooManyFollowed(
                    f"this node follows {len(self._follows)} containers already, at most "
                    f"{FOLLOWS_MAX}; follow a single container, or ask another node")
            for one in made.wanted(state):
                made.tracks[one.container_id] = _Track(made, one.name, Cursor(since_ns))
            self._subscriptions.append(made)
            self._look(state)
            if self._worker is None:
                self._worker = self._thread(self._work, "live-logs")
        return made

    def forget(self, subscription: Subscription) -> None:
        """Called by `Subscription.close`."""
        with self._lock:
            if subscription in self._subscriptions:
                self._subscriptions.remove(subscription)
            for follow in list(self._follows.values()):
                follow.tracks = tuple(
                    t for t in follow.tracks if t.subscription is not subscription)
                if not follow.tracks:
                    self._halt(follow)
        self._wake.set()

    def close(self) -> None:
        """End all subscriptions and threads; bounded in time."""
        with self._lock:
            subscriptions, threads = list(self._subscriptions), list(self._threads)
        for subscription in subscriptions:
            subscription.close()
        for thread in threads:
            thread.join(STOP_S)

    def _changed(self, state: ClusterState) -> None:
        self._dirty = True
        if self._subscriptions:
            self._wake.set()

    def _thread(self, target: Callable[[], None], name: str) -> threading.Thread:
        def run() -> None:
            try:
                target()
            finally:
                with self._lock:
                    self._threads.discard(threading.current_thread())

        made = threading.Thread(target=run, name=name, daemon=True)
        self._threads.add(made)
        made.start()
        return made

    # -- which containers --------------------------------------------------------------

    def _look(self, state: ClusterState) -> None:
        """Begin what is missing and end what is over; under the lock."""
        now_s = self._clock.monotonic_s()
        self._looked_s = now_s
        current: set[str] = set()
        crowded = False
        for subscription in self._subscriptions:
            for one in subscription.wanted(state):
                current.add(one.container_id)
                track = subscription.tracks.get(one.container_id)
                if track is None:
                    track = _Track(subscription, one.name, Cursor(0))
                    subscription.tracks[one.container_id] = track
                crowded = not self._attach(track, one) or crowded
            self._prune(subscription, current)
        if crowded and not self._crowded:
            logger.warning("more than %s containers to follow: some are left out", FOLLOWS_MAX)
        self._crowded = crowded
        for follow in list(self._follows.values()):
            if follow.container_id in current:
                follow.gone_s = None
            elif follow.gone_s is None:
                follow.gone_s = now_s
            elif now_s - follow.gone_s > GONE_S:
                self._halt(follow)

    def _attach(self, track: _Track, one: Readable) -> bool:
        """See to it that the container is read for this subscription; False without room."""
        if track.read_ms == one.started_at_ms:
            return True
        before = self._follows.get(one.container_id)
        tracks = before.tracks if before is not None else ()
        if before is not None:
            if track in tracks:
                return True
            if before.serves(track):
                before.tracks = (*tracks, track)
                return True
            before.halt.set()
        elif len(self._follows) >= FOLLOWS_MAX:
            return False
        follow = _Follow(one.container_id, one.started_at_ms, (*tracks, track))
        self._follows[one.container_id] = follow
        self._thread(lambda: self._read(follow), "live-log")
        return True

    def _prune(self, subscription: Subscription, current: Iterable[str]) -> None:
        tracks = subscription.tracks
        if len(tracks) > TRACKS_MAX:
            for container_id in [i for i in tracks if i not in current]:
                if container_id not in self._follows:
                    del tracks[container_id]

    def _halt(self, follow: _Follow) -> None:
        follow.halt.set()
        if self._follows.get(follow.container_id) is follow:
            del self._follows[follow.container_id]

    # -- reading one container ---------------------------------------------------------

    def _read(self, follow: _Follow) -> None:
        """Until the container has ended and all was read, or nobody wants it."""
        delay_s = BACKOFF_FIRST_S
        while True:
            run = Run()
            with self._lock:
                if follow.halt.is_set():
                    return
                since_ns = min(track.cursor.resume_ns() for track in follow.tracks)
                follow.begun_ns, follow.newest_ns = since_ns, 0
            try:
                for line in self._engine.follow(
                    follow.container_id, since_ns=since_ns, stop=follow.halt
                ):
                    if not self._put(follow, run, line):
                        return
                    delay_s = BACKOFF_FIRST_S
            except EngineError as error:
                logger.debug("following %s: %s", follow.container_id[:12], error.reason)
            except Exception:
                logger.exception("following %s failed", follow.container_id[:12])
            else:
                self._put(follow, run, None)
                return
            if follow.halt.wait(delay_s):
                return
            delay_s = min(delay_s * 2, BACKOFF_LAST_S)

    def _put(self, follow: _Follow, run: Run, line: LogLine | None) -> bool:
        """Queue a line, once there is room; False when it is not wanted any more."""
        while True:
            with self._lock:
                if follow.halt.is_set():
                    return False
                if (len(self._pending) < PENDING_LINES_MAX
                        and self._pending_chars < PENDING_CHARS_MAX):
                    break
            follow.halt.wait(ROOM_POLL_S)
        with self._lock:
            if follow.halt.is_set():
                return False
            number = 0
            if line is not None:
                number = run.number(line)
                follow.newest_ns = max(follow.newest_ns, line.at_ns)
                self._pending_chars += len(line.text)
            self._pending.append(_Item(follow, follow.tracks, run, number, line))
        self._wake.set()
        return True

    # -- delivering --------------------------------------------------------------------

    def _work(self) -> None:
        """Look and deliver until nobody subscribes."""
        while True:
            self._wake.wait(LOOK_AGAIN_S)
            self._wake.clear()
            while True:
                with self._lock:
                    if not self._subscriptions:
                        self._worker = None
                        for follow in list(self._follows.values()):
                            self._halt(follow)
                        self._pending.clear()
                        self._pending_chars = 0
                        return
                    due_s = self._looked_s + LOOK_AGAIN_S
                    if self._dirty or self._clock.monotonic_s() >= due_s:
                        self._dirty = False
                        self._look(self._log.state())
                    batch = [self._pending.popleft()
                             for _ in range(min(len(self._pending), BATCH_LINES_MAX))]
                    self._pending_chars -= sum(
                        len(item.line.text) for item in batch if item.line is not None)
                if not batch:
                    break
                self._hand_out(batch)

    def _hand_out(self, batch: Sequence[_Item]) -> None:
        lines: dict[Subscription, list[tuple[str, LogLine]]] = {}
        ended = [item.follow for item in batch if item.line is None]
        for item in batch:
            if item.line is None:
                continue
            for track in item.tracks:
                if track.cursor.fresh(item.run, item.number, item.line):
                    lines.setdefault(track.subscription, []).append((track.name, item.line))
        for subscription, found in lines.items():
            found.sort(key=lambda pair: pair[1].at_ns)
            subscription.take(found)
        for follow in ended:
            self._ended(follow)

    def _ended(self, follow: _Follow) -> None:
        with self._lock:
            if follow.halt.is_set():
                return
            for track in follow.tracks:
                track.read_ms = follow.started_ms
            self._halt(follow)
            self._dirty = True
        self._wake.set()
