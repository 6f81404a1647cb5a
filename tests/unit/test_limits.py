"""Who is counted, what follows from the counts, and a memory that outlives Redis."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.live.clients import HOPS_MAX, client_of, networks
from cluster.live.limits import Counted, Limit, Window, in_force, judge
from cluster.live.memory_limits import MemoryCounters
from cluster.live.relay_mark import AGE_MAX_S, HEADER, RelayMark
from cluster.live.watch import NoAnswer, Watch
from tests.live import until
from tests.unit.hand_clock import HandClock

TRUSTED = networks(["10.0.0.0/8", "2001:db8:ffff::/48"])
LIMITS = in_force(per_minute=3, per_hour=5)


@pytest.mark.parametrize(("remote", "forwarded", "client"), [
    ("192.0.2.1", "", "192.0.2.1"),
    ("192.0.2.1", "198.51.100.1", "192.0.2.1"),
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
    ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "1.1.1.1,198.51.100.1,10.1.1.1,10.2.2.2", "198.51.100.1"),
    ("10.0.0.1", "10.3.3.3, 10.1.1.1", "10.3.3.3"),
    ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
    ("10.0.0.1", "1.1.1.1, , 10.1.1.1", "10.1.1.1"),
    ("10.0.0.1", ",", "10.0.0.1"),
    ("10.0.0.1", "[2001:db8:1:2:3::4]:80", "2001:db8:1:2::/64"),
    ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("2001:db8:ffff::1", "198.51.100.1", "198.51.100.1"),
    ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"),
    ("::ffff:192.0.2.1", "", "192.0.2.1"),
    ("fe80::1%eth0", "", "fe80::/64"),
    ("", "", "local"),
    ("nonsense", "198.51.100.1", "local"),
])
def test_the_client_behind_a_request(remote: str, forwarded: str, client: str) -> None:
    """Proxies are believed from the right, as long as each of them is trusted."""
    assert client_of(remote, forwarded, TRUSTED) == client


def test_endless_lists_of_proxies_are_not_read() -> None:
    """The walk is bounded, whatever stands in the header."""
    forwarded = ",".join(["198.51.100.1", *["10.1.1.1"] * HOPS_MAX])
    assert client_of("10.0.0.1", forwarded, TRUSTED) == "10.1.1.1"
    assert client_of("10.0.0.1", "," * 60_000 + "198.51.100.1", TRUSTED) == "198.51.100.1"


@given(st.text(max_size=60), st.text(max_size=200))
def test_no_header_breaks_it(remote: str, forwarded: str) -> None:
    """Whatever a peer sends, there is a name, and it is short."""
    assert 0 < len(client_of(remote, forwarded, TRUSTED)) <= 64
    assert 0 < len(client_of("10.0.0.1", forwarded, TRUSTED)) <= 64


def test_the_nearest_limit_is_told() -> None:
    """Least left first; of two that are used up, the one that takes longer."""
    def told(allowed: bool, minute: int, hour: int) -> tuple[int, int]:
        verdict = judge(LIMITS, Counted(allowed, (Window(minute, 10.0), Window(hour, 900.0))))
        return verdict.limit.window_s, verdict.remaining

    assert told(True, 1, 1) == (60, 2)
    assert told(True, 1, 4) == (3600, 1)
    assert told(False, 3, 4) == (60, 0)
    assert told(False, 3, 5) == (3600, 0)
    assert told(False, 7, 4) == (60, 0)
    assert in_force(per_minute=0, per_hour=0) == ()


def counted(allowed: bool, *windows: tuple[int, float]) -> Counted:
    """What Redis says."""
    return Counted(allowed, tuple(Window(used, left_s) for used, left_s in windows))


def used(found: Counted) -> list[int]:
    """The counts alone."""
    return [window.used for window in found.windows]


def test_memory_knows_what_other_controllers_counted() -> None:
    """When Redis is lost, this controller goes on from what all counted together."""
    clock = HandClock()
    memory = MemoryCounters(clock)
    found = memory.merge("a", LIMITS, counted(True, (2, 30.0), (4, 900.0)), clock.now_s)
    assert (found.allowed, used(found)) == (True, [2, 4])
    lost = memory.hit("a", LIMITS)
    assert (lost.allowed, used(lost)) == (True, [3, 5])
    assert not memory.hit("a", LIMITS).allowed
    clock.now_s += 31
    assert not memory.hit("a", LIMITS).allowed  # The hour is used up.
    clock.now_s += 900
    assert memory.hit("a", LIMITS).allowed


def test_a_redis_that_lost_its_data_gives_nobody_more() -> None:
    """Windows that begin anew in Redis go on here until their end."""
    clock = HandClock()
    memory = MemoryCounters(clock)
    memory.merge("a", LIMITS, counted(True, (2, 30.0), (2, 900.0)), clock.now_s)
    clock.now_s += 1
    after = memory.merge("a", LIMITS, counted(True, (1, 60.0), (1, 3600.0)), clock.now_s)
    assert (after.allowed, used(after)) == (True, [3, 3])
    assert after.windows[0].left_s == 29.0
    assert not memory.look("a", LIMITS).allowed
    refused = memory.merge("a", LIMITS, counted(True, (2, 60.0), (2, 3600.0)), clock.now_s)
    assert (refused.allowed, used(refused)) == (False, [3, 3])
    clock.now_s += 30
    again = memory.merge("a", LIMITS, counted(True, (1, 60.0), (3, 3570.0)), clock.now_s)
    assert (again.allowed, used(again)) == (True, [1, 4])


def test_redis_refuses_for_all() -> None:
    """What others used up is used up here, and refusals are not counted."""
    clock = HandClock()
    memory = MemoryCounters(clock)
    for _ in range(2):
        found = memory.merge("a", LIMITS, counted(False, (3, 20.0), (4, 900.0)), clock.now_s)
        assert (found.allowed, used(found)) == (False, [3, 4])
    clock.now_s += 21
    assert used(memory.hit("a", LIMITS)) == [1, 5]


STEPS = st.lists(st.tuples(
    st.floats(0.0, 40.0), st.sampled_from(["hit", "redis", "flushed", "refused", "back"])),
    max_size=60)


@given(STEPS)
def test_no_window_ever_lets_more_through(steps: Sequence[tuple[float, str]]) -> None:
    """Whatever Redis says or forgets, no window of this memory has more than its limit."""
    clock = HandClock()
    memory = MemoryCounters(clock)
    passed, began_s = 0, clock.now_s
    limits = (Limit(3, 60),)
    for gap_s, step in steps:
        clock.now_s += gap_s
        if clock.now_s >= began_s + 60 or not passed:
            passed, began_s = 0, clock.now_s
        left_s = began_s + 60 - clock.now_s
        if step == "back":
            memory.give_back("a", limits)
            passed = max(0, passed - 1)
            continue
        if step == "hit":
            found = memory.hit("a", limits)
        else:
            says = {"redis": counted(passed < 3, (min(3, passed + 1), left_s)),
                    "flushed": counted(True, (1, left_s)),
                    "refused": counted(False, (passed, left_s))}[step]
            found = memory.merge("a", limits, says, clock.now_s)
        passed += found.allowed
        assert passed <= 3
        assert found.windows[0].used <= 3


def test_a_mark_holds_for_one_path_and_some_minutes() -> None:
    """With a secret; another path, secret, time or form is no mark."""
    clock = HandClock()
    mark = RelayMark("a secret", clock)
    made = mark.headers("/x")[HEADER]

    def good(text: str, path: str = "/x") -> bool:
        return mark.is_valid(text, path, remote="192.0.2.1", proxied=True)

    assert good(made)
    assert not good(made, "/y")
    assert not good(f"{made}0")
    assert not good(made.replace("1000.", "1001."))
    assert not good("²." + made.partition(".")[2])
    assert not good("1")
    assert not RelayMark("another", clock).is_valid(made, "/x", remote="::1", proxied=False)
    clock.now_s += AGE_MAX_S - 1
    assert good(made)
    clock.now_s += 2
    assert not good(made)


def test_a_watch_sees_loss_and_return() -> None:
    """Down before the first answer, up with it, and down by itself."""
    answers = False

    def ask() -> None:
        if not answers:
            raise NoAnswer("it sleeps")

    watch = Watch("it", ask, HandClock())
    assert not watch.up
    watch.start()
    try:
        until("it was asked", lambda: watch.latest.reason == "it sleeps", 30.0)
        answers = True
        until("it answers", lambda: watch.up, 30.0)
        assert watch.latest.response_time_ms is not None
        answers = False
        until("the thread finds out by itself", lambda: not watch.up, 30.0)
        answers = True
        until("it answers again", lambda: watch.up, 30.0)
    finally:
        watch.stop()


def test_who_gets_no_answer_tells_the_watch() -> None:
    """It is down from then on, until it was asked again."""
    watch = Watch("it", lambda: None, HandClock())
    watch._look()
    watch.lost("no longer")
    watch.lost("still not")
    assert (watch.up, watch.latest.reason) == (False, "no longer")
    watch._look()
    assert watch.up
