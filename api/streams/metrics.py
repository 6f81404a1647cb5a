"""Measurements of an application, each as soon as this node knows it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from api import views
from api.streams.hub import Hub
from api.streams.peer import Feed, Peer
from api.streams.wire import NORMAL, Message
from cluster.state.model import App, ClusterState

logger = logging.getLogger(__name__)

LOOK_S = 0.5

Current = Mapping[str, Any]


class Metrics:
    """The source of all metrics streams of one node: looks twice a second while there are any.

    `latest` gives the current measurements by app and may wait for the leader's answer.
    """

    def __init__(
        self, hub: Hub, latest: Callable[[], Mapping[str, Current]],
        state: Callable[[], ClusterState],
    ) -> None:
        self._hub = hub
        self._latest = latest
        self._state = state
        self._feeds: dict[str, set[MetricsFeed]] = {}
        self._shown: dict[str, tuple[Current | None, int, int]] = {}
        self._messages: dict[str, Message] = {}
        self._looking = False

    def feed(self, app: str) -> Callable[[Hub, Peer], Feed]:
        """A stream of one app's measurements, beginning with the last."""
        def begin(hub: Hub, peer: Peer) -> Feed:
            found = MetricsFeed(self, app, peer)
            feeds = self._feeds.setdefault(app, set())
            known = self._messages.get(app)
            if known is not None and feeds:
                peer.send([known])
            feeds.add(found)
            if not self._looking:
                self._looking = True
                self._look()
            return found

        return begin

    def forget(self, feed: MetricsFeed) -> None:
        """A stream has ended."""
        feeds = self._feeds.get(feed.app, set())
        feeds.discard(feed)
        if not feeds:
            for kept in (self._feeds, self._shown, self._messages):
                kept.pop(feed.app, None)

    def _look(self) -> None:
        if not self._feeds:
            self._looking = False
            return
        self._hub.work(self._latest, self._found)

    def _found(self, latest: Mapping[str, Current] | None, fault: BaseException | None) -> None:
        try:
            if fault is not None or latest is None:
                logger.error("measurements for streams cannot be had", exc_info=fault)
                return
            apps = self._state().apps
            for name in tuple(self._feeds):
                self._tell(name, apps.get(name), latest.get(name))
        finally:
            self._hub.later(LOOK_S, self._look)

    def _tell(self, name: str, app: App | None, current: Current | None) -> None:
        feeds = tuple(self._feeds[name])
        if app is None:
            for feed in feeds:
                feed.peer.close(NORMAL, f"application '{name}' was removed")
            return
        healthy = sum(replica.health == "healthy" for replica in app.reports)
        shown = (current, healthy, len(app.reports))
        if self._shown.get(name) == shown:
            return
        self._shown[name] = shown
        self._messages[name] = made = Message(orjson.dumps({
            "app_name": name, **(views.UNKNOWN if current is None else current),
            "healthy_replicas": healthy, "total_replicas": len(app.reports),
        }))
        for feed in feeds:
            feed.tell(made)


class MetricsFeed:
    """One client."""

    def __init__(self, source: Metrics, app: str, peer: Peer) -> None:
        self._source = source
        self.app = app
        self.peer = peer
        self._waiting: Message | None = None

    def tell(self, message: Message) -> None:
        """A measurement; for a client that is behind it replaces the one before."""
        if self.peer.busy:
            self._waiting = message
        else:
            self.peer.send([message])

    def drained(self) -> None:
        """The client has taken all."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            self.peer.send([waiting])

    def close(self) -> None:
        """The client is gone."""
        self._source.forget(self)
