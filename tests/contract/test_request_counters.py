"""The contract of what counts requests, in memory and in Redis; and Redis that fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from cluster.clock import SystemClock
from cluster.live import redis_limits
from cluster.live.connect import TIMEOUT_S, connect
from cluster.live.limits import Counted, Counters, Limit
from cluster.live.memory_limits import MemoryCounters
from cluster.live.redis_limits import RedisCounters
from tests.live import until
from tests.redis_server import RedisServer, redis_server

BACK_S = 60.0
TEN = (Limit(10, 60),)
BOTH = (Limit(3, 5), Limit(5, 3600))


@contextmanager
def counting(server: RedisServer, cluster_id: str = "c" * 32) -> Iterator[RedisCounters]:
    """What one controller has, once it found Redis."""
    counters = RedisCounters(server.url, lambda: cluster_id, SystemClock())
    counters.start()
    try:
        until("Redis answers", lambda: counters.answers().up, BACK_S)
        yield counters
    finally:
        counters.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that is busy with other things Redis may be slow; then it is waited for."""
    monkeypatch.setattr(redis_limits, "TIMEOUT_S", BACK_S)
    monkeypatch.setattr(redis_limits, "connect", partial(connect, timeout_s=BACK_S))


@pytest.fixture(params=["memory", "redis"])
def counters(request: pytest.FixtureRequest, patient: None) -> Iterator[Counters]:
    """Counters that have counted nothing."""
    if request.param == "memory":
        yield MemoryCounters(SystemClock())
        return
    found: RedisServer = request.getfixturevalue("redis")
    found.flush()
    with counting(found) as shared:
        yield shared


def hit(counters: Counters, client: str = "a", limits: tuple[Limit, ...] = TEN) -> Counted:
    """Count one request, by counters that answer."""
    counted = counters.hit(client, limits)
    assert counted is not None
    return counted


def test_counts_up_to_the_limit(counters: Counters) -> None:
    """Ten of ten pass, each counted; what follows is refused and not counted."""
    for number in range(1, 11):
        counted = hit(counters)
        assert (counted.allowed, counted.windows[0].used) == (True, number)
        assert 0 < counted.windows[0].left_s <= 60
    for _ in range(3):
        counted = hit(counters)
        assert (counted.allowed, counted.windows[0].used) == (False, 10)


def test_clients_do_not_share(counters: Counters) -> None:
    """One client that is over its limit costs another one nothing."""
    for _ in range(12):
        hit(counters, "a")
    assert hit(counters, "b").windows[0].used == 1
    assert hit(counters, "2001:db8::/64").windows[0].used == 1


def test_windows_begin_with_a_request_and_end(counters: Counters) -> None:
    """The short window begins anew when its time is over; the long one goes on."""
    assert [hit(counters, "a", BOTH).allowed for _ in range(4)] == [True, True, True, False]
    left_s = hit(counters, "a", BOTH).windows[0].left_s
    assert 0 < left_s <= 5
    time.sleep(left_s + 0.05)
    again = hit(counters, "a", BOTH)
    assert again.allowed
    # What was refused cost nothing of the hour.
    assert [window.used for window in again.windows] == [1, 4]
    assert hit(counters, "a", BOTH).windows[1].used == 5
    over = hit(counters, "a", BOTH)
    assert (over.allowed, [window.used for window in over.windows]) == (False, [2, 5])
    assert over.windows[1].left_s > 3000


def test_what_is_given_back_can_be_used(counters: Counters) -> None:
    """A request that was taken back is one more; nothing goes below none."""
    counters.give_back("a", TEN)
    assert hit(counters).windows[0].used == 1
    for _ in range(3):
        counters.give_back("a", TEN)
    assert hit(counters).windows[0].used == 1


def test_limits_can_change(counters: Counters) -> None:
    """What was counted is judged by the limits of the moment."""
    for _ in range(5):
        hit(counters)
    assert not hit(counters, "a", (Limit(5, 60),)).allowed
    assert hit(counters, "a", (Limit(6, 60),)).windows[0].used == 6


