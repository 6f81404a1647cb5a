"""The lines of what runs once: live, to their end, and what is kept of them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from api.replica_logs import LogReader, Reading
from api.run_lines import KEPT, with_kept
from api.streams.hub import Hub
from api.streams.logs import Asked, Logs, LogsFeed
from api.streams.peer import Peer
from cluster.clock import SystemClock
from cluster.engine.base import EngineError, LogLine, RunRequest
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state.commands import (
    CancelRun,
    EndRun,
    RegisterApp,
    RequestRun,
    StepRun,
    TriggerJob,
)
from cluster.state.model import Run
from cluster.state.readable import readable
from tests.unit.live.test_follow import Watcher, World, close, until
from tests.unit.test_runs import job

NIGHTLY = json.dumps(job())


class Runs(World):
    """A shop with one replica, a job, and their runs."""

    def __init__(self) -> None:
        super().__init__()
        self.engine.behaviours["app:1"] = ImageBehaviour(run_s=None)
        self.app("shop", 1)
        self.submit(RegisterApp("tick", NIGHTLY, 0))

    def ask(self, command: Any) -> int:
        """The id of another run, which waits."""
        self.submit(command)
        return max(run.id for run in self.log.state().runs.values())

    def begin(self, run: int, app: str = "shop") -> str:
        """Its container runs, and the leader has noted it."""
        made = self.engine.run(RunRequest("c" * 32, app, 0, 1, 1, "app:1", run=run))
        self.submit(StepRun(run, made.id, made.name, made.started_at_ms))
        return made.id

    def end(self, run: int, container: str, code: int = 0, *lines: str) -> None:
        """It has ended; its container stays."""
        self.engine.kill(container)
        self.submit(EndRun(run, "failed" if code else "succeeded", code, "", lines, container))

    def say_of(self, container: str, *texts: str) -> None:
        self.engine.say(container, *(text.encode() for text in texts))


@pytest.fixture
def world() -> Iterator[Runs]:
    made = Runs()
    yield made
    close(made)


def test_a_run_is_followed_from_before_its_container_to_its_end(world: Runs) -> None:
    """By its name; nobody else's lines are among them, nor are they among the replicas'."""
    run = world.ask(RequestRun("shop", ("work",), 60))
    name = f"shop-run-{run}"
    one, replicas = Watcher(world, container=name), Watcher(world)
    container = world.begin(run)
    assert not one.subscription.has_read(container)
    world.say_of(container, "a", "b")
    world.say("shop", 1, "of the replica")
    one.wait_for(name, "a", "b")
    world.say_of(container, "c")
    world.end(run, container)
    until(lambda: one.subscription.has_read(container))
    assert one.said(name) == ["a", "b", "c"]
    replicas.wait_for("shop-1", "of the replica")
    assert {who for who, _ in one.got} == {name}
    assert {who for who, _ in replicas.got} == {"shop-1"}
    late = Watcher(world, container=container[:12])
    late.wait_for(name, "a", "b", "c")


def test_a_job_is_followed_over_its_runs(world: Runs) -> None:
    """Without a name: all of them, those that come as well."""
    first = world.ask(TriggerJob("tick", 60, 0))
    container = world.begin(first, "tick")
    watcher = Watcher(world, "tick")
    world.say_of(container, "one")
    watcher.wait_for(f"tick-run-{first}", "one")
    world.end(first, container)
    second = world.ask(TriggerJob("tick", 60, 0))
    world.say_of(world.begin(second, "tick"), "two")
    watcher.wait_for(f"tick-run-{second}", "two")
    state = world.log.state()
    assert {one.name for one in readable(state, state.apps["tick"], None)} == {
        f"tick-run-{first}", f"tick-run-{second}"}


class _Hub:
    """Carries out at once what the hub does later."""

    def __init__(self) -> None:
        self.looks: list[Callable[[float], None]] = []

    def watch(self, call: Callable[[float], None]) -> None:
        self.looks.append(call)

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        call(*args)

    def work(self, job: Callable[[], Any], done: Callable[..., None], **_: Any) -> None:
        done(job(), None)


class _Peer:
    """A client that reads all, or nothing while it is busy."""

    def __init__(self) -> None:
        self.busy = False
        self.got: list[Any] = []
        self.closed: tuple[int, str] | None = None

    def send(self, messages: list[Any]) -> None:
        self.got += messages

    send_past = send

    def said(self) -> list[str]:
        """The lines that came."""
        return [json.loads(one.data)["message"] for one in self.got]

    def close(self, code: int, reason: str) -> None:
        self.closed = code, reason


def streamed(world: Runs, run: int) -> tuple[_Hub, _Peer, LogsFeed]:
    """A stream of one run."""
    hub, peer = _Hub(), _Peer()
    logs = Logs(cast(Hub, hub), world.source, LogReader(lambda: world.engine), SystemClock(),
                world.log.state)
    begin = logs.feed(Asked("shop", f"shop-run-{run}", run, tail=10))
    feed = begin(cast(Hub, hub), cast(Peer, peer))
    assert isinstance(feed, LogsFeed)
    return hub, peer, feed


def test_a_stream_of_a_run_ends_with_it(world: Runs) -> None:
    """After the last line was sent, and not while the client is behind."""
    run = world.ask(RequestRun("shop", ("work",), 60))
    hub, peer, _ = streamed(world, run)
    hub.looks[0](0)
    container = world.begin(run)
    world.say_of(container, "done")
    world.end(run, container)
    peer.busy = True
    until(lambda: len(peer.got) == 3)
    hub.looks[0](0)
    assert peer.closed is None
    peer.busy = False

    def ended() -> bool:
        hub.looks[0](0)
        return peer.closed is not None

    until(ended)
    assert peer.closed == (1000, f"run {run} is over")


def test_a_stream_of_a_run_that_never_began_ends_too(world: Runs) -> None:
    """There is nothing to wait for."""
    run = world.ask(RequestRun("shop", ("work",), 60))
    hub, peer, _ = streamed(world, run)
    world.submit(CancelRun("shop", run))
    hub.looks[0](0)
    assert peer.closed is None
    world.submit(EndRun(run, "cancelled"))
    hub.looks[0](0)
    assert peer.closed == (1000, f"run {run} is over")


def test_a_stream_that_joins_others_misses_nothing(world: Runs) -> None:
    """What came between its request and its turn was told to the others already."""
    hub, first, second = cast(Hub, _Hub()), _Peer(), _Peer()
    logs = Logs(hub, world.source, LogReader(lambda: world.engine), SystemClock(),
                world.log.state)
    asked = Asked("shop", "shop-1")
    logs.feed(asked)(hub, cast(Peer, first))
    at_ns = time.time_ns() + 5 * 10**6
    world.say("shop", 1, "before", at_ns=at_ns)
    until(lambda: first.said() == ["before"] and time.time_ns() > at_ns + 10**6)
    begin = logs.feed(asked)
    world.say("shop", 1, "between", at_ns=at_ns + 10**9)
    until(lambda: first.said() == ["before", "between"])
    begin(hub, cast(Peer, second))
    world.say("shop", 1, "after", at_ns=at_ns + 10**9)
    until(lambda: "after" in second.said())
    assert second.said() == ["between", "after"]


def over(**parts: Any) -> Run:
    """A run that is over."""
    return Run(7, "shop", "run", 1, 60, 0, **{
        "phase": "failed", "container_id": "x", "ended_at_ms": 2_000, "lines": ("a", "ERROR b"),
        **parts})


def gone() -> Reading:
    """What a reader says of a container that is not there."""
    return Reading(unavailable={"shop-run-7": EngineError("gone", "container x is gone")})


@pytest.mark.parametrize(("run", "found", "lines", "why"), [
    (over(), gone(), ["a", "ERROR b"], KEPT),
    (over(lines=()), gone(), [], "its container is gone, and no line of it was kept"),
    (over(container_id="", lines=(), reason="no such image"), Reading(), [],
     "it had no container: no such image"),
    (over(phase="waiting", container_id="", lines=()), Reading(), [], "it waits for its turn"),
    (over(), Reading([("shop-run-7", LogLine(1, "stdout", "whole"))], 1), ["whole"], None),
])
def test_what_is_kept_of_a_run(
    run: Run, found: Reading, lines: list[str], why: str | None
) -> None:
    """Told in place of what its container cannot say any more, with the reason."""
    shown = with_kept(found, [run], named=True, tail=10, since_ns=0, keep=None)
    assert [line.text for _, line in shown.lines] == lines
    assert [error.reason for error in shown.unavailable.values()] == ([why] if why else [])


def test_kept_lines_are_chosen_like_all_others() -> None:
    """By number, time and level; of a job nothing is said of each run that is gone."""
    run = over()
    some = with_kept(gone(), [run], named=False, tail=1, since_ns=0, keep=None)
    assert [line.text for _, line in some.lines] == ["ERROR b"]
    assert (some.total, some.cut, some.unavailable) == (2, True, {})
    late = with_kept(gone(), [run], named=True, tail=10, since_ns=3 * 10**9, keep=None)
    assert (late.lines, late.total) == ([], 0)
    bad = with_kept(gone(), [run], named=True, tail=10, since_ns=0,
                    keep=lambda line: line.text.startswith("ERROR"))
    assert [line.text for _, line in bad.lines] == ["ERROR b"]
