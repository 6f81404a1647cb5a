"""Which replicas a canary wants next, and how the requests are shared out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control.canaries import Canaries
from cluster.control.canary import Held, advance, canaries, is_canary
from cluster.control.fleet import Fleet
from cluster.control.measure import Measurer
from cluster.control.rollout import Next, Seen, is_complete
from cluster.control.routes import shares
from cluster.engine.base import Container
from cluster.ingress.base import Share
from cluster.state.model import App, Canary, Place, Rollout
from orchestry.spec.model import AppSpec, CanaryStep, Deploy, Port

OLD, NEW, OTHER = 5, 9, 7
APP = App(
    name="shop", document="{}", revision=NEW, running=True, replicas=4, created_at_ms=0,
    updated_at_ms=0,
)
STEPS = (CanaryStep(10, 60), CanaryStep(50))
SPEC = AppSpec("shop", "shop:1", (Port(80),), deploy=Deploy("canary", steps=STEPS))
AT_FIRST = Rollout(NEW, "update", OLD, 0, old=tuple((OLD, slot) for slot in (1, 2, 3, 4)))
HEALTHY_S = 60.0


def old(*slots: int, healthy_s: float | None = HEALTHY_S) -> list[Seen]:
    """Replicas of the old template."""
    return [Seen(OLD, slot, healthy_s) for slot in slots]


def new(*slots: int, healthy_s: float | None = HEALTHY_S) -> list[Seen]:
    """Replicas of the new one."""
    return [Seen(NEW, slot, healthy_s) for slot in slots]


def at(step: int, weight: int, waits: Any = "replicas", held_s: int = 0) -> Canary:
    """Where the canary is."""
    return Canary(step, NEW, weight, held_s, waits)


def decide(rollout: Rollout, seen: list[Seen], held: Held | None = None, app: App = APP) -> Next:
    """The next step."""
    return advance(app, rollout, seen, STEPS, held or Held(), min_healthy_s=5)


FOUR = old(1, 2, 3, 4)
ONE = replace(AT_FIRST, new=(1,), canary=at(0, 10, "time"), available=1)
TWO = replace(AT_FIRST, new=(1, 2), canary=at(1, 50, "promotion"), available=2)


@pytest.mark.parametrize(("rollout", "seen", "held", "wanted", "canary"), [
    pytest.param(AT_FIRST, FOUR, Held(), (1,), at(0, 0), id="one for 10 % of four"),
    pytest.param(
        replace(AT_FIRST, new=(1,), canary=at(0, 0)), FOUR + new(1, healthy_s=1.0), Held(), (1,),
        at(0, 0), id="not yet proved: no request"),
    pytest.param(
        replace(AT_FIRST, new=(1,), canary=at(0, 0)), FOUR + new(1), Held(), (1,),
        at(0, 10, "time"), id="proved: its share"),
    pytest.param(ONE, FOUR + new(1), Held(4.0), (1,), at(0, 10, "time"), id="held"),
    pytest.param(
        ONE, FOUR + new(1), Held(31.0), (1,), at(0, 10, "time", 30), id="held, on record"),
    pytest.param(
        ONE, FOUR + new(1, healthy_s=None), Held(59.0), (1,), at(0, 10), id="ill: not its time"),
    pytest.param(ONE, FOUR + new(1), Held(60.0), (1,), at(1, 10), id="held for its time"),
    pytest.param(
        ONE, FOUR + new(1), Held(99.0, "open"), (1,), at(0, 10, "measurements", 95),
        id="too little measured: it holds"),
    pytest.param(ONE, FOUR + new(1), Held(60.0, "passed"), (1,), at(1, 10), id="measured"),
    pytest.param(
        replace(ONE, canary=at(1, 10)), FOUR + new(1), Held(), (1, 2), at(1, 10),
        id="another one for the next share"),
    pytest.param(TWO, FOUR + new(1, 2), Held(9e9), (1, 2), at(1, 50, "promotion"),
                 id="by hand: however long"),
    pytest.param(
        replace(ONE, phase="paused"), FOUR + new(1), Held(60.0), (1,), at(0, 10, "time"),
        id="paused"),
    pytest.param(
        replace(AT_FIRST, canary=Canary(0, OTHER, 10)), FOUR, Held(), (1,), at(0, 0),
        id="takes over from another canary"),
])
def test_next_step(
    rollout: Rollout, seen: list[Seen], held: Held, wanted: tuple[int, ...], canary: Canary,
) -> None:
    """The new ones, their share, and that no old one leaves."""
    found = decide(rollout, seen, held)
    assert (found.new, found.old, found.canary) == (wanted, AT_FIRST.old, canary)
    assert bool(found.notes) == ((found.new, canary.step, canary.weight) != (
        rollout.new, *((rollout.canary.step, rollout.canary.weight) if rollout.canary
                       and rollout.canary.template == NEW else (0, 0))))


@pytest.mark.parametrize("last", [
    replace(TWO, canary=at(2, 50)), replace(ONE, promoted=True),
])
def test_after_the_last_step_the_old_ones_leave(last: Rollout) -> None:
    """As in a rolling update, so that enough serve; never more than the last step had."""
    found = decide(last, FOUR + new(*last.new))
    assert found.canary is not None
    assert found.canary.step == len(STEPS)
    assert len(found.old) == 4 - len(last.new)


def test_what_another_canary_left_goes_first() -> None:
    """The replicas of the revision before stay."""
    rollout = replace(AT_FIRST, old=(*AT_FIRST.old, (OTHER, 1)), canary=Canary(0, OTHER, 10))
    found = decide(rollout, [*FOUR, Seen(OTHER, 1, HEALTHY_S)])
    assert (found.old, found.new) == (AT_FIRST.old, ())
    found = decide(replace(rollout, old=AT_FIRST.old), FOUR)
    assert found.new == (1,)


def test_more_replicas_are_old_ones_until_the_weight_is_theirs() -> None:
    """They have to carry the rest of the requests."""
    found = decide(ONE, FOUR + new(1), app=replace(APP, replicas=10))
    assert found.old == tuple((OLD, slot) for slot in range(1, 10))
    fewer = decide(ONE, FOUR + new(1), app=replace(APP, replicas=2))
    assert (fewer.old, fewer.new) == (((OLD, 1), (OLD, 2)), (1,))


@pytest.mark.parametrize(("replicas", "weight", "count"), [
    (1, 1, 1), (3, 33, 1), (3, 34, 2), (10, 10, 1), (10, 11, 2), (10, 100, 10), (0, 50, 0),
])
def test_as_many_as_the_weight_asks_for(replicas: int, weight: int, count: int) -> None:
    """Rounded up."""
    assert canaries(replicas, weight) == count


@pytest.mark.parametrize(("spec", "kind", "own", "expected"), [
    (SPEC, "update", False, True), (SPEC, "rollback", False, False),
    (SPEC, "restart", False, False), (SPEC, "update", True, False),
    (replace(SPEC, type="tcp"), "update", False, False),
    (replace(SPEC, deploy=Deploy()), "update", False, False),
])
def test_what_goes_by_weights(spec: AppSpec, kind: Any, own: bool, expected: bool) -> None:
    """An update, of what the ingress serves, whose replicas may be beside one another."""
    assert is_canary(spec, replace(AT_FIRST, kind=kind), own_volumes=own) is expected


def peers(**counts: int) -> list[Container]:
    """So many replicas that serve, by name of the template."""
    templates = {"old": OLD, "new": NEW, "other": OTHER}
    return [
        Container(id=f"{name}{slot}", name="", app="shop", revision=templates[name], slot=slot,
                  ip="10.0.0.1", phase="running", epoch=1)
        for name, count in counts.items() for slot in range(count)]


def by_weight(**weights: tuple[int, int]) -> tuple[Share, ...]:
    """Shares of (weight, number of replicas)."""
    return tuple(
        Share(weight, tuple(f"{name}{slot}" for slot in range(count)))
        for name, (weight, count) in weights.items())


@pytest.mark.parametrize(("rollout", "there", "expected"), [
    (None, peers(old=2, new=1), ()),
    (ONE, peers(old=4), ()),
    (ONE, peers(new=1), ()),
    (ONE, peers(old=4, new=1), by_weight(new=(10, 1), old=(90, 4), none=(0, 0))),
    (replace(ONE, canary=at(0, 0)), peers(old=4, new=1),
     by_weight(new=(0, 1), old=(100, 4), none=(0, 0))),
    (ONE, peers(old=4, new=1, other=1), by_weight(new=(10, 1), old=(90, 4), other=(0, 1))),
    (replace(AT_FIRST, canary=Canary(0, OTHER, 10)), peers(old=4, other=1),
     by_weight(other=(10, 1), old=(90, 4), none=(0, 0))),
    (replace(TWO, canary=at(2, 50)), peers(old=4, new=2),
     by_weight(new=(50, 2), old=(50, 4), none=(0, 0))),
    (replace(TWO, canary=at(2, 50)), peers(old=2, new=2), ()),
    (replace(AT_FIRST, kind="rollback"), peers(old=1, new=4),
     by_weight(new=(100, 4), old=(0, 1))),
    (replace(AT_FIRST, kind="rollback"), peers(old=1, new=3), ()),
    (replace(AT_FIRST, kind="rollback"), peers(new=4), ()),
])
def test_shares(
    rollout: Rollout | None, there: list[Container], expected: tuple[Share, ...]
) -> None:
    """By weight while both serve; on the way back all to what is gone back to."""
    assert shares(replace(APP, rollout=rollout), SPEC, there) == expected


@dataclass
class World:
    """Containers that do what they are told, in an order that the test draws."""

    rollout: Rollout
    there: dict[Place, bool]
    """Place -> has it proved itself?"""

    def decide(self) -> Next:
        seen = [Seen(*place, HEALTHY_S if proved else None)
                for place, proved in sorted(self.there.items())]
        found = decide(self.rollout, seen, Held(60.0))
        self.rollout = replace(
            self.rollout, new=found.new, old=found.old, available=found.available,
            canary=found.canary)
        return found

    def promote(self) -> None:
        if (at_ := self.rollout.canary) is not None and at_.waits == "promotion":
            self.rollout = replace(self.rollout, canary=replace(at_, step=at_.step + 1))

    def act(self, pick: int) -> bool:
        wanted = {*self.rollout.old, *((NEW, slot) for slot in self.rollout.new)}
        due = [*(("start", p) for p in sorted(wanted - self.there.keys())),
               *(("stop", p) for p in sorted(self.there.keys() - wanted)),
               *(("prove", p) for p, proved in sorted(self.there.items()) if not proved)]
        if not due:
            return False
        what, place = due[pick % len(due)]
        if what == "stop":
            del self.there[place]
        else:
            self.there[place] = what == "prove"
        return True


@given(st.lists(st.integers(0, 50), max_size=80))
def test_a_canary_ends_with_the_new_ones_alone(picks: list[int]) -> None:
    """In whatever order replicas come and go: enough serve, never more than are allowed."""
    world = World(AT_FIRST, dict.fromkeys(AT_FIRST.old, True))
    weights = [0]
    for pick in [*picks, *range(200)]:
        world.decide()
        assert world.rollout.canary is not None
        weights.append(world.rollout.canary.weight)
        if not world.act(pick):
            world.promote()
        assert sum(world.there.values()) >= 4
        assert len(world.there) <= 4 + 2
    assert weights == sorted(weights)
    assert set(weights) == {0, 10, 50}
    seen = [Seen(*place, HEALTHY_S) for place in world.there]
    assert is_complete(APP, world.rollout, seen, min_healthy_s=5)


@pytest.mark.parametrize(("theirs", "shared", "goes_on"), [
    ([Seen(OLD, slot, HEALTHY_S) for slot in (1, 2, 3, 4)], True, True),
    ([Seen(OLD, slot, HEALTHY_S) for slot in (1, 2, 3, 4)], False, False),
    ([Seen(OLD, slot, serves=False) for slot in (1, 2, 3, 4)], False, True),
    ([], False, True),
], ids=["the share is in force", "not in force yet", "no old one serves", "none is there"])
def test_time_counts_while_the_requests_are_shared_or_all_for_the_new_ones(
    theirs: list[Seen], shared: bool, goes_on: bool
) -> None:
    """An app whose old replicas are all down gets out of it by a canary, too."""
    held = Canaries(cast(Fleet, None), cast(Measurer, None), lambda app, weight: shared)
    seen = theirs + new(1)
    for now_s in range(100, 200, 10):
        found = held.advance(APP, ONE, SPEC, seen, float(now_s))
    assert (found.canary is not None and found.canary.step == 1) is goes_on