def test_threads_get_no_more_than_the_limit(counters: Counters) -> None:
    """Of 400 requests at once a hundred pass, less those to which a busy server did not answer."""
    limits = (Limit(100, 60), Limit(1000, 3600))
    with ThreadPoolExecutor(8) as pool:
        found = [f.result() for f in [pool.submit(counters.hit, "a", limits)
                                      for _ in range(400)]]
    known = [counted.allowed for counted in found if counted is not None]
    assert known
    assert 100 - (len(found) - len(known)) <= sum(known) <= 100


def test_memory_is_bounded() -> None:
    """Of too many clients the one that was silent for longest is forgotten."""
    counters = MemoryCounters(SystemClock(), clients_max=3)
    for client in ("a", "b", "a", "c", "a", "d"):
        counters.hit(client, TEN)
    assert len(counters) == 3
    assert counters.hit("a", TEN).windows[0].used == 4
    assert counters.hit("b", TEN).windows[0].used == 1


@pytest.mark.usefixtures("patient")
def test_controllers_share_and_clusters_do_not(redis: RedisServer) -> None:
    """Two controllers count together; another cluster in the same Redis counts for itself."""
    redis.flush()
    with counting(redis) as one, counting(redis) as two, counting(redis, "d" * 32) as other:
        assert [hit(c).windows[0].used for c in (one, two, one, two)] == [1, 2, 3, 4]
        assert hit(other).windows[0].used == 1


def test_nothing_is_shared_before_the_cluster_has_an_id(redis: RedisServer) -> None:
    """Keys without the cluster's id would mix up clusters."""
    with counting(redis, "") as counters:
        assert counters.hit("a", TEN) is None


@pytest.mark.usefixtures("patient")
def test_keys_go_by_themselves(redis: RedisServer) -> None:
    """Every key of every client has its end, so that Redis does not fill up."""
    redis.flush()
    with counting(redis) as counters, redis.client() as client:
        hit(counters, "a", BOTH)
        keys = list(client.scan_iter("orchestry:*"))
        assert len(keys) >= 2
        assert all(0 < int(client.pttl(key)) <= 3_600_000 for key in keys)


@pytest.mark.parametrize(("harm", "heal"), [
    (RedisServer.kill, RedisServer.start), (RedisServer.freeze, RedisServer.thaw),
])
def test_a_redis_that_fails_is_left_alone(
    tmp_path: Path, harm: Callable[[RedisServer], None], heal: Callable[[RedisServer], None],
) -> None:
    """One question at most waits for it, the next are answered at once, and it comes back."""
    with redis_server(tmp_path / "redis") as server, counting(server) as counters:
        until("it counts", lambda: counters.hit("a", TEN) is not None, BACK_S)
        harm(server)
        assert counters.hit("a", TEN) is None
        # Ten thousand that would each wait take half an hour.
        began_s = time.monotonic()
        assert not any(counters.hit("a", TEN) for _ in range(10_000))
        assert time.monotonic() - began_s < 10_000 * TIMEOUT_S / 10
        assert not counters.answers().up
        assert counters.answers().reason
        heal(server)
        until("it is back", lambda: counters.hit("a", TEN) is not None
              and counters.answers().up, BACK_S)


@pytest.mark.usefixtures("patient")
def test_a_redis_that_refuses_to_write_is_left_alone(tmp_path: Path) -> None:
    """One that is full answers pings and counts nothing: that is not up."""
    with redis_server(tmp_path / "redis") as server, counting(server) as counters:
        until("it counts", lambda: counters.hit("a", TEN) is not None, BACK_S)
        with server.client() as client:
            client.config_set("maxmemory", "1")
            assert counters.hit("b", TEN) is None
            assert "memory" in counters.answers().reason
            time.sleep(1.5)  # It is asked again, and stays what it is.
            assert counters.hit("b", TEN) is None
            client.config_set("maxmemory", "0")
        until("it is back", lambda: counters.hit("b", TEN) is not None, BACK_S)
