"""The contract of the live bus, in one process and over Redis; and Redis that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.clock import SystemClock
from cluster.live.bus import Bus, LocalBus
from cluster.live.outbox import BYTES_MAX, MESSAGES_MAX, Outbox
from cluster.live.redis_bus import TIMEOUT_S, RedisBus
from tests.live import until
from tests.redis_server import RedisServer, frozen, killed, redis_server

SOON_S = 60.0
MUCH = 20_000
END, LAST = b"end of what was said", b"the last word"


@contextmanager
def over_redis(server: RedisServer, cluster_id: str = "c" * 32) -> Iterator[RedisBus]:
    """The bus of one controller, once it found Redis."""
    bus = RedisBus(server.url, lambda: cluster_id, SystemClock())
    bus.start()
    try:
        until("it is connected", lambda: bus.connected, SOON_S)
        yield bus
    finally:
        bus.stop()


@pytest.fixture(params=["local", "redis"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    """A bus that runs."""
    if request.param == "redis":
        with over_redis(request.getfixturevalue("redis")) as found:
            yield found
        return
    local = LocalBus(SystemClock())
    local.start()
    yield local
    local.stop()


def heard(bus: Bus, topic: str) -> list[bytes]:
    """All that comes on a topic."""
    found: list[bytes] = []
    bus.subscribe(topic, found.append)
    return found


def arrives(bus: Bus, topic: str, payload: bytes, found: list[bytes]) -> None:
    """Publish until it is heard: nothing promises a message that nobody listens to yet."""
    def told() -> bool:
        bus.publish(topic, payload)
        time.sleep(0.05)
        return payload in found

    until(f"{payload!r} arrives", told, SOON_S)


def all_heard(bus: Bus, topic: str, *listeners: list[bytes]) -> None:
    """Until they have heard all that was published so far, which then is forgotten."""
    for found in listeners:
        arrives(bus, topic, END, found)
    bus.publish(topic, LAST)
    until("it is the last", lambda: all(found[-1:] == [LAST] for found in listeners), SOON_S)
    for found in listeners:
        found.clear()


def test_who_listens_hears_each_message_once_in_order(bus: Bus) -> None:
    """All listeners of a topic, and nobody else; any bytes."""
    first, second, other = heard(bus, "a"), heard(bus, "a"), heard(bus, "b")
    sent = [bytes([n % 256]) * (n % 50) for n in range(200)]
    for payload in sent:
        bus.publish("a", payload)
    until("all is heard", lambda: len(first) == len(second) == 200, SOON_S)
    time.sleep(0.3)  # What came back by way of Redis would be here by now.
    assert first == second == sent
    assert other == []


def test_nobody_listens(bus: Bus) -> None:
    """A message to nobody is no error, and is not kept for later."""
    bus.publish("a", b"early")
    found = heard(bus, "a")
    bus.publish("a", b"late")
    until("the late one", lambda: found, SOON_S)
    assert found == [b"late"]


def test_a_closed_subscription_hears_no_more(bus: Bus) -> None:
    """Closing concerns one listener, and may be repeated."""
    found: list[bytes] = []
    close, stays = bus.subscribe("a", found.append), heard(bus, "a")
    bus.publish("a", b"1")
    until("both hear", lambda: found and stays, SOON_S)
    close()
    close()
    bus.publish("a", b"2")
    until("one hears", lambda: len(stays) == 2, SOON_S)
    assert found == [b"1"]


def test_a_listener_that_fails_disturbs_nobody(bus: Bus) -> None:
    """Others hear the message, and the next one."""
    def fails(_: bytes) -> None:
        raise RuntimeError("a bug of this listener")

    bus.subscribe("a", fails)
    found = heard(bus, "a")
    bus.publish("a", b"1")
    bus.publish("a", b"2")
    until("both come", lambda: found == [b"1", b"2"], SOON_S)


def test_listeners_may_come_and_go_from_within(bus: Bus) -> None:
    """A listener may close itself, subscribe and publish."""
    found: list[bytes] = []

    def once(payload: bytes) -> None:
        closers[0]()
        bus.subscribe("b", found.append)
        bus.publish("b", payload + b"!")

    closers = [bus.subscribe("a", once)]
    bus.publish("a", b"1")
    until("the echo", lambda: found == [b"1!"], SOON_S)
    bus.publish("a", b"2")
    bus.publish("b", b"end")
    until("the end", lambda: found == [b"1!", b"end"], SOON_S)


def test_a_slow_listener_holds_up_no_publisher(bus: Bus) -> None:
    """What is too much is dropped, oldest first; memory is bounded."""
    free, found = threading.Event(), []

    def slow(payload: bytes) -> None:
        assert free.wait(300)
        found.append(payload)

    bus.subscribe("a", slow)
    for number in range(MUCH):
        bus.publish("a", b"%d" % number)
    assert not found
    free.set()
    until("the last one", lambda: found and found[-1] == b"%d" % (MUCH - 1), SOON_S)
    assert len(found) <= MESSAGES_MAX + 1
    assert found == sorted(found, key=int)


def test_an_outbox_is_bounded() -> None:
    """By messages and by bytes; what is larger than all of it is not taken."""
    outbox = Outbox(SystemClock(), messages_max=3, bytes_max=10)
    for payload in (b"1", b"2", b"3", b"4", b"x" * 11):
        outbox.put("a", payload)
    assert outbox.dropped == 2
    assert _next(outbox) == b"2"
    outbox.put("a", b"y" * 9)
    assert outbox.dropped == 3
    assert _next(outbox) == b"4"
    outbox.close()
    outbox.put("a", b"late")
    assert outbox.take() is None


def _next(outbox: Outbox) -> bytes:
    message = outbox.take()
    assert message is not None
    return message.payload


def test_controllers_hear_each_other_and_clusters_do_not(redis: RedisServer) -> None:
    """Each message comes once to each controller of the same cluster."""
    with over_redis(redis) as one, over_redis(redis) as two, over_redis(redis, "d") as other:
        at_one, at_two, stranger = heard(one, "a"), heard(two, "a"), heard(other, "a")
        arrives(one, "a", b"hello", at_two)
        all_heard(one, "a", at_one, at_two)
        sent = [b"%d" % number for number in range(100)]
        for payload in sent:
            one.publish("a", payload)
        until("all is heard", lambda: len(at_two) >= 100, SOON_S)
        time.sleep(0.3)
        assert at_one == at_two == sent
        assert stranger == []
        assert one.dropped == 0
        # Whoever listens no more is not told by Redis either.
        with redis.client() as client:
            until("a listener each", lambda: _listeners(client, "a") == 2, SOON_S)


def _listeners(client: object, topic: str) -> int:
    found = client.pubsub_numsub(f"orchestry:{'c' * 32}:bus:{topic}")  # type: ignore[attr-defined]
    return int(found[0][1])


def test_redis_forgets_topics_without_listeners(redis: RedisServer) -> None:
    """A subscription in Redis ends with its last listener."""
    with over_redis(redis) as bus, redis.client() as client:
        close = bus.subscribe("t", lambda _: None)
        until("it listens", lambda: _listeners(client, "t") == 1, SOON_S)
        close()
        until("it listens no more", lambda: _listeners(client, "t") == 0, SOON_S)


@pytest.mark.parametrize("harm", [killed, frozen])
def test_redis_goes_and_comes_back(
    tmp_path: Path, harm: Callable[[RedisServer], Callable[[], None]]
) -> None:
    """Nobody waits, who listens here hears all, and the others hear again by themselves."""
    with redis_server(tmp_path / "redis") as server, over_redis(server) as one, \
            over_redis(server) as two:
        here, there = heard(one, "a"), heard(two, "a")
        arrives(one, "a", b"before", there)
        all_heard(one, "a", here, there)
        heal = harm(server)
        began_s = time.monotonic()
        for number in range(1000):
            one.publish("a", b"%d" % number)
        assert time.monotonic() - began_s < 1000 * TIMEOUT_S / 2
        until("all is heard here", lambda: len(here) == 1000, SOON_S)
        until("both know", lambda: not one.connected and not two.connected, SOON_S)
        time.sleep(6)  # Longer than what waits is news.
        there.clear()
        heal()
        until("both are back", lambda: one.connected and two.connected, SOON_S)
        arrives(one, "a", b"after", there)
        arrives(two, "a", b"back", here)
        assert set(there) <= {b"after", b"back"}


def test_a_bus_before_redis_and_before_the_cluster(tmp_path: Path) -> None:
    """It starts without either, and finds both later."""
    with redis_server(tmp_path / "redis") as server:
        server.kill()
        ids = [""]
        bus = RedisBus(server.url, lambda: ids[0], SystemClock())
        bus.start()
        try:
            found = heard(bus, "a")
            bus.publish("a", b"alone")
            until("it hears itself", lambda: found == [b"alone"], SOON_S)
            assert not bus.connected
            server.start()
            ids[0] = "c" * 32
            until("it is connected", lambda: bus.connected, SOON_S)
        finally:
            bus.stop()
        bus.publish("a", b"stopped")
        time.sleep(0.1)
        assert found == [b"alone"]


def test_what_is_too_large_is_dropped() -> None:
    """A payload beyond all bounds costs itself only."""
    bus = LocalBus(SystemClock())
    bus.start()
    found = heard(bus, "a")
    bus.publish("a", b"x" * (BYTES_MAX + 1))
    bus.publish("a", b"small")
    until("the small one", lambda: found == [b"small"], SOON_S)
    assert bus.dropped == 1
    bus.stop()
