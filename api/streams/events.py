"""Events as they are applied on this node, from any id on, without a gap."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import orjson

from api import views
from api.streams.hub import Hub
from api.streams.peer import Feed, Peer
from api.streams.wire import FAILED, Message
from cluster.history.base import HistoryError, Wanted
from cluster.history.history import History
from cluster.state.model import ClusterState, EventRecord

PAGE = 500
AT_ONCE_MAX = 5000
"""Events that wait for the hub's thread; beyond it streams read them from disk."""
RETRY_S = 0.5
PATIENCE_S = 15.0
"""For how long a stream waits for events that this controller fetches from others."""


class Events:
    """The source of all event streams of one node."""

    def __init__(self, hub: Hub, history: History, state: Callable[[], ClusterState]) -> None:
        self.hub = hub
        self.history = history
        self.state = state
        self.last_id = 0
        self._feeds: set[EventFeed] = set()
        self._lock = threading.Lock()
        self._waiting: list[EventRecord] = []
        self._asked = False
        self._watched = False

    def applied(self, events: Sequence[EventRecord]) -> None:
        """Events of one entry of the log, in its thread; never waits."""
        if not self._feeds:
            return
        with self._lock:
            self._waiting += events
            del self._waiting[:-AT_ONCE_MAX]
            asked, self._asked = self._asked, True
        if not asked:
            self.hub.soon(self._tell)

    def feed(self, wanted: Wanted, since_id: int | None) -> Callable[[Hub, Peer], Feed]:
        """A stream of what is `wanted`, after `since_id` or from now on."""
        # Now, not when the hub comes to it: who has read our head misses nothing after it.
        after = self.state().next_event_id - 1 if since_id is None else since_id

        def begin(hub: Hub, peer: Peer) -> Feed:
            if not self._feeds:
                self.last_id = self.state().next_event_id - 1
            if not self._watched:
                self._watched = True
                hub.watch(self._look)
            found = EventFeed(self, peer, wanted, after)
            self._feeds.add(found)
            found.catch_up()
            return found

        return begin

    def forget(self, feed: EventFeed) -> None:
        """A stream has ended."""
        self._feeds.discard(feed)

    def _tell(self) -> None:
        with self._lock:
            events, self._waiting = self._waiting, []
            self._asked = False
        new = [event for event in events if event.id > self.last_id]
        if not new:
            return
        before, self.last_id = self.last_id, new[-1].id
        whole = new[0].id == before + 1 and new[-1].id - new[0].id == len(new) - 1
        messages = {event.id: message(event) for event in new}
        for feed in tuple(self._feeds):
            feed.offer(new, messages, whole=whole)

    def _look(self, now_s: float) -> None:
        """A snapshot may bring events of which nobody was told."""
        newest = self.state().next_event_id - 1
        if newest > self.last_id and self._feeds and not self._asked:
            self.last_id = newest
            for feed in tuple(self._feeds):
                feed.catch_up()


def message(event: EventRecord) -> Message:
    """One event as the contract shows it."""
    return Message(orjson.dumps(views.event(event)), event.id)


class EventFeed:
    """One client: either it reads what it missed from disk, or it is told what comes."""

    def __init__(self, source: Events, peer: Peer, wanted: Wanted, sent: int) -> None:
        self._source = source
        self._peer = peer
        self._wanted = wanted
        self._sent = sent
        self._live = False
        self._reading = False
        self._full = False
        self._patience_s: float | None = None

    def offer(self, events: Sequence[EventRecord], messages: dict[int, Message], *,
              whole: bool) -> None:
        """What was just applied, in order; `whole` says that none is missing before or within."""
        if not self._live:
            return
        if not whole or events[0].id > self._sent + 1:
            self.catch_up()
            return
        self._peer.send([messages[event.id] for event in events
                         if event.id > self._sent and self._wanted.includes(event)])
        self._sent = max(self._sent, events[-1].id)

    def catch_up(self) -> None:
        """Read what is missing, then go on live."""
        self._live = False
        if self._reading or self._full or self._peer.closing:
            return
        self._reading = True
        after = self._sent
        self._source.hub.work(lambda: self._read(after), self._found)

    def _read(self, after: int) -> tuple[Sequence[EventRecord], bool, int]:
        state = self._source.state()
        page = self._source.history.resume(state, after, PAGE)
        return page.events, page.complete, state.next_event_id - 1

    def _found(
        self, found: tuple[Sequence[EventRecord], bool, int] | None, fault: BaseException | None,
    ) -> None:
        self._reading = False
        if found is None or not found[1]:
            self._wait(fault)
            return
        self._patience_s = None
        events, _, newest = found
        messages = [message(event) for event in events if self._wanted.includes(event)]
        if events:
            self._sent = max(self._sent, events[-1].id)
        if len(events) < PAGE:
            # None of those up to here is missing, however many ids were left out.
            self._sent = max(self._sent, newest)
            self._live = self._sent >= self._source.last_id
        self._full = not self._live
        self._peer.send_past(messages)

    def _wait(self, fault: BaseException | None) -> None:
        """Others have what is missing here: the history asks them."""
        now_s = self._source.hub.now_s()
        self._patience_s = self._patience_s or now_s + PATIENCE_S
        if fault is not None and not isinstance(fault, HistoryError):
            self._peer.close(FAILED, "events cannot be read here; see this controller's log")
            raise fault
        if now_s >= self._patience_s:
            self._peer.close(
                FAILED, "events are missing on this controller; resume at another one")
            return
        self._source.hub.later(RETRY_S, self.catch_up)

    def drained(self) -> None:
        """The client has taken all: read on."""
        if self._full:
            self._full = False
            self.catch_up()

    def close(self) -> None:
        """The client is gone."""
        self._source.forget(self)
