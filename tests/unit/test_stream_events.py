"""Streams of events: "from now on" means from the request on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from api.streams.events import Events
from api.streams.hub import Hub
from api.streams.peer import Peer
from cluster.history.base import Wanted
from cluster.history.history import History
from cluster.history.peers import EventPage
from cluster.state.model import ClusterState, EventRecord


class _Hub:
    """Does all work at once."""

    def work(self, call: Callable[[], Any], done: Callable[[Any, None], None]) -> None:
        done(call(), None)

    def watch(self, _: Callable[[float], None]) -> None:
        """Nobody looks here."""

    def soon(self, call: Callable[[], None]) -> None:
        call()


class _Peer:
    """A client."""

    closing = False

    def __init__(self) -> None:
        self.got: list[int] = []

    def send(self, messages: Sequence[Any]) -> None:
        self.got += [orjson.loads(one.data)["id"] for one in messages]

    send_past = send


class _Node:
    """What was applied here, and who streams it."""

    def __init__(self) -> None:
        self.events: list[EventRecord] = []
        self.hub = _Hub()
        history = SimpleNamespace(resume=lambda _state, after, limit: EventPage(
            tuple(one for one in self.events if one.id > after)[:limit], complete=True))
        self.source = Events(
            cast(Hub, self.hub), cast(History, history),
            lambda: cast(ClusterState, SimpleNamespace(next_event_id=len(self.events) + 1)))

    def apply(self) -> None:
        event = EventRecord(len(self.events) + 1, "config", "shop", "Scaled", 0)
        self.events.append(event)
        self.source.applied([event])


@pytest.mark.parametrize("watched", [False, True], ids=["the first stream", "one more"])
def test_what_comes_between_the_request_and_the_stream_is_told(watched: bool) -> None:
    """The client may know of its stream, and write, before the hub comes to it."""
    node = _Node()
    node.apply()
    if watched:
        node.source.feed(Wanted(), None)(cast(Hub, node.hub), cast(Peer, _Peer()))
    begin, peer = node.source.feed(Wanted(), None), _Peer()
    node.apply()
    begin(cast(Hub, node.hub), cast(Peer, peer))
    node.apply()
    assert peer.got == [2, 3]
