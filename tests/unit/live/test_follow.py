"""LogSource: one reading for all, nothing lost, nothing twice, nothing left behind."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cluster.clock import SystemClock
from cluster.consensus.local_log import LocalLog
from cluster.engine.base import Container, LogLine, RunRequest
from cluster.engine.fake import FakeEngine
from cluster.live import follow
from cluster.live.follow import LogSource, Subscription, TooManyFollowed
from cluster.state.commands import RegisterApp, ReportApp, Stamp, StartApp
from cluster.state.model import Replica
from orchestry.spec.parse import canonical
from tests.api.support import spec

DEADLINE_S = 20.0


class CountingEngine(FakeEngine):
    """Counts who is read how often."""

    def __init__(self) -> None:
        super().__init__(SystemClock())
        self.readings: list[str] = []

    def follow(
        self, container_id: str, *, since_ns: int, stop: threading.Event
    ) -> Iterator[LogLine]:
        self.readings.append(container_id)
        return super().follow(container_id, since_ns=since_ns, stop=stop)


class World:
    """Apps whose replicas run in a fake engine and are reported in a log of one."""

    def __init__(self) -> None:
        self.engine = CountingEngine()
        self.log = LocalLog()
        self.source = LogSource(self.engine, self.log, SystemClock())
        self.running: dict[str, dict[int, Container]] = {}

    def submit(self, command: Any) -> None:
        self.log.submit(command, Stamp(time.time_ns() // 1_000_000, "local"))

    def app(self, name: str, *slots: int) -> None:
        """Register `name` and run these slots."""
        self.submit(RegisterApp(name, canonical(spec(name)), 1))
        self.submit(StartApp(name))
        self.running[name] = {}
        for slot in slots:
            self.start(name, slot)

    def start(self, name: str, slot: int, revision: int = 1) -> Container:
        request = RunRequest("c" * 32, name, slot, revision, 1, "app:1")
        self.running[name][slot] = self.engine.run(request)
        self.report(name)
        return self.running[name][slot]

    def remove(self, name: str, slot: int) -> None:
        self.engine.stop(self.running[name].pop(slot).id, grace_s=0)
        self.report(name)

    def report(self, name: str, phase: Any = "running", started_at_ms: int = 0) -> None:
        revision = self.log.state().apps[name].revision
        self.submit(ReportApp(name, revision, tuple(
            Replica(slot, revision, c.id, c.name, c.ip, 80, phase, "healthy",
                    started_at_ms=started_at_ms or c.started_at_ms)
            for slot, c in sorted(self.running[name].items())
        )))

    def say(self, name: str, slot: int, *texts: str, at_ns: int | None = None) -> None:
        self.engine.say(self.running[name][slot].id, *(t.encode() for t in texts), at_ns=at_ns)


class Watcher:
    """Somebody who subscribes and keeps what comes."""

    def __init__(
        self, world: World, app: str = "shop", container: str | None = None, since_ns: int = 0
    ) -> None:
        self.got: list[tuple[str, LogLine]] = []
        self.batches = 0
        self.subscription: Subscription = world.source.subscribe(
            app, container, self._take, since_ns=since_ns)

    def _take(self, lines: Sequence[tuple[str, LogLine]]) -> None:
        self.batches += 1
        self.got += lines

    def said(self, name: str) -> list[str]:
        """What a replica said, without the lines of its start."""
        return [line.text for replica, line in self.got
                if replica == name and not _of_the_start(line)]

    def wait_for(self, name: str, *texts: str) -> None:
        until(lambda: self.said(name) == list(texts), lambda: f"{name}: {self.said(name)}")


def _of_the_start(line: LogLine) -> bool:
    return line.text.startswith("listening as") or line.text == "this line goes to stderr"


def until(holds: Callable[[], bool], what: Callable[[], str] = lambda: "it does not hold") -> None:
    """Wait until it holds, at most DEADLINE_S."""
    tick = threading.Event()
    for _ in range(int(DEADLINE_S / 0.02)):
        if holds():
            return
        tick.wait(0.02)
    pytest.fail(what())


def live_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("live-log")]


def close(world: World) -> None:
    """Leave no thread behind, which other tests would count."""
    world.source.close()
    until(lambda: not live_threads(), lambda: f"threads are left: {live_threads()}")


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    close(made)


def test_all_replicas_from_a_time_on(world: World) -> None:
    """Lines of every replica come, the earlier ones only if they were asked for."""
    world.app("shop", 1, 2)
    world.app("other", 1)
    past_ns = 10**18
    world.say("shop", 1, "old", at_ns=past_ns)
    world.say("shop", 1, "new", at_ns=past_ns + 1)
    world.say("other", 1, "not ours")
    watcher = Watcher(world, since_ns=past_ns)
    watcher.wait_for("shop-1", "new")
    world.say("shop", 2, "two")
    watcher.wait_for("shop-2", "two")
    assert {name for name, _ in watcher.got} == {"shop-1", "shop-2"}
    assert sum(_of_the_start(line) for _, line in watcher.got) == 4


def test_one_reading_for_many_subscribers(world: World) -> None:
    """Fifty who watch from now on cost one reading, and get the same."""
    world.app("shop", 1)
    now_ns = time.time_ns() + 10**9
    watchers = [Watcher(world, since_ns=now_ns) for _ in range(50)]
    until(lambda: bool(world.engine.readings))
    world.say("shop", 1, "a", "b", at_ns=now_ns + 1)
    for watcher in watchers:
        watcher.wait_for("shop-1", "a", "b")
    assert len(world.engine.readings) == 1
    for watcher in watchers[1:]:
        watcher.subscription.close()
    world.say("shop", 1, "c", at_ns=now_ns + 2)
    watchers[0].wait_for("shop-1", "a", "b", "c")
    assert watchers[1].said("shop-1") == ["a", "b"]
    assert len(world.engine.readings) == 1


def test_who_comes_late_gets_what_was_and_the_others_nothing_twice(world: World) -> None:
    """An earlier beginning reads the container anew, from there; equal times are counted."""
    world.app("shop", 1)
    at_ns = 2 * 10**18
    early = Watcher(world, since_ns=at_ns - 1)
    world.say("shop", 1, "a", "b", "c", at_ns=at_ns)
    early.wait_for("shop-1", "a", "b", "c")
    late = Watcher(world, since_ns=at_ns - 1)
    late.wait_for("shop-1", "a", "b", "c")
    world.say("shop", 1, "d", at_ns=at_ns)
    for watcher in (early, late):
        watcher.wait_for("shop-1", "a", "b", "c", "d")
    from_here = Watcher(world, since_ns=at_ns)
    world.say("shop", 1, "e", at_ns=at_ns + 1)
    from_here.wait_for("shop-1", "e")
    early.wait_for("shop-1", "a", "b", "c", "d", "e")
    assert len(world.engine.readings) == 2, "who needs nothing old joins the reading under way"


def test_replicas_come_and_go(world: World) -> None:
    """A new one is read from its start, one that goes to its end, and then left."""
    world.app("shop", 1)
    watcher = Watcher(world, since_ns=time.time_ns() + 10**12)
    request = RunRequest("c" * 32, "shop", 2, 1, 1, "app:1")
    second = world.engine.run(request)
    world.engine.say(second.id, b"said before it was reported")
    world.start("shop", 2)
    watcher.wait_for("shop-2", "said before it was reported")
    world.say("shop", 2, *map(str, range(500)))
    world.remove("shop", 2)
    watcher.wait_for("shop-2", "said before it was reported", *map(str, range(500)))
    until(lambda: len(live_threads()) == 2)
    third = world.start("shop", 2, revision=2)
    world.say("shop", 2, "again")
    watcher.wait_for(
        "shop-2", "said before it was reported", *map(str, range(500)), "again")
    assert third.id != second.id


def test_a_container_that_ended_is_read_once(world: World) -> None:
    """An exited replica that stays reported is not read again and again, but when it restarts."""
    world.app("shop", 1)
    world.say("shop", 1, "last words")
    world.engine.kill(world.running["shop"][1].id)
    world.report("shop", "exited")
    watcher = Watcher(world)
    watcher.wait_for("shop-1", "last words")
    until(lambda: len(live_threads()) == 1)
    for _ in range(3):
        world.report("shop", "exited")
        world.report("shop", "running")
    other = Watcher(world)
    other.wait_for("shop-1", "last words")
    until(lambda: len(live_threads()) == 1)
    assert len(world.engine.readings) == 2
    world.say("shop", 1, "back", at_ns=time.time_ns() + 10**9)
    world.report("shop", "running", started_at_ms=1)
    for one in (watcher, other):
        one.wait_for("shop-1", "last words", "back")


def test_one_replica_only(world: World) -> None:
    """By its name, also when another container takes its place, or by its container's id."""
    world.app("shop", 1, 2)
    by_name = Watcher(world, container="shop-2")
    by_id = Watcher(world, container=world.running["shop"][1].id[:12])
    world.say("shop", 1, "one")
    world.say("shop", 2, "two")
    by_name.wait_for("shop-2", "two")
    by_id.wait_for("shop-1", "one")
    world.remove("shop", 2)
    world.start("shop", 2, revision=2)
    world.say("shop", 2, "anew")
    by_name.wait_for("shop-2", "two", "anew")
    assert {name for name, _ in by_name.got} == {"shop-2"}
    assert {name for name, _ in by_id.got} == {"shop-1"}


