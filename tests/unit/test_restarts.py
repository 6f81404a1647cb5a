"""Replicas that end: what the leader counts, tells, starts again, and leaves as it is."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from cluster.consensus.local_log import LocalLog
from cluster.engine.fake_parts import ImageBehaviour
from cluster.sealing import Keyring
from cluster.state import commands as c
from cluster.state.exits import Attempts
from cluster.state.model import App, EventRecord
from cluster.state.status import app_status, converged
from tests.sim.fleet_world import document
from tests.sim.parts import SimController
from tests.templates import key_of
from tests.unit.test_reconcile import Leader

KEY = b"k" * 32


def spec(policy: str = "Always", image: str = "shop:1", name: str = "shop", **parts: Any) -> str:
    """A document; `parts` are keys of its `spec`."""
    made = json.loads(document(
        name, image, minHealthySeconds=1, progressDeadlineSeconds=60))
    made["spec"] |= {"restartPolicy": policy, **parts}
    return json.dumps(made)


def begin(leader: Leader, text: str, replicas: int = 1, name: str = "shop") -> None:
    """Register and start."""
    leader.do(c.RegisterApp(name, text, 1, template_key=key_of(text)), c.StartApp(name, replicas))


def update(leader: Leader, text: str) -> None:
    """Another spec."""
    leader.do(c.UpdateApp("shop", text, key_of(text), 1))


def live(leader: Leader, seconds: float, step_s: float = 0.1) -> None:
    """Time in which the engine tells at once what ended, in two cases of three."""
    for _ in range(round(seconds / step_s)):
        leader.clock.now_s += step_s
        leader.engine.containers()
        leader.parts.driver.step()


def shop(leader: Leader) -> App:
    """The app."""
    return leader.log.state().apps["shop"]


def slot(leader: Leader, number: int = 1) -> Attempts:
    """What one of its slots has been through."""
    return next(one for one in shop(leader).attempts if one.slot == number)


def told(leader: Leader, text: str) -> list[EventRecord]:
    """The events with this in their message."""
    return [event for event in leader.log.state().events if text in event.message]


def runs(leader: Leader, app: str = "shop") -> list[float]:
    """When a replica of an app was started."""
    return [e.at_s for e in leader.engine.effects
            if e.verb == "run" and e.identity.startswith(f"{app}.")]


def successor(leader: Leader) -> SimController:
    """Another controller takes over from the state alone; the former one does nothing more."""
    leader.parts.crash()
    leader.parts = SimController(
        "c1", leader.log, leader.clock, random.Random(2), engine=leader.engine,
        ingress=leader.ingress)
    return leader.parts


def test_a_crash_loop_backs_off_and_is_told_of() -> None:
    """Status, next attempt, exit code, counters, and events with the last lines."""
    leader = Leader()
    leader.engine.behaviours["shop:1"] = ImageBehaviour(crash_after_s=0.5, exit_code=3)
    begin(leader, spec())
    live(leader, 60)
    app, one = shop(leader), slot(leader)
    assert app_status(app) == "error"
    assert (app.problem_code, one.looping) == ("CRASH_LOOP", True)
    assert "shop-1 is in a crash loop: it ended with exit code 3" in app.problem
    assert one.last is not None
    assert (one.last.reason, one.last.exit_code, one.last.signal) == ("exited", 3, "")
    assert app.failures == one.failures == app.reports[0].restarts == len(runs(leader))
    assert 0 < one.next_at_ms - leader.clock.wall_ms() <= 1.2 * 64_000
    gaps = [b - a for a, b in zip(runs(leader), runs(leader)[1:], strict=False)]
    assert gaps[3:] == sorted(gaps[3:])
    assert 5 <= len(runs(leader)) <= 9
    first, = told(leader, "shop-1 died")[:1]
    details = dict(first.details)
    assert "this line goes to stderr" in details["lines"]
    assert (details["reason"], details["exit_code"], details["in_a_row"]) == ("exited", 3, 1)
    loop, = told(leader, "is in a crash loop")[:1]
    assert dict(loop.details)["crash_loop"] is True
    assert dict(loop.details)["untold"] > 0


def test_the_first_failure_is_repaired_at_once() -> None:
    """A replica that ran well is back within a second, and a minute later all is forgiven."""
    leader = Leader()
    begin(leader, spec(), 2)
    live(leader, 10)
    victim = next(one for one in leader.engine.containers() if one.slot == 1)
    leader.engine.kill(victim.id, exit_code=139)
    died_s = leader.clock.now_s
    live(leader, 7)
    assert runs(leader)[-1] - died_s < 6.0  # when the hint is lost, the next look finds it
    assert "SIGSEGV" in told(leader, "died")[0].message
    assert slot(leader).in_a_row == 1
    live(leader, 80)
    assert slot(leader).in_a_row == 0
    assert (shop(leader).failures, shop(leader).problem) == (1, "")


def test_a_kill_for_want_of_memory_has_its_own_reason_event_and_counter() -> None:
    """As the engine tells it: the exit code alone would be that of any SIGKILL."""
    leader = Leader()
    begin(leader, spec())
    live(leader, 5)
    leader.engine.kill(leader.engine.containers()[0].id, oom=True)
    live(leader, 6)
    assert (shop(leader).failures, shop(leader).oom_kills) == (1, 1)
    event, = told(leader, "for want of memory")
    details = dict(event.details)
    assert (details["reason"], details["exit_code"]) == ("oom_killed", 137)


def test_counters_and_backoff_survive_a_change_of_leader() -> None:
    """The next one neither starts it early nor begins to count anew; no end counts twice."""
    leader = Leader()
    leader.engine.behaviours["shop:1"] = ImageBehaviour(crash_after_s=0.2)
    begin(leader, spec())
    live(leader, 20)
    while slot(leader).next_at_ms < leader.clock.wall_ms() + 6_000:
        live(leader, 0.2)
    before, count = slot(leader), len(runs(leader))
    successor(leader)
    live(leader, 4)
    assert slot(leader) == before
    assert len(runs(leader)) == count
    live(leader, (before.next_at_ms - leader.clock.wall_ms()) / 1000 + 8)
    assert slot(leader).failures == before.failures + 1
    assert slot(leader).in_a_row == before.in_a_row + 1


def test_an_end_that_no_leader_saw_counts_once() -> None:
    """The container died while nobody led."""
    leader = Leader()
    begin(leader, spec())
    live(leader, 5)
    leader.parts.crash()
    leader.engine.kill(leader.engine.containers()[0].id)
    leader.parts.engine = leader.engine  # type: ignore[attr-defined]
    leader.parts = SimController(
        "c1", leader.log, leader.clock, random.Random(2), engine=leader.engine,
        ingress=leader.ingress)
    live(leader, 5)
    assert (shop(leader).failures, len(leader.engine.containers())) == (1, 1)
    assert converged(shop(leader))


@pytest.mark.parametrize("policy", ["OnFailure", "Never"])
def test_a_replica_that_ended_well_is_finished(policy: str) -> None:
    """It is not replaced, also not when its container is removed, and is no problem."""
    leader = Leader()
    leader.engine.behaviours["shop:1"] = ImageBehaviour(crash_after_s=1.0, exit_code=0)
    begin(leader, spec(policy), 2)
    live(leader, 30)
    app = shop(leader)
    assert len(runs(leader)) == 2
    assert (app.failures, app.problem, app_status(app)) == (0, "", "stopped")
    assert converged(app)
    assert [one.over for one in app.attempts] == ["finished", "finished"]
    assert told(leader, "shop-1 has finished") or told(leader, "shop-2 has finished")
    leader.engine.stop(leader.engine.containers()[0].id, grace_s=0)
    live(leader, 10)
    assert len(runs(leader)) == 2
    leader.do(c.ScaleApp("shop", 3, 30))
    live(leader, 10)
    assert len(runs(leader)) == 3
    leader.do(c.ScaleApp("shop", 1, 30))
    live(leader, 10)
    assert len(runs(leader)) == 3
    assert converged(shop(leader))
    leader.do(c.RestartApp("shop"))
    live(leader, 30)
    assert len(runs(leader)) == 4
    assert (shop(leader).rollout, app_status(shop(leader))) == (None, "stopped")
    assert shop(leader).deployments[-1].phase == "done"


def test_on_failure_brings_back_what_failed() -> None:
    """With an exit code other than 0 it is as with Always."""
    leader = Leader()
    leader.engine.behaviours["shop:1"] = ImageBehaviour(crash_after_s=0.5, exit_code=1)
    begin(leader, spec("OnFailure"))
    live(leader, 20)
    assert slot(leader).looping
    assert len(runs(leader)) >= 5


def test_never_leaves_what_failed_and_says_so() -> None:
    """The app has a problem until its policy or its spec changes; its other replicas serve."""
    leader = Leader()
    begin(leader, spec("Never"), 2)
    live(leader, 5)
    leader.engine.kill(leader.engine.containers()[0].id, exit_code=7)
    live(leader, 20)
    app = shop(leader)
    assert len(runs(leader)) == 2
    assert (app_status(app), app.problem_code) == ("running", "REPLICA_FAILED")
    assert "restartPolicy Never: it ended with exit code 7" in app.problem
    live(leader, 30)
    assert len(runs(leader)) == 2
    update(leader, spec("Always"))
    live(leader, 10)
    assert len(runs(leader)) == 3
    assert (shop(leader).problem, converged(shop(leader))) == ("", True)


def test_a_crash_looping_update_is_rolled_back_before_its_deadline() -> None:
    """Five failures are enough; every moment all old replicas serve; backoff holds nothing up."""
    leader = Leader()
    leader.engine.behaviours["bad:1"] = ImageBehaviour(crash_after_s=0.3)
    begin(leader, spec(), 3)
    live(leader, 10)
    update(leader, spec(image="bad:1"))
    began_s = leader.clock.now_s
    while shop(leader).cause.startswith("updated") and (
        leader.clock.now_s < began_s + 80
    ):
        live(leader, 0.1)
        serving = [o for o in leader.engine.containers() if leader.engine.healthy(o)]
        assert len(serving) >= 3
    assert leader.clock.now_s - began_s < 45
    failed = told(leader, "failed:")[0]
    assert "crash loop" in failed.message
    assert dict(failed.details)["lines"]
    live(leader, 20)
    assert converged(shop(leader))
    assert shop(leader).problem == ""


def test_backoff_does_not_put_off_the_deadline_of_an_update() -> None:
    """A replica that comes and goes more slowly than a crash loop fails at the deadline."""
    leader = Leader()
    leader.engine.behaviours["slow:1"] = ImageBehaviour(crash_after_s=25.0, healthy=False)
    text = json.loads(spec(image="slow:1"))
    text["healthCheck"]["initialDelaySeconds"] = 100
    begin(leader, spec(), 2)
    live(leader, 10)
    update(leader, json.dumps(text))
    live(leader, 58)
    assert not told(leader, "failed:")
    live(leader, 10)
    assert "no progress in 60 s" in told(leader, "failed:")[0].message


def test_an_update_that_finishes_at_once_takes_no_replica_that_serves() -> None:
    """A broken image that ends with 0 under OnFailure would else leave nobody to serve."""
    leader = Leader()
    leader.engine.behaviours["done:1"] = ImageBehaviour(crash_after_s=0.3, exit_code=0)
    begin(leader, spec("OnFailure"), 2)
    live(leader, 10)
    update(leader, spec("OnFailure", image="done:1"))
    for _ in range(70):
        live(leader, 1)
        assert sum(leader.engine.healthy(o) for o in leader.engine.containers()) >= 2
    assert shop(leader).cause.startswith("rolled back")


def test_a_replica_in_a_crash_loop_is_no_capacity_for_the_autoscaler() -> None:
    """While it happens to run it is neither measured nor counted; so nothing is taken away."""
    leader = Leader()
    begin(leader, spec(), 2)
    live(leader, 10)
    for _ in range(5):
        victim = next(o for o in leader.engine.containers() if o.slot == 2)
        leader.engine.kill(victim.id)
        while not any(o.slot == 2 and leader.engine.healthy(o)
                      for o in leader.engine.containers()):
            live(leader, 0.5)
        live(leader, 3)
    assert slot(leader, 2).looping
    live(leader, 15)
    record = leader.parts.telemetry.records("shop")[-1]
    assert sum(leader.engine.healthy(o) for o in leader.engine.containers()) == 2
    assert record.decision.healthy == 1
    assert [sample.replica for sample in record.round.samples] == [
        o.id for o in leader.engine.containers() if o.slot == 1]


def test_the_lines_of_an_event_show_no_secret() -> None:
    """Neither one from the store nor a variable that is called like one; of bytes no harm."""
    leader = Leader()
    leader.parts.crash()
    leader.log = LocalLog("c1")
    leader.parts = SimController(
        "c1", leader.log, leader.clock, random.Random(1), engine=leader.engine,
        ingress=leader.ingress, keys=(KEY,))
    key_id, sealed = Keyring([KEY]).seal("db", 1, {"value": "correct-horse"})
    leader.do(c.SetSecret("db", 1, key_id, ("value",), sealed))
    begin(leader, spec(environment=[
        {"name": "DB", "source": "secret", "key": "db"},
        {"name": "API_TOKEN", "value": "tok-123456"}]))
    live(leader, 5)
    container = leader.engine.containers()[0]
    leader.engine.say(container.id, b"using correct-horse and tok-123456", b"\xff\x00\x1b[31m!")
    leader.engine.kill(container.id)
    live(leader, 7)
    lines = dict(told(leader, "died")[0].details)["lines"]
    assert "using ******** and ********" in lines
    assert all(line.isprintable() for line in lines)
    assert all("correct-horse" not in str(event) for event in leader.log.state().events)


def test_a_storm_of_failures_does_not_flood_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many apps in a crash loop for four minutes: entries and events stay few."""
    leader, apps = Leader(), 40
    leader.engine.behaviours["bad:1"] = ImageBehaviour(crash_after_s=0.2)
    for number in range(apps):
        name = f"app{number}"
        begin(leader, spec(image="bad:1", name=name), name=name)
    entries: list[float] = []
    submit = leader.log.submit

    def counted(command: c.Command, stamp: c.Stamp) -> Any:
        if not isinstance(command, c.RenewLease):
            entries.append(leader.clock.now_s)
        return submit(command, stamp)

    monkeypatch.setattr(leader.log, "submit", counted)
    first_event = leader.log.state().next_event_id
    live(leader, 120, step_s=0.25)
    first = len(entries)
    live(leader, 120, step_s=0.25)
    events = leader.log.state().next_event_id - first_event
    assert all(app.attempts[0].looping for app in leader.log.state().apps.values())
    assert events <= 60 * 4 + 60
    assert first < 30 * apps
    assert len(entries) - first < 8 * apps
