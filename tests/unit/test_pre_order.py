"""The job before a deployment, whatever users ask for in the moment between two of its steps."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state.machine import apply
from cluster.state.model import App, ClusterState, Health, Replica
from tests.templates import key_of
from tests.unit.test_images import SHOP, app_of, text
from tests.unit.test_reconcile import Leader


def with_pre(value: str, *, label: str = "", **deploy: Any) -> str:
    """The shop with a job before each deployment; `value` makes other containers."""
    found: dict[str, Any] = json.loads(text())
    found["spec"]["environment"] = [{"name": "A", "value": value}]
    found["deploy"] = {
        "pre": {"command": ["migrate"]}, "minHealthySeconds": 0, "progressDeadlineSeconds": 20,
        **deploy}
    found["metadata"]["annotations"] = {"note": label}
    return json.dumps(found)


def update_to(spec: str) -> c.UpdateApp:
    """The command for a spec."""
    return c.UpdateApp("shop", spec, key_of(spec), 1)


class Watched(Leader):
    """A leader whose replicas are all of templates that were prepared before."""

    def __init__(self, *, longest_s: float = 0.1) -> None:
        super().__init__(longest_s=longest_s)
        self.engine.images.push(SHOP, "one")
        self.prepared: set[int] = set()

    def ask(self, command: c.Command) -> None:
        """A command, which may be refused."""
        self._count += 1
        self.log.submit(command, c.Stamp(self.clock.wall_ms(), "user", f"r{self._count}"))
        self.look()

    def live(self, seconds: float) -> None:
        """Step each 50 ms, and look."""
        for _ in range(round(seconds / 0.05)):
            self.run(0.05)
            self.look()

    def look(self) -> None:
        """What runs was prepared."""
        state = self.log.state()
        self.prepared |= {run.template for run in state.runs.values() if run.phase == "succeeded"}
        self.prepared |= {app.prepared for app in state.apps.values()}
        there = [one for one in self.engine.containers() if not one.run]
        assert {one.revision for one in there} <= self.prepared, (self.prepared, there)


def first_start(leader: Watched) -> None:
    """An app that has never run."""
    leader.ask(c.RegisterApp(
        "shop", with_pre("1"), 1, template_key=key_of(with_pre("1"))))
    leader.ask(c.StartApp("shop", 3))


def second_start(leader: Watched) -> None:
    """One whose update was stopped before it was prepared, and that is started again."""
    first_start(leader)
    leader.live(10)
    leader.engine.behaviours[SHOP] = ImageBehaviour(run_s=30)
    leader.ask(update_to(with_pre("stopped")))
    leader.live(5)
    leader.ask(c.StopApp("shop"))
    leader.live(5)
    leader.ask(c.StartApp("shop", 3))


NEXT: dict[str, Callable[[], list[c.Command]]] = {
    "update": lambda: [update_to(with_pre("2"))],
    "update, and back": lambda: [update_to(with_pre("2")), update_to(with_pre("1"))],
    "label": lambda: [update_to(with_pre("1", label="x"))],
    "restart": lambda: [c.RestartApp("shop")],
    "scale": lambda: [c.ScaleApp("shop", 5, 1)],
    "none, then update": lambda: [c.ScaleApp("shop", 0, 0), update_to(with_pre("2"))],
}


@pytest.mark.parametrize("begin", [first_start, second_start])
@pytest.mark.parametrize("what", NEXT)
def test_a_first_start_that_is_overtaken_at_any_moment(
    what: str, begin: Callable[[Watched], None]
) -> None:
    """Between the image, the job and the first replica: none is there before its job."""
    for tick in range(0, 16, 2):
        leader = Watched()
        begin(leader)
        leader.live(tick * 0.05)
        for command in NEXT[what]():
            leader.ask(command)
        leader.live(3)
        leader.engine.behaviours.pop(SHOP, None)
        leader.ask(c.ScaleApp("shop", 2, 1))
        leader.live(40)
        assert app_of(leader).good, tick
        assert app_of(leader).rollout is None


@pytest.mark.parametrize("seed", range(12))
def test_whatever_is_asked_for_in_whatever_moment(seed: int) -> None:
    """Updates, restarts, stops and numbers of replicas that come faster than what they begin."""
    dice = random.Random(seed)
    leader = Watched(longest_s=dice.choice((0.05, 0.3, 1.0)))
    first_start(leader)
    for _ in range(12):
        leader.engine.behaviours[SHOP] = ImageBehaviour(
            run_s=dice.choice((0.0, 0.2, 3.0)), run_exit_code=dice.choice((0, 0, 0, 9)))
        leader.live(dice.choice((0.0, 0.05, 0.1, 0.15, 0.3, 1.0, 5.0)))
        leader.ask(dice.choice((
            update_to(with_pre(dice.choice("1234"), label=dice.choice("ab"))),
            update_to(with_pre(dice.choice("1234"), strategy="recreate")),
            c.RestartApp("shop"), c.StopApp("shop"), c.StartApp("shop", dice.randint(0, 3)),
            c.ScaleApp("shop", dice.randint(0, 4), 0), c.SteerRollout("shop", "resume"),
            c.RollBackApp("shop"))))
    leader.engine.behaviours.pop(SHOP)
    leader.live(5)
    leader.ask(update_to(with_pre("last")))
    leader.ask(c.StartApp("shop", 2))
    leader.live(60)
    assert app_of(leader).good


# -- the moments that a log which answers at once does not have -------------------------


def applied(*commands: c.Command) -> App:
    """The shop after these, one by one; `reports` in them need no leader."""
    state = ClusterState()
    for index, command in enumerate(commands, 1):
        state, answer = apply(state, command, c.Stamp(1_000 + index, "n1"), index)
        assert answer.rejected is None, answer
    return state.apps["shop"]


FIRST, SECOND, PLAIN = with_pre("1"), with_pre("2"), text()
STARTED: tuple[c.Command, ...] = (
    c.RegisterApp("shop", FIRST, 1, template_key=key_of(FIRST)), c.StartApp("shop", 3),
    c.PinImage("shop", 1, SHOP, "one@sha256:1", "id"))


def report(*slots: int, revision: int = 1, health: Health = "healthy") -> c.ReportApp:
    """Replicas of the first template that run."""
    return c.ReportApp("shop", revision, tuple(
        Replica(slot, 1, f"c{slot}", f"shop-{slot}", "10.0.0.2", 80, "running", health)
        for slot in slots))


def test_between_its_image_and_its_job_an_app_has_no_replica_that_an_update_keeps() -> None:
    """Neither of another spec nor of one that comes back to this one."""
    app = applied(*STARTED, update_to(SECOND))
    assert app.rollout is not None
    assert (app.rollout.new, app.rollout.old) == ((), ())
    app = applied(*STARTED, update_to(SECOND), update_to(FIRST))
    assert app.rollout is not None
    assert (app.rollout.new, app.rollout.old) == ((), ())


def test_replicas_that_serve_are_kept_by_an_update_after_a_job_that_failed() -> None:
    """The job failed, the next spec had none: its replicas are there, and healthy."""
    without = json.loads(FIRST)
    del without["deploy"]["pre"]
    app = applied(
        *STARTED, c.PrepareRevision("shop", 1, 5), c.EndRun(3, "failed", 1),
        update_to(json.dumps(without)), report(1, 2, 3, revision=6), update_to(SECOND))
    assert app.rollout is not None
    assert app.rollout.old == ((1, 1), (1, 2), (1, 3))


def test_what_has_not_left_yet_since_a_stop_is_kept_by_an_update() -> None:
    """It was started again before it was gone, with a job that it did not have before."""
    plain, later = json.loads(FIRST), with_pre("1")
    del plain["deploy"]["pre"]
    text_of = json.dumps(plain)
    app = applied(
        c.RegisterApp("shop", text_of, 1, template_key=key_of(text_of)), c.StartApp("shop", 3),
        c.PinImage("shop", 1, SHOP, "one@sha256:1", "id"), report(1, 2, 3),
        update_to(later), c.StopApp("shop"), report(2, 3, revision=5), c.StartApp("shop"),
        update_to(SECOND))
    assert app.rollout is not None
    assert app.rollout.old == ((1, 2), (1, 3))


def test_a_number_of_replicas_starts_what_was_stopped_as_a_start_does() -> None:
    """The job that was cancelled by the stop is begun anew."""
    begun = (*STARTED, c.PrepareRevision("shop", 1, 5), c.StopApp("shop"))
    assert applied(*begun).pre == 3
    assert applied(*begun, c.StartApp("shop", 2)).pre == 0
    assert applied(*begun, c.ScaleApp("shop", 2, 1)).pre == 0


def test_a_revision_is_healthy_only_by_its_own_replicas() -> None:
    """Not by those of the one before, nor since it wanted none."""
    none = (c.RegisterApp("shop", PLAIN, 1, template_key=key_of(PLAIN)), c.StartApp("shop", 0),
            report())
    app = applied(*none, c.ScaleApp("shop", 3, 0),
                  c.PinImage("shop", 1, SHOP, "one@sha256:1", "id"), update_to(SECOND))
    assert [one.healthy for one in app.revisions] == [False]
