"""One suite for the workers: threads, and their stand-in in virtual time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cluster.control.workers import Outcome, ThreadWorkers, Workers
from tests.sim.network import SimClock
from tests.sim.parts import SimWorkers

LANES = {"slow": 2, "other": 1}
DEADLINE_S = 60.0


class Bench:
    """Workers, and a way to let their jobs finish."""

    def __init__(self, workers: Workers, finish: Callable[[Callable[[], bool]], None]) -> None:
        self.workers = workers
        self.finish = finish
        self.outcomes: list[Outcome] = []

    def start(self, lane: str, key: str, job: Callable[[], Any]) -> bool:
        """Start a job whose outcome is kept."""
        return self.workers.start(lane, key, job, self.outcomes.append)


@pytest.fixture(params=["threads", "simulated"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Both kinds."""
    if request.param == "threads":
        threads = ThreadWorkers(lambda: None, LANES)

        def finish(done: Callable[[], bool]) -> None:
            until_s = time.monotonic() + DEADLINE_S
            while not done():
                assert time.monotonic() < until_s, "the jobs do not end"
                threads.drain()
                time.sleep(0.002)

        yield Bench(threads, finish)
        threads.stop()
        return
    clock = SimClock()
    simulated = SimWorkers(clock, random.Random(1), lanes=LANES)

    def pass_time(done: Callable[[], bool]) -> None:
        for _ in range(1000):
            if done():
                return
            clock.now_s += 0.01
            simulated.drain()
        raise AssertionError("the jobs do not end")

    yield Bench(simulated, pass_time)


def test_outcomes_are_delivered_by_drain(bench: Bench) -> None:
    """A value and a failure both arrive, in the thread that drains."""
    seen: list[int] = []

    def fail() -> None:
        raise ValueError("no")

    def note(outcome: Outcome) -> None:
        seen.append(threading.get_ident())
        bench.outcomes.append(outcome)

    assert bench.workers.start("slow", "a", lambda: 42, note)
    assert bench.workers.start("slow", "b", fail, note)
    bench.finish(lambda: len(bench.outcomes) == 2)
    assert {outcome.value for outcome in bench.outcomes} == {42, None}
    assert [type(o.error) for o in bench.outcomes if o.error] == [ValueError]
    assert set(seen) == {threading.get_ident()}


def test_one_job_for_each_key(bench: Bench) -> None:
    """A key that runs is refused, and free again once its outcome was delivered."""
    assert bench.start("slow", "app:1", lambda: 1)
    assert not bench.start("slow", "app:1", lambda: 2)
    assert bench.workers.running("app:") == 1
    assert bench.workers.running("app:1") == 1
    bench.finish(lambda: len(bench.outcomes) == 1)
    assert bench.workers.running("app:") == 0
    assert bench.start("slow", "app:1", lambda: 3)
    bench.finish(lambda: len(bench.outcomes) == 2)


def test_a_full_lane_refuses_and_keeps_no_queue(bench: Bench) -> None:
    """Two fit in the lane; the other lane is not affected."""
    assert bench.start("slow", "a", lambda: 1)
    assert bench.start("slow", "b", lambda: 2)
    assert not bench.start("slow", "c", lambda: 3)
    assert bench.start("other", "d", lambda: 4)
    bench.finish(lambda: len(bench.outcomes) == 3)
    assert sorted(outcome.value for outcome in bench.outcomes) == [1, 2, 4]


def test_nothing_starts_after_stop() -> None:
    """A stopped pool refuses, so that nothing acts after the lease was given up."""
    workers = ThreadWorkers(lambda: None, LANES)
    workers.stop()
    assert not workers.start("slow", "a", lambda: 1, lambda outcome: None)


def test_a_result_that_cannot_be_used_does_not_stop_the_others() -> None:
    """`done` that raises is logged; the next outcome is delivered."""
    workers = ThreadWorkers(lambda: None, LANES)
    got: list[Any] = []

    def broken(outcome: Outcome) -> None:
        raise RuntimeError("cannot use it")

    try:
        workers.start("slow", "a", lambda: 1, broken)
        workers.start("slow", "b", lambda: 2, lambda outcome: got.append(outcome.value))
        until_s = time.monotonic() + DEADLINE_S
        while not got and time.monotonic() < until_s:
            workers.drain()
        assert got == [2]
        assert workers.running("") == 0 or workers.drain()
    finally:
        workers.stop()