def test_an_engine_that_fails_costs_no_line(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings break off at any time and go on: lines come once, those of one time too."""
    monkeypatch.setattr(follow, "BACKOFF_FIRST_S", 0.02)
    monkeypatch.setattr(follow, "BACKOFF_LAST_S", 0.05)
    world.app("shop", 1, 2)
    watcher = Watcher(world)
    expected, now_ns = [], time.time_ns()
    for number in range(30):
        begun = len(world.engine.readings)
        world.engine.down = number % 3 == 1
        if number % 5 == 2:
            world.engine.fail_next("timeout")
        text, at_ns = f"line {number}", now_ns + (number // 4 + 1) * 10**9
        world.say("shop", 1, text, at_ns=at_ns)
        world.say("shop", 2, text, at_ns=at_ns)
        expected.append(text)
        if world.engine.down:
            until(lambda begun=begun: len(world.engine.readings) > begun)  # type: ignore[misc]
        else:
            time.sleep(0.01)
    world.engine.down = False
    watcher.wait_for("shop-1", *expected)
    watcher.wait_for("shop-2", *expected)


def test_nobody_is_followed_when_nobody_subscribes(world: World) -> None:
    """Closing the last subscription ends all threads, and the next one begins anew."""
    world.app("shop", 1, 2, 3)
    assert live_threads() == []
    for _ in range(3):
        one, two = Watcher(world), Watcher(world, container="shop-2")
        until(lambda: len(live_threads()) >= 4)
        one.subscription.close()
        two.subscription.close()
        two.subscription.close()
        until(lambda: not live_threads())
        assert not world.source._follows
        assert not world.source._pending


def test_limits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """More containers or subscriptions than allowed are refused with a reason; room is used."""
    monkeypatch.setattr(follow, "FOLLOWS_MAX", 2)
    monkeypatch.setattr(follow, "SUBSCRIPTIONS_MAX", 3)
    world.app("shop", 1, 2)
    world.app("other", 1)
    both = Watcher(world)
    with pytest.raises(TooManyFollowed, match="2 containers"):
        Watcher(world, "other")
    again = Watcher(world, container="shop-1")
    Watcher(world, "nobody")
    with pytest.raises(TooManyFollowed, match="3 clients"):
        Watcher(world)
    again.subscription.close()
    world.start("shop", 3)
    world.say("shop", 3, "waits for room")
    both.subscription.close()
    all_again = Watcher(world, container="shop-3")
    all_again.wait_for("shop-3", "waits for room")


def test_a_replica_beyond_the_limit_has_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes when all places are taken is read, from its start, when one is free."""
    monkeypatch.setattr(follow, "FOLLOWS_MAX", 1)
    monkeypatch.setattr(follow, "LOOK_AGAIN_S", 0.05)
    world.app("shop", 1)
    watcher = Watcher(world)
    world.start("shop", 2)
    world.say("shop", 2, "early")
    world.say("shop", 1, "one")
    watcher.wait_for("shop-1", "one")
    assert watcher.said("shop-2") == []
    world.remove("shop", 1)
    watcher.wait_for("shop-2", "early")


def test_lost_wake_ups_cost_only_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports are looked at again by and by, also if nobody says that they changed."""
    monkeypatch.setattr(follow, "LOOK_AGAIN_S", 0.05)
    world.app("shop")
    watcher = Watcher(world)
    world.log._listeners.clear()
    world.start("shop", 1)
    world.say("shop", 1, "hello")
    watcher.wait_for("shop-1", "hello")


def test_a_subscriber_that_fails_hurts_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It gets nothing more; one may also close itself while it gets lines."""
    world.app("shop", 1)
    calls = []

    def fail(lines: Sequence[tuple[str, LogLine]]) -> None:
        calls.append(len(lines))
        raise RuntimeError("no room")

    world.source.subscribe("shop", None, fail, since_ns=0)
    closing: list[Subscription] = []
    ready = threading.Event()

    def close(lines: Sequence[tuple[str, LogLine]]) -> None:
        ready.wait(DEADLINE_S)
        calls.append(len(lines))
        closing[0].close()

    closing.append(world.source.subscribe("shop", None, close, since_ns=0))
    ready.set()
    watcher = Watcher(world)
    world.say("shop", 1, "a")
    watcher.wait_for("shop-1", "a")
    until(lambda: len(calls) == 2)
    world.say("shop", 1, "b")
    watcher.wait_for("shop-1", "a", "b")
    assert len(calls) == 2
    assert "a subscriber to the logs of shop failed" in caplog.text


def test_what_waits_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a subscriber holds all up, readers wait instead of piling lines up."""
    monkeypatch.setattr(follow, "PENDING_LINES_MAX", 20)
    monkeypatch.setattr(follow, "BATCH_LINES_MAX", 10)
    world.app("shop", 1)
    held = threading.Event()
    got: list[str] = []

    def take(lines: Sequence[tuple[str, LogLine]]) -> None:
        held.wait(DEADLINE_S)
        got.extend(line.text for _, line in lines)

    world.source.subscribe("shop", None, take, since_ns=0)
    world.say("shop", 1, *map(str, range(900)))
    until(lambda: len(world.source._pending) == 20)
    held.set()
    until(lambda: len(got) == 902)
    assert got[2:] == [str(number) for number in range(900)]


def test_close_ends_everything(world: World) -> None:
    """A node that stops leaves no thread behind, whoever still subscribes."""
    world.app("shop", 1, 2)
    Watcher(world)
    Watcher(world)
    until(lambda: len(live_threads()) >= 3)
    world.source.close()
    until(lambda: not live_threads())
