"""How a deployment goes, each time that it is another way, until it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable

import orjson

from api import views_deploys
from api.streams.hub import Hub
from api.streams.peer import Feed, Peer
from api.streams.wire import FAILED, NORMAL, Message
from cluster.control.image_needs import pulling_of
from cluster.state.model import App, ClusterState
from cluster.state.pins import Pulling

logger = logging.getLogger(__name__)

LOOK_S = 0.25
Key = tuple[str, int]
"""App and deployment."""


class Deployments:
    """The source of all streams of deployments of one node: it looks while there are any."""

    def __init__(self, hub: Hub, state: Callable[[], ClusterState]) -> None:
        self._hub = hub
        self._state = state
        self._feeds: dict[Key, set[DeploymentFeed]] = {}
        self._seen: dict[Key, tuple[App, Pulling | None, bytes]] = {}
        self._looking = False

    def feed(self, app: str, deployment: int) -> Callable[[Hub, Peer], Feed]:
        """A stream of one deployment, beginning with how it is now."""
        def begin(hub: Hub, peer: Peer) -> Feed:
            found = DeploymentFeed(self, (app, deployment), peer)
            self._feeds.setdefault(found.key, set()).add(found)
            if not self._looking:
                self._looking = True
                hub.later(0.0, self._look)
            return found

        return begin

    def forget(self, feed: DeploymentFeed) -> None:
        """A stream has ended."""
        feeds = self._feeds.get(feed.key, set())
        feeds.discard(feed)
        if not feeds:
            self._feeds.pop(feed.key, None)
            self._seen.pop(feed.key, None)

    def _look(self) -> None:
        if not self._feeds:
            self._looking = False
            return
        state = self._state()
        for key in tuple(self._feeds):
            try:
                self._tell(key, state, state.apps.get(key[0]))
            except Exception:
                logger.exception("deployment %s of %s cannot be told of", key[1], key[0])
                for feed in tuple(self._feeds[key]):
                    feed.peer.close(FAILED, "it cannot be told of; see this controller's log")
        self._hub.later(LOOK_S, self._look)

    def _tell(self, key: Key, state: ClusterState, app: App | None) -> None:
        feeds = tuple(self._feeds[key])
        found = None if app is None else next(
            (one for one in views_deploys.deployments(app) if one.id == key[1]), None)
        if app is None or found is None:
            for feed in feeds:
                feed.peer.close(NORMAL, f"deployment {key[1]} of '{key[0]}' is not known any more")
            return
        seen, waits = self._seen.get(key), pulling_of(state, app)
        if seen is None or seen[0] is not app or seen[1] != waits:
            text = orjson.dumps(views_deploys.detail(app, found, waits))
            self._seen[key] = seen = app, waits, text
        for feed in feeds:
            feed.tell(seen[2])
            if found.ended_at_ms and feed.has(seen[2]):
                feed.peer.close(NORMAL, f"deployment {found.id} is over: {found.phase}")


class DeploymentFeed:
    """One client; while it is behind, what is newer replaces what it has not got."""

    def __init__(self, source: Deployments, key: Key, peer: Peer) -> None:
        self._source = source
        self.key = key
        self.peer = peer
        self._sent = b""

    def tell(self, text: bytes) -> None:
        """How it is; what the client has got already is not sent again."""
        if text != self._sent and not self.peer.busy:
            self._sent = text
            self.peer.send([Message(text)])

    def has(self, text: bytes) -> bool:
        """Whether that is what the client has got last."""
        return self._sent == text and not self.peer.busy

    def drained(self) -> None:
        """The next look tells what is new."""

    def close(self) -> None:
        """The client is gone."""
        self._source.forget(self)
