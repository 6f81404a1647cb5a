"""rollout: which replicas of the old and of the new template are wanted next; pure.

One decision at a time: the leader writes it into the state before the reconciler carries it
out, so that a successor goes on from it. Nothing is remembered but what is in the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice

from cluster.state.model import App, Canary, Place, Rollout
from cluster.state.replicas import name_of_slot
from cluster.state.step import REPLICAS_MAX
from orchestry.spec.model import AppSpec


@dataclass(frozen=True, slots=True)
class Seen:
    """One container of the app, of whatever template.

    `healthy_s` is for how long its checks have proved it healthy, None when it is not.
    `serves` says that every ingress sends it requests; `leaves` that it is on its way out;
    `finished` that it ended well and is not wanted again: it serves nobody, and is not missing.
    `ended` says that it runs no more, whether its container is removed already or not.
    """

    template: int
    slot: int
    healthy_s: float | None = None
    serves: bool = True
    leaves: bool = False
    finished: bool = False
    ended: bool = False

    @property
    def place(self) -> Place:
        """What it is known by."""
        return self.template, self.slot


@dataclass(frozen=True, slots=True)
class Limits:
    """How far a rollout may depart from the wanted number of replicas.

    `exclusive`: a slot is free before it is taken again. `at_once`: all old ones go first.
    """

    surge: int
    unavailable: int
    exclusive: bool = False
    at_once: bool = False


@dataclass(frozen=True, slots=True)
class Next:
    """What is wanted from now on; `notes` say what is different, and why."""

    new: tuple[int, ...]
    old: tuple[Place, ...]
    available: int
    notes: tuple[str, ...] = ()
    canary: Canary | None = None


def has_own_volumes(spec: AppSpec) -> bool:
    """True when two replicas of one slot would write to the same volume."""
    return any(volume.per_replica for volume in spec.volumes)


def limits_of(spec: AppSpec, replicas: int, *, own_volumes: bool) -> Limits:
    """The limits by the spec's strategy; `own_volumes` when old or new replicas have them."""
    deploy = spec.deploy
    if deploy.strategy == "recreate":
        return Limits(0, replicas, exclusive=own_volumes, at_once=True)
    if own_volumes:
        return Limits(0, max(1, deploy.max_unavailable), exclusive=True)
    surge = deploy.max_surge
    return Limits(surge, deploy.max_unavailable if surge else max(1, deploy.max_unavailable))


def advance(
    app: App, rollout: Rollout, seen: Sequence[Seen], limits: Limits, *, min_healthy_s: float
) -> Next:
    """The next step of a rollout; equal to the record when there is nothing to do but wait.

    Old replicas leave while at least `replicas - unavailable` others serve; new ones begin
    while there are at most `replicas + surge` with all that are still there. A rollout that
    is paused only follows the number of replicas.
    """
    template, wanted = app.made_from, app.replicas
    moves = rollout.phase == "running"
    new, before = split(app, rollout)
    good = proved(app, rollout, seen, min_healthy_s=min_healthy_s)
    most = len(before)
    if not moves:
        most = max(0, len(new) + len(before) - wanted - limits.surge)
    leaving = to_leave(before, seen, limits, wanted, good, most=most)
    leaving |= {one.place: "it has finished" for one in seen
                if moves and one.finished and one.place in before}
    old = tuple(place for place in before if place not in leaving)
    notes = [
        f"{place_name(app, place)} leaves: {why}" for place, why in sorted(leaving.items())]

    own = {(template, slot) for slot in range(1, wanted + 1)}
    there = taken_places(seen, {*old, *((template, slot) for slot in new)},
                         also_ended=limits.exclusive)
    others = there - own
    room = wanted + (limits.surge if moves else 0) - len(there)
    taken = {slot for _, slot in others} if limits.exclusive else set()
    if limits.at_once and others and moves:
        room = 0
    for place in sorted(own):
        # One that is not gone yet, of a place that is wanted again, is not one more.
        if place[1] in new or place[1] in taken or (room <= 0 and place not in there):
            continue
        room -= place not in there
        new.append(place[1])
        notes.append(f"{place_name(app, place)} starts: {_why_starts(len(others), wanted)}")
    available = sum(one.place in own for one in (*good, *finished(app, rollout, seen)))
    return Next(tuple(sorted(new)), old, available, tuple(notes))


