"""Which replicas a rollout wants next: tables, and whole rollouts by Hypothesis."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control.rollout import Limits, Next, Seen, advance, is_complete, limits_of
from cluster.state.model import App, Place, Rollout
from orchestry.spec.model import AppSpec, Deploy, Port, Volume

OLD, NEW = 5, 9
APP = App(
    name="shop", document="{}", revision=NEW, running=True, replicas=3, created_at_ms=0,
    updated_at_ms=0,
)
SPEC = AppSpec("shop", "shop:1", (Port(80),))
ROLLING = Limits(1, 0)
HEALTHY_S = 60.0
AT_FIRST = Rollout(NEW, "update", OLD, 0, old=tuple((OLD, slot) for slot in (1, 2, 3)))


def old(*slots: int, healthy_s: float | None = HEALTHY_S, serves: bool = True) -> list[Seen]:
    """Replicas of the old template."""
    return [Seen(OLD, slot, healthy_s, serves=serves) for slot in slots]


def new(*slots: int, healthy_s: float | None = HEALTHY_S, serves: bool = True) -> list[Seen]:
    """Replicas of the new one."""
    return [Seen(NEW, slot, healthy_s, serves=serves) for slot in slots]


def wants(*places: int) -> tuple[Place, ...]:
    """Old places."""
    return tuple((OLD, slot) for slot in places)


@pytest.mark.parametrize(("rollout", "seen", "limits", "expected"), [
    pytest.param(AT_FIRST, old(1, 2, 3), ROLLING, ((1,), wants(1, 2, 3), 0), id="surge first"),
    pytest.param(AT_FIRST, old(1, 2, 3), Limits(2, 0), ((1, 2), wants(1, 2, 3), 0), id="surge 2"),
    pytest.param(
        AT_FIRST, old(1, 2, 3), Limits(0, 1), ((), wants(2, 3), 0), id="one may be missing"),
    pytest.param(
        AT_FIRST, old(1, 2, 3), Limits(0, 3, at_once=True), ((), (), 0), id="recreate stops all"),
    pytest.param(
        replace(AT_FIRST, old=()), old(2), Limits(0, 3, at_once=True), ((), (), 0),
        id="recreate waits for the last"),
    pytest.param(
        replace(AT_FIRST, old=()), [], Limits(0, 3, at_once=True), ((1, 2, 3), (), 0),
        id="recreate starts all"),
    pytest.param(
        replace(AT_FIRST, new=(1,)), old(1, 2, 3) + new(1, healthy_s=4.9), ROLLING,
        ((1,), wants(1, 2, 3), 0), id="not yet proved"),
    pytest.param(
        replace(AT_FIRST, new=(1,)), old(1, 2, 3) + new(1, serves=False), ROLLING,
        ((1,), wants(1, 2, 3), 0), id="not in the ingress"),
    pytest.param(
        replace(AT_FIRST, new=(1,)), old(1, 2, 3) + new(1), ROLLING,
        ((1,), wants(2, 3), 1), id="proved: an old one leaves"),
    pytest.param(
        replace(AT_FIRST, new=(1,), old=wants(2, 3), available=1), old(1, 2, 3) + new(1), ROLLING,
        ((1,), wants(2, 3), 1), id="no room until it is gone"),
    pytest.param(
        replace(AT_FIRST, new=(1,), old=wants(2, 3), available=1), old(2, 3) + new(1), ROLLING,
        ((1, 2), wants(2, 3), 1), id="room again"),
    pytest.param(
        replace(AT_FIRST, new=(1,), old=wants(2, 3), available=1),
        [Seen(OLD, 1, ended=True), *old(2, 3), *new(1)], ROLLING,
        ((1, 2), wants(2, 3), 1), id="room as soon as it has ended"),
    pytest.param(
        replace(AT_FIRST, new=(1,)), old(1, 3) + new(1, healthy_s=None), ROLLING,
        ((1,), wants(1, 2, 3), 0), id="an old one that died comes back"),
    pytest.param(
        replace(AT_FIRST, new=(1,)), old(1, 3) + new(1), ROLLING,
        ((1, 2), wants(1, 3), 1), id="what is not healthy leaves first"),
    pytest.param(
        AT_FIRST, old(1, 2, 3), Limits(0, 1, exclusive=True), ((), wants(2, 3), 0),
        id="own volumes: a slot is freed"),
    pytest.param(
        replace(AT_FIRST, old=wants(2, 3)), old(1, 2, 3), Limits(0, 1, exclusive=True),
        ((), wants(2, 3), 0), id="own volumes: not free yet"),
    pytest.param(
        replace(AT_FIRST, old=wants(2, 3)), [Seen(OLD, 1, ended=True), *old(2, 3)],
        Limits(0, 1, exclusive=True), ((), wants(2, 3), 0),
        id="own volumes: not before it is removed"),
    pytest.param(
        replace(AT_FIRST, old=wants(2, 3)), old(2, 3), Limits(0, 1, exclusive=True),
        ((1,), wants(2, 3), 0), id="own volumes: taken again"),
    pytest.param(
        replace(AT_FIRST, phase="paused", new=(1,)), old(1, 2, 3) + new(1), ROLLING,
        ((1,), wants(1, 2, 3), 1), id="paused"),
    pytest.param(
        replace(AT_FIRST, phase="paused", new=(1,), old=wants(2)), old(2) + new(1), ROLLING,
        ((1, 2), wants(2), 1), id="paused: scale-out is followed"),
    pytest.param(
        replace(AT_FIRST, new=(1,), promoted=True), old(1, 2, 3) + new(1, healthy_s=0.0), ROLLING,
        ((1,), wants(2, 3), 1), id="promoted: healthy is enough"),
])
def test_next_step(
    rollout: Rollout, seen: list[Seen], limits: Limits,
    expected: tuple[tuple[int, ...], tuple[Place, ...], int],
) -> None:
    """One decision, and a note for each place that it is about."""
    found = advance(APP, rollout, seen, limits, min_healthy_s=5)
    assert (found.new, found.old, found.available) == expected
    changed = set(found.new) ^ set(rollout.new), set(found.old) ^ set(rollout.old)
    assert len(found.notes) == len(changed[0]) + len(changed[1])


def test_notes_say_why() -> None:
    """In words for the owner."""
    rollout = replace(AT_FIRST, new=(1,))
    assert advance(APP, rollout, old(1, 2, 3) + new(1), ROLLING, min_healthy_s=5).notes == (
        "shop-1 of revision 5 leaves: 4 serve and 3 have to",)
    assert advance(APP, AT_FIRST, old(1, 2, 3), ROLLING, min_healthy_s=5).notes == (
        "shop-1 of revision 9 starts: beside 3 older of 3 wanted",)


def test_complete_means_exactly_the_wanted_ones() -> None:
    """All proved, and nothing else is there."""
    rollout = replace(AT_FIRST, new=(1, 2, 3), old=())
    assert is_complete(APP, rollout, new(1, 2, 3), min_healthy_s=5)
    assert not is_complete(APP, rollout, new(1, 2), min_healthy_s=5)
    assert not is_complete(APP, rollout, new(1, 2, 3) + old(1), min_healthy_s=5)
    assert not is_complete(APP, rollout, new(1, 2) + new(3, healthy_s=1.0), min_healthy_s=5)


@pytest.mark.parametrize(("deploy", "own", "expected"), [
    (Deploy(), False, Limits(1, 0)),
    (Deploy(max_surge=0, max_unavailable=2), False, Limits(0, 2)),
    (Deploy("recreate"), False, Limits(0, 3, at_once=True)),
    (Deploy(), True, Limits(0, 1, exclusive=True)),
    (Deploy("recreate"), True, Limits(0, 3, exclusive=True, at_once=True)),
])
def test_limits(deploy: Deploy, own: bool, expected: Limits) -> None:
    """By strategy; own volumes are never open twice."""
    spec = replace(SPEC, deploy=deploy, volumes=(Volume("d", "/d", per_replica=own),))
    assert limits_of(spec, 3, own_volumes=own) == expected


@dataclass
class World:
    """Containers that do what they are told, in an order that the test draws."""

    app: App
    rollout: Rollout
    there: dict[Place, bool]
    """Place -> has it proved itself?"""
    good: frozenset[int]
    """Templates whose replicas get healthy."""

    def seen(self) -> list[Seen]:
        return [Seen(*place, HEALTHY_S if proved else None)
                for place, proved in sorted(self.there.items())]

    def decide(self, limits: Limits) -> Next:
        found = advance(self.app, self.rollout, self.seen(), limits, min_healthy_s=5)
        self.rollout = replace(
            self.rollout, new=found.new, old=found.old, available=found.available)
        return found

    def wanted(self) -> set[Place]:
        return {*self.rollout.old, *((NEW, slot) for slot in self.rollout.new)}

    def act(self, pick: int) -> bool:
        """One thing that is due happens; False when there is none."""
        due = [*(("start", p) for p in sorted(self.wanted() - self.there.keys())),
               *(("stop", p) for p in sorted(self.there.keys() - self.wanted())),
               *(("prove", p) for p, proved in sorted(self.there.items())
                 if not proved and p[0] in self.good)]
        if not due:
            return False
        what, place = due[pick % len(due)]
        if what == "start":
            self.there[place] = False
        elif what == "stop":
            del self.there[place]
        else:
            self.there[place] = True
        return True


@given(
    replicas=st.integers(0, 5), before=st.integers(0, 5), limits=st.builds(
        Limits, st.integers(0, 2), st.integers(0, 2), st.booleans(), st.booleans()),
    broken=st.booleans(), picks=st.lists(st.integers(0, 30), min_size=60, max_size=60),
)
def test_whole_rollouts(
    replicas: int, before: int, limits: Limits, broken: bool, picks: list[int],
) -> None:
    """Whatever happens when: never too few serve, never too many are there, and it ends."""
    if limits.exclusive or limits.at_once:
        limits = replace(limits, surge=0)
    least_missing = replicas if limits.at_once else 0 if limits.surge else 1
    limits = replace(limits, unavailable=max(limits.unavailable, least_missing))
    places = wants(*range(1, before + 1))
    world = World(
        replace(APP, replicas=replicas), replace(AT_FIRST, old=places),
        dict.fromkeys(places, True), frozenset({OLD} if broken else {OLD, NEW}))
    least = min(before, replicas - limits.unavailable)
    most = max(before, replicas + limits.surge)
    for pick in picks:
        world.decide(limits)
        if not world.act(pick):
            break
        assert sum(world.there.values()) >= least
        assert len(world.there) <= most
        if limits.exclusive:
            slots = [slot for _, slot in world.there]
            assert len(slots) == len(set(slots))
    world.decide(limits)
    done = is_complete(world.app, world.rollout, world.seen(), min_healthy_s=5)
    assert done == (not broken or replicas == 0)
