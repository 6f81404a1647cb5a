"""Streams of deployments: each change once, and the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import orjson
import pytest

from api.streams.deployments import DeploymentFeed, Deployments
from api.streams.hub import Hub
from api.streams.peer import Peer
from cluster.state import commands as c
from tests.unit.test_rollout_steps import Shop


class _Hub:
    """Looks when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def later(self, _: float, call: Callable[[], None]) -> None:
        self.waiting.append(call)

    def look(self) -> None:
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()


class _Peer:
    """A client, who may be busy."""

    def __init__(self) -> None:
        self.busy = False
        self.got: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None

    def send(self, messages: list[Any]) -> None:
        self.got += [orjson.loads(one.data) for one in messages]

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason


@pytest.fixture
def shop() -> Shop:
    """Two replicas, and an update that has begun."""
    made = Shop()
    made.update()
    return made


def begin(shop: Shop, deployment: int) -> tuple[_Hub, Deployments, _Peer, DeploymentFeed]:
    """A stream of one deployment."""
    hub, peer = _Hub(), _Peer()
    source = Deployments(cast(Hub, hub), lambda: shop.state)
    feed = source.feed("shop", deployment)(cast(Hub, hub), cast(Peer, peer))
    assert isinstance(feed, DeploymentFeed)
    hub.look()
    return hub, source, peer, feed


def test_one_that_cannot_be_told_of_ends_alone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours about one deployment closes its streams, and the others go on."""
    rollout = shop.app.rollout
    assert rollout is not None
    hub, source, peer, _ = begin(shop, rollout.id)
    other = _Peer()
    source.feed("ghost", 1)(cast(Hub, hub), cast(Peer, other))

    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr("api.views_deploys.detail", broken)
    shop.do(c.SteerRollout("shop", "pause"))
    hub.look()
    assert peer.closed is not None
    assert peer.closed[0] == 1011
    assert other.closed == (1000, "deployment 1 of 'ghost' is not known any more")
    assert hub.waiting


def test_each_change_is_told_once_until_the_end(shop: Shop) -> None:
    """As the answer about the deployment, with its replicas; then the stream ends."""
    rollout = shop.app.rollout
    assert rollout is not None
    hub, _, peer, feed = begin(shop, rollout.id)
    assert [(one["phase"], one["available"]) for one in peer.got] == [("running", 0)]
    assert [one["role"] for one in peer.got[0]["replicas"]] == ["old", "old"]
    hub.look()
    assert len(peer.got) == 1
    shop.do(c.StepRollout("shop", rollout.id, rollout.step, (1,), rollout.old, 1, 2, ("one",)))
    hub.look()
    assert [one["message"] for one in peer.got[-1]["steps"]] == ["one"]
    shop.do(c.SteerRollout("shop", "pause"))
    hub.look()
    assert (peer.got[-1]["phase"], peer.closed) == ("paused", None)
    shop.finish("failed")
    shop.do(c.SteerRollout("shop", "resume"))
    shop.finish()
    hub.look()
    assert peer.got[-1]["phase"] == "done"
    assert peer.closed == (1000, f"deployment {rollout.id} is over: done")
    feed.close()
    hub.look()
    assert hub.waiting == []


def test_a_client_that_is_behind_gets_the_newest_and_the_end(shop: Shop) -> None:
    """What it missed is in the newest; it is not cut off before it has that."""
    rollout = shop.app.rollout
    assert rollout is not None
    hub, _, peer, _ = begin(shop, rollout.id)
    peer.busy = True
    shop.do(c.StepRollout("shop", rollout.id, rollout.step, (1,), rollout.old, 1, 2, ("one",)))
    hub.look()
    shop.finish()
    hub.look()
    assert (len(peer.got), peer.closed) == (1, None)
    peer.busy = False
    hub.look()
    assert [one["phase"] for one in peer.got] == ["running", "done"]
    assert peer.closed is not None


def test_two_clients_and_what_is_not_known_any_more(shop: Shop) -> None:
    """The second begins with how it is; an app that goes ends both."""
    rollout = shop.app.rollout
    assert rollout is not None
    hub, source, peer, feed = begin(shop, rollout.id)
    other = _Peer()
    source.feed("shop", rollout.id)(cast(Hub, hub), cast(Peer, other))
    hub.look()
    assert other.got == peer.got
    feed.close()
    shop.do(c.DeleteApp("shop"))
    shop.do(c.FinishDelete("shop", shop.app.revision, 0))
    hub.look()
    assert peer.closed is None
    assert other.closed == (1000, f"deployment {rollout.id} of 'shop' is not known any more")