def follow(
    app: App, rollout: Rollout, seen: Sequence[Seen], *, min_healthy_s: float,
    at_once: bool = False,
) -> Next:
    """What is wanted while no new replica may start: old ones follow the number of replicas.

    Those that are added are of the template that serves best; where nothing runs, of the last
    revision that was healthy. The highest slots leave first. A new one from before that is gone
    cannot come again. `at_once`: none is added beside a replica of another revision.
    """
    wanted, good = app.replicas, proved(app, rollout, seen, min_healthy_s=min_healthy_s)
    new, before = split(app, rollout)
    there = {one.place for one in seen if not one.ended or one.finished}
    new = [slot for slot in new if (app.made_from, slot) in there]
    template = _serving(app, [place for place in before if place[0] != app.made_from], good)
    before.sort(key=lambda place: (place[0] == template, -place[1]))
    leaving = to_leave(
        before, seen, Limits(0, 0), wanted, good, most=max(0, len(new) + len(before) - wanted))
    old = {place for place in before if place not in leaving}
    notes = [
        f"{place_name(app, place)} leaves: {why}" for place, why in sorted(leaving.items())]
    missing = wanted - len(new) - len(old)
    if at_once and any(place[0] != template for place in there):
        missing = 0
    for place in _free_places(template, {*new, *(slot for _, slot in old)}, seen)[
        :max(0, missing)
    ]:
        old.add(place)
        notes.append(
            f"{place_name(app, place)} starts: {wanted} are wanted, and none of revision "
            f"{app.revision} may start yet")
    available = sum(one.template == app.made_from and one.slot in new for one in good)
    return Next(tuple(new), tuple(sorted(old)), available, tuple(notes), rollout.canary)


def hold(
    app: App, rollout: Rollout, seen: Sequence[Seen], limits: Limits, *, min_healthy_s: float
) -> Next:
    """What is wanted of a rollout that has failed: it stays as it is, and does not spread.

    Where too few serve, old ones are added, and no new ones: of the template of which the most
    serve, or of the last healthy revision. As many as are wanted stay; the new ones leave first.
    """
    wanted, good = app.replicas, proved(app, rollout, seen, min_healthy_s=min_healthy_s)
    new, before = split(app, rollout)
    mine = [(app.made_from, slot) for slot in new]
    before.sort(key=lambda place: (place[0] != app.made_from, -place[1]))
    leaving = to_leave(before, seen, Limits(0, 0), wanted, good, most=max(
        0, len(before) - wanted, len(mine) + len(before) - wanted - limits.surge))
    old = {place for place in before if place not in leaving}
    notes = [
        f"{place_name(app, place)} leaves: {why}" for place, why in sorted(leaving.items())]
    there = taken_places(seen, {*old, *mine}, also_ended=limits.exclusive)
    missing = wanted - len(old) - sum(one.place in mine for one in good)
    template = _serving(app, [one for one in old if one[0] != app.made_from], good)
    if limits.at_once and any(place[0] != template for place in there):
        missing = 0  # its revisions never run beside one another
    free = _free_places(template, {slot for _, slot in (*old, *mine)}, seen)
    back = [place for place in free if place in there]  # not gone yet, and not one more
    room = max(0, wanted + limits.surge - len(there))
    more = [place for place in free if place not in there][:room]
    for place in (*back, *more)[:max(0, missing)]:
        old.add(place)
        notes.append(f"{place_name(app, place)} starts: {wanted} are wanted, and revision "
                     f"{app.revision} has failed")
    available = sum(one.place in mine for one in (*good, *finished(app, rollout, seen)))
    return Next(tuple(new), tuple(sorted(old)), available, tuple(notes), rollout.canary)


