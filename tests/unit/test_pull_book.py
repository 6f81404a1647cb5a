"""Pulls on record: what they bring is ours, however they end, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster.control import pull_book
from cluster.control.pull_book import short_id, what_came
from cluster.engine.base import EngineError, Image, PullOrder
from cluster.state import commands as c
from cluster.state import images as images_module
from cluster.state.machine import apply
from cluster.state.model import ClusterState
from cluster.state.pins import BegunPull
from orchestry.admission import full_name
from tests.sim.parts import SimController
from tests.unit.test_images import SHOP, app_of, begin, change
from tests.unit.test_reconcile import Leader

OTHER = "registry.example/team/shop:2"


def pulling(seconds: float = 10_000.0) -> Leader:
    """A leader whose pulls take so long."""
    leader = Leader()
    leader.parts.workers.lane_longest_s["pull"] = seconds
    return leader


def until(leader: Leader, is_so: Callable[[], bool]) -> None:
    """Wait for something, a minute at most."""
    for _ in range(1_200):
        if is_so():
            return
        leader.run(0.05)
    raise AssertionError("it did not come to that")


def next_leader(leader: Leader, after_s: float = 3.0) -> None:
    """Another controller leads from the state alone, so long after the one before died."""
    leader.parts.crash()
    leader.clock.now_s += after_s
    leader.parts = SimController(
        "c2", leader.log, leader.clock, leader.parts._dice, engine=leader.engine,
        ingress=leader.ingress)


def test_what_is_here_is_on_record_before_a_pull_begins() -> None:
    """And no more when it is over."""
    leader = Leader()
    theirs = leader.engine.images.push(OTHER, "theirs")
    leader.engine.pull(PullOrder(OTHER))
    image = leader.engine.images.push(SHOP, "one")
    seen: list[ClusterState] = []
    real = leader.engine.pull

    def pull(order: PullOrder, **options: object) -> Image:
        seen.append(leader.log.state())
        return real(order, **options)  # type: ignore[arg-type]

    leader.engine.pull = pull  # type: ignore[method-assign]
    begin(leader)
    (before,) = seen
    assert before.pulls[full_name(SHOP)].here == (short_id(theirs.id),)
    after = leader.log.state()
    assert not after.pulls
    assert {one.names for one in after.pulled.values()} == {(full_name(SHOP),)}
    assert set(after.pulled) == {image.id}


@pytest.mark.parametrize("is_done", [True, False])
def test_a_successor_ends_what_was_begun(is_done: bool) -> None:
    """Whether its image came or not; one that was there before is nobody's by that."""
    leader = pulling()
    image = leader.engine.images.push(SHOP, "one")
    begin(leader)
    assert full_name(SHOP) in leader.log.state().pulls
    if is_done:
        leader.engine.images.pull(PullOrder(SHOP), lambda: None, lambda progress: None)
    next_leader(leader)
    leader.run(20)
    state = leader.log.state()
    assert not state.pulls
    assert set(state.pulled) == {image.id}


def test_after_a_long_time_it_may_have_come_from_anybody() -> None:
    """All controllers were down: what somebody pulled by hand meanwhile is his."""
    for after_s, ours in ((30.0, True), (70.0, False)):
        leader = pulling()
        image = leader.engine.images.push(SHOP, "one")
        begin(leader)
        leader.engine.images.pull(PullOrder(SHOP), lambda: None, lambda progress: None)
        next_leader(leader, after_s)
        leader.run(20)
        assert not leader.log.state().pulls
        assert set(leader.log.state().pulled) == ({image.id} if ours else set())
        assert app_of(leader).reached


def test_a_pull_without_an_answer_is_looked_after() -> None:
    """It was done all the same; one that brought nothing leaves no record."""
    leader = Leader()
    image = leader.engine.images.push(SHOP, "one")
    real = leader.engine.pull
    failures = [EngineError("timeout", "no answer"), EngineError("registry_down", "down")]

    def pull(order: PullOrder, **options: object) -> Image:
        if len(failures) == 1:
            raise failures.pop()
        found = real(order, **options)  # type: ignore[arg-type]
        if failures:
            raise failures.pop(0)
        return found

    leader.engine.pull = pull  # type: ignore[method-assign]
    begin(leader)
    assert set(leader.log.state().pulled) == {image.id}
    leader.engine.images.push(OTHER, "two")
    change(leader, image=OTHER)
    until(leader, lambda: not failures)
    leader.run(0.5)
    assert not leader.log.state().pulls


def test_a_list_that_cannot_be_had_keeps_no_pull_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor one that is too long: what is pulled then is not known as ours."""
    def refuse() -> None:
        raise EngineError("timeout", "too many images")

    for how in ("refused", "long", "full"):
        leader = Leader()
        leader.engine.images.push(SHOP, "one")
        leader.engine.images.push(OTHER, "theirs")
        leader.engine.pull(PullOrder(OTHER))
        with monkeypatch.context() as patch:
            if how == "refused":
                leader.engine.stored_images = refuse  # type: ignore[method-assign, assignment]
            elif how == "long":
                patch.setattr(pull_book, "HERE_MAX", 0)
            else:
                patch.setattr(pull_book, "BEGUN_MAX", 0)
            begin(leader)
            leader.run(12 if how == "refused" else 0)
        assert app_of(leader).reached, how
        assert not leader.log.state().pulled


def test_two_apps_that_wait_for_one_image_have_one_record() -> None:
    """Also under two ways to write its name."""
    leader = Leader()
    leader.engine.images.push("docker.io/library/shop:1", "one")
    for name, image in (("a", "shop:1"), ("b", "docker.io/library/shop:1")):
        leader.engine.behaviours.clear()
        begin(leader, 1, name, image=image, policy="Always")
    assert app_of(leader, "a").reached
    assert app_of(leader, "b").reached
    assert not leader.log.state().pulls
    assert len(leader.log.state().pulled) == 1


def test_records_are_bounded_and_end_with_their_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the state machine has it."""
    monkeypatch.setattr(images_module, "BEGUN_MAX", 2)
    state = ClusterState()
    log: list[tuple[int, c.Command]] = [
        (0, c.BeginEpoch("c1", 1_500, "x")), *((1, c.BeginPull(n, ("a",))) for n in "xyz"),
        (2, c.BeginPull("x", ("b",))), (3, c.NotePulled("", "y")), (50_000, c.RenewLease(1_500)),
        (100_000, c.BeginEpoch("c2", 1_500, "x"))]
    for index, (at_ms, command) in enumerate(log, 1):
        state, _ = apply(state, command, c.Stamp(at_ms, "c1"), index)
    assert dict(state.pulls) == {"x": BegunPull("x", ("b",), 1, 2)}
    assert not state.pulled
    state, _ = apply(state, c.BeginEpoch("c3", 1_500, "x"), c.Stamp(160_001, "c1"), 20)
    assert not state.pulls


@pytest.mark.parametrize(("image_id", "is_ours"), [
    ("sha256:aaaaaaaaaaaa0", False), ("sha256:bbbbbbbbbbbb0", True), ("", False)])
def test_what_came(image_id: str, is_ours: bool) -> None:
    """What was there before is not ours, unless it was already."""
    begun = BegunPull("x", ("aaaaaaaaaaaa",), 1)
    image = Image(image_id) if image_id else None
    assert bool(what_came(ClusterState(), "x", begun, image)) == is_ours
    if image is not None:
        state, _ = apply(ClusterState(), c.NotePulled(image_id, "y"), c.Stamp(1, "c1"), 1)
        assert what_came(state, "x", begun, image) == image_id
