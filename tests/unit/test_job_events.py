"""Events of jobs by the clock: few, however often a job is due, and none that matters missing."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from cluster.state import commands as c
from cluster.state.model import GENERATION, EventRecord, Run
from cluster.state.runs import AHEAD_MAX
from cluster.state.step import RECENT_EVENTS_MAX
from tests.unit.test_rollout_steps import Shop
from tests.unit.test_runs import job

FIRST_MS = 1_000_000


class Clocked(Shop):
    """A job beside the shop, which is due whenever a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.do(c.RegisterApp("tick", json.dumps(job()), 0))
        # Stamps follow the index: no due time is in the future.
        self.state = replace(self.state, index=FIRST_MS)

    def fire(self, policy: Any = "Forbid", retries: int = 0) -> Run | None:
        """The run of the next due time, None where it is skipped."""
        app = self.state.apps["tick"]
        applied = self.do(c.FireJob(
            "tick", app.revision, max(app.due_ms, 10_000) + 1, policy, 60, retries))
        return self.state.runs[str(applied.get("run"))] if applied.get("run") else None

    def end(self, phase: Any, *lines: str) -> None:
        """All runs of the job that are not over end so."""
        for run in [one for one in self.state.runs.values() if not one.is_over]:
            self.do(c.EndRun(run.id, phase, 0 if phase == "succeeded" else 1,
                             "" if phase == "succeeded" else "exited with code 1", lines))

    def told(self) -> list[EventRecord]:
        """The events of the job, but for its registration."""
        return [one for one in self.state.events
                if one.app == "tick" and "registered" not in one.message]


def test_a_job_that_succeeds_each_minute_tells_so_once() -> None:
    """The first time, and again after anything else; other events stay."""
    shop = Clocked()
    before = [event for event in shop.state.events if event.app == "shop"]
    for _ in range(RECENT_EVENTS_MAX + 10):
        shop.fire()
        shop.end("succeeded")
    assert [one.message.split(" ", 2)[2] for one in shop.told()] == ["succeeded"]
    assert [event for event in shop.state.events if event.app == "shop"] == before
    shop.fire()
    shop.end("failed", "no such table")
    shop.fire()
    shop.end("succeeded")
    shop.fire()
    shop.end("succeeded")
    assert [one.message.split(" ", 2)[2] for one in shop.told()] == [
        "succeeded", "failed: exited with code 1", "succeeded"]


def test_failures_are_all_told_and_their_lines_once() -> None:
    """Lines of later ones are with their runs; attempts in between make no event."""
    shop = Clocked()
    for _ in range(3):
        shop.fire(retries=2)
        for _ in range(3):
            shop.end("failed", "no such table")
    told = shop.told()
    assert [one.type for one in told] == ["error"] * 4
    lines = [dict(one.details).get("lines") for one in told]
    assert lines == [("no such table",), None, None, None]
    assert told[0].message.endswith("; attempts left: 2")
    assert all(run.lines == ("no such table",) for run in shop.state.runs.values())


def test_what_blocks_a_job_for_long_is_told_once() -> None:
    """And the next one that does, too."""
    shop = Clocked()
    blocking = shop.fire()
    assert blocking is not None
    for _ in range(50):
        assert shop.fire() is None
    (one,) = shop.told()
    assert one.message == (
        f"Job skipped: run {blocking.id}, the one before, still runs; it is told once")
    shop.end("succeeded")
    shop.fire()
    assert shop.fire() is None
    assert sum("skipped" in one.message for one in shop.told()) == 2


def test_requested_runs_tell_their_begin_and_their_end() -> None:
    """Each time: somebody asked for it."""
    shop = Clocked()
    for _ in range(2):
        shop.do(c.TriggerJob("tick", 60, 0))
        shop.end("succeeded")
    assert [one.message.split(" ", 2)[2] for one in shop.told()] == ["requested", "succeeded"] * 2


def test_ids_of_runs_grow_and_are_given_once() -> None:
    """Also across a rescue, and when there are far more runs than events."""
    shop = Clocked()
    ids = []
    for _ in range(20):
        run = shop.fire()
        assert run is not None
        ids.append(run.id)
        shop.end("succeeded")
    shop.do(c.TriggerJob("tick", 60, 0))
    ids.append(shop.state.last_run_id)
    assert ids == sorted(set(ids))
    shop.end("succeeded")
    shop.state = replace(shop.state, last_run_id=shop.state.next_event_id + AHEAD_MAX)
    run = shop.fire()
    assert run is not None
    assert shop.state.next_event_id % GENERATION == 0
    assert shop.state.next_event_id > run.id > ids[-1]
    shop.do(c.ChangeMembers(shop.state.members_index, (("n1", "n1:1"),), rescue=True))
    assert shop.state.next_event_id > shop.state.last_run_id