def _free_places(template: int, taken: Collection[int], seen: Iterable[Seen]) -> list[Place]:
    """Places of a template in slots that nobody has, as many as there may be; none without it."""
    used = {*taken, *(one.slot for one in seen if one.template != template)}
    free = (slot for slot in count(1) if slot not in used)
    return [(template, slot) for slot in islice(free, REPLICAS_MAX if template else 0)]


def _serving(app: App, places: Sequence[Place], good: Sequence[Seen]) -> int:
    """The template of which the most serve; 0 when there is none that ever did."""
    serve, there = Counter(one.template for one in good), Counter(place[0] for place in places)
    if there:
        return max(there, key=lambda one: (serve[one], there[one], -one))
    return next((one.template for one in reversed(app.revisions)
                 if one.healthy and one.template != app.made_from), 0)


def split(app: App, rollout: Rollout) -> tuple[list[int], list[Place]]:
    """The new slots, and all others that are wanted still; some of the latter may be of the
    new template, with a number above those that are wanted.
    """
    new = [slot for slot in rollout.new if slot <= app.replicas]
    above = [(app.made_from, slot) for slot in rollout.new if slot > app.replicas]
    return new, sorted({*rollout.old, *above})


def taken_places(
    seen: Iterable[Seen], wanted: Collection[Place], *, also_ended: bool = False
) -> set[Place]:
    """The wanted places, and those of what runs still; `also_ended` those of its remains too."""
    return {*wanted, *(one.place for one in seen if also_ended or not one.ended)}


def to_leave(
    before: Sequence[Place], seen: Sequence[Seen], limits: Limits, wanted: int,
    good: Sequence[Seen], *, most: int,
) -> dict[Place, str]:
    """At most so many old places to give up, and why; those that do not serve first.

    One that is not healthy may go as long as another may take its place. One that is has to
    be missed by nobody: the others that have proved themselves are enough.
    """
    healthy = {one.place for one in seen if one.healthy_s is not None and not one.leaves}
    old_good = [p for p in before if p in {one.place for one in good}]
    young = [p for p in before if p in healthy and p not in old_good]
    broken = [p for p in before if p not in healthy]
    least = max(0, wanted - limits.unavailable)
    available = len(good) - len(old_good)
    spare = min(most, available + len(before) - least)
    found = dict.fromkeys(broken[:max(0, spare)], "it is not healthy")
    spare = min(most - len(found), len(good) - least)
    why = "all old ones go first" if limits.at_once else (
        f"{len(good)} serve and {least} have to")
    if spare >= 0:
        found.update(dict.fromkeys(young[:most - len(found)], why))
    spare = min(most - len(found), spare)
    found.update(dict.fromkeys(old_good[:max(0, spare)], why))
    return found


def proved(
    app: App, rollout: Rollout, seen: Iterable[Seen], *, min_healthy_s: float
) -> list[Seen]:
    """The wanted replicas that have been healthy for long enough, and get requests."""
    least_s = 0.0 if rollout.promoted else min_healthy_s
    wanted = {*rollout.old, *((app.made_from, slot) for slot in rollout.new)}
    return [
        one for one in seen
        if one.place in wanted and one.serves and not one.leaves
        and one.healthy_s is not None and one.healthy_s >= least_s
    ]


def finished(app: App, rollout: Rollout, seen: Iterable[Seen]) -> list[Seen]:
    """The new replicas that ended well; no old one that serves is given up for them."""
    return [one for one in seen
            if one.finished and one.template == app.made_from and one.slot in rollout.new]


def is_complete(
    app: App, rollout: Rollout, seen: Sequence[Seen], *, min_healthy_s: float
) -> bool:
    """True when exactly the wanted replicas are there, of the new template, proved or finished."""
    good = proved(app, rollout, seen, min_healthy_s=min_healthy_s)
    good += finished(app, rollout, seen)
    return not rollout.old and len(good) == app.replicas == len(seen)


def _why_starts(others: int, wanted: int) -> str:
    if others:
        return f"beside {others} older of {wanted} wanted"
    return f"{wanted} are wanted"


def place_name(app: App, place: Place) -> str:
    """What notes call a replica."""
    return f"{name_of_slot(app.name, place[1])} of revision {place[0]}"
