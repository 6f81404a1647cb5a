"""Images that nothing needs any more leave the host, and no others do."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from immutables import Map

from cluster.control import image_cleaner
from cluster.control.image_cleaner import AT_ONCE_MAX
from cluster.control.unused_images import kept, needed, unused
from cluster.engine.base import EngineError, Image, PullOrder, RunRequest, StoredImage
from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from cluster.state import images as images_module
from cluster.state.machine import apply
from cluster.state.model import App, ClusterState, Revision, Run
from cluster.state.pins import Pin, PulledImage
from cluster.state.status import converged
from tests.sim.fleet_world import document
from tests.unit.test_images import app_of, begin, change, text
from tests.unit.test_reconcile import Leader

REPOSITORY = "registry.example/team/shop"
EVERY_S = 10.0
AGAIN_S = 60.0
PASS_S = EVERY_S + 2
QUICK: dict[str, Any] = {"minHealthySeconds": 0, "progressDeadlineSeconds": 20}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cleaner does not let us wait as long as it would."""
    monkeypatch.setattr(image_cleaner, "EVERY_S", EVERY_S)
    monkeypatch.setattr(image_cleaner, "AGAIN_S", AGAIN_S)


def push(leader: Leader, *versions: int) -> list[Image]:
    """Give the registry some versions of the shop."""
    return [leader.engine.images.push(f"{REPOSITORY}:{n}", f"content {n}") for n in versions]


def update(leader: Leader, version: int, seconds: float = 8) -> None:
    """The shop has another image, and time to get there."""
    change(leader, image=f"{REPOSITORY}:{version}", **QUICK)
    leader.run(seconds)
    assert converged(app_of(leader))


def history(versions: int, keep: int) -> tuple[Leader, list[Image]]:
    """The shop was updated again and again, and its images are still on the host."""
    leader = Leader()
    leader.do(c.SetConfig((("images.keep_revisions", 10),)))
    found = push(leader, *range(1, versions + 1))
    begin(leader, 1, image=f"{REPOSITORY}:1", **QUICK)
    for version in range(2, versions + 1):
        update(leader, version)
    leader.do(c.SetConfig((("images.keep_revisions", keep),)))
    return leader, found


def here(leader: Leader) -> set[str]:
    """The ids of all images on the host."""
    return {one.id for one in leader.engine.images.stored()}


def ids(images: list[Image]) -> set[str]:
    """Of images."""
    return {one.id for one in images}


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_images_beyond_the_last_revisions_go(keep: int) -> None:
    """The present one, the last ones before it and the last healthy one stay; it is told once."""
    leader, images = history(6, keep)
    leader.run(PASS_S)
    stays = max(keep, 1) + 1  # the one before was healthy
    assert here(leader) == ids(images[-stays:])
    assert set(leader.log.state().pulled) == ids(images[-stays:])
    told = [e for e in leader.log.state().events if "is removed from the host" in e.message]
    assert [dict(e.details)["image"] for e in told] == [
        f"{REPOSITORY}:{n}" for n in range(1, 7 - stays)]
    assert all(dict(e.details)["size_bytes"] > 0 for e in told)
    removed = list(leader.engine.images.removed)
    leader.run(2 * PASS_S)
    assert leader.engine.images.removed == removed


def test_a_rollback_to_an_image_that_went_pulls_the_very_same() -> None:
    """By its digest, though its tag has moved on; then it is the cluster's again."""
    leader, images = history(4, 0)
    leader.run(PASS_S)
    first = images[0]
    assert first.id not in here(leader)
    leader.engine.images.push(f"{REPOSITORY}:1", "changed")
    revision = app_of(leader).revisions[0].revision
    leader.do(c.RollBackApp("shop", revision))
    leader.run(25)
    assert converged(app_of(leader))
    assert first.id in here(leader)
    assert first.id in leader.log.state().pulled


def test_a_deleted_app_leaves_no_image_but_those_of_others() -> None:
    """Two apps have one image: it stays until both are gone."""
    leader, images = history(2, 3)
    shared = text("other", f"{REPOSITORY}:2")
    leader.do(c.RegisterApp("other", shared, 1), c.StartApp("other", 1))
    leader.run(5)
    leader.do(c.DeleteApp("shop"))
    leader.run(PASS_S)
    assert here(leader) == {images[1].id}
    leader.do(c.DeleteApp("other"))
    leader.run(PASS_S)
    assert here(leader) == set()
    assert leader.log.state().pulled == Map()


def test_what_others_brought_stays() -> None:
    """An image that was here before, though the cluster pulled its name again, and used it."""
    leader = Leader()
    images = push(leader, 1, 2, 3)
    leader.engine.pull(PullOrder(f"{REPOSITORY}:1"))
    begin(leader, 1, image=f"{REPOSITORY}:1", policy="Always", **QUICK)
    for version in (2, 3):
        update(leader, version)
    leader.do(c.DeleteApp("shop"))
    leader.run(PASS_S)
    assert here(leader) == {images[0].id}
    assert leader.log.state().pulled == Map()


@pytest.mark.parametrize("name", [f"{REPOSITORY}:keep", "mine:1"])
def test_an_image_with_a_name_of_somebody_else_stays(name: str) -> None:
    """Also when it has lost the name under which it came, and is not even tried."""
    leader, images = history(1, 0)
    leader.engine.images.tag(images[0].id, name)
    leader.engine.images.push(f"{REPOSITORY}:1", "moved")
    leader.do(c.RestartApp("shop"))
    found = text(image=f"{REPOSITORY}:1", policy="Always")
    leader.do(c.UpdateApp("shop", found, "other", 1))
    leader.run(30)
    leader.do(c.DeleteApp("shop"))
    leader.run(PASS_S)
    assert here(leader) == {images[0].id}
    assert leader.engine.image(name) == images[0]


def test_a_container_of_anybody_keeps_its_image() -> None:
    """The engine says so; it is asked again later, and others do not wait for it."""
    leader, images = history(AT_ONCE_MAX + 3, 0)
    stranger = RunRequest("another", "x", 1, 1, 1, "x", pinned=images[0].id)
    theirs = leader.engine.run(stranger)
    leader.run(PASS_S)
    assert here(leader) == {images[0].id} | ids(images[-2:])
    leader.engine.stop(theirs.id, grace_s=0)
    leader.run(PASS_S)
    assert images[0].id in here(leader), "it is not asked about all the time"
    leader.run(AGAIN_S)
    assert here(leader) == ids(images[-2:])


def test_many_that_are_in_use_keep_no_other_from_going() -> None:
    """More than are tried at once, and older ones."""
    leader, images = history(AT_ONCE_MAX + 4, 0)
    for number, image in enumerate(images[:AT_ONCE_MAX + 1]):
        leader.engine.run(RunRequest("another", "x", number + 1, 1, 1, "x", pinned=image.id))
    leader.run(PASS_S)
    assert here(leader) == ids(images) - {images[AT_ONCE_MAX + 1].id}


def test_what_was_removed_and_brought_back_by_hand_stays() -> None:
    """A look at the host tells that it was gone: who brings it then may keep it."""
    leader, images = history(3, 3)
    leader.engine.images.lose(images[0].id)
    leader.run(PASS_S)
    assert images[0].id not in leader.log.state().pulled
    leader.engine.pull(PullOrder(f"{REPOSITORY}:1"))
    leader.do(c.DeleteApp("shop"))
    leader.run(PASS_S)
    assert here(leader) == {images[0].id}


@pytest.mark.parametrize("fault", ["unavailable", "timeout", "rejected"])
def test_an_engine_that_fails_loses_nothing(fault: Any) -> None:
    """Whatever it says of a removal or of its images, the next look goes on."""
    leader, images = history(4, 0)
    real = leader.engine.remove_image
    failed: list[str] = []

    def remove(image_id: str) -> bool:
        if not failed:
            failed.append(image_id)
            raise EngineError(fault, "told to fail")
        return real(image_id)

    leader.engine.remove_image = remove  # type: ignore[method-assign]
    leader.run(3 * EVERY_S)
    assert failed == [images[0].id]
    assert here(leader) == {images[0].id} | ids(images[-2:])
    leader.run(AGAIN_S)
    assert here(leader) == ids(images[-2:])


def test_without_an_answer_nothing_goes() -> None:
    """An engine that is silent is not asked to remove anything."""
    leader, images = history(4, 0)
    leader.engine.hang = True
    leader.run(3 * EVERY_S)
    assert here(leader) == ids(images)
    leader.engine.hang = False
    leader.run(3 * EVERY_S)
    assert here(leader) == ids(images[-2:])


def test_an_app_that_waits_for_its_image_holds_its_repository() -> None:
    """Which one it will be is not known yet."""
    leader, images = history(4, 0)
    name = f"{REPOSITORY}:typo"
    leader.engine.behaviours[name] = ImageBehaviour(missing=True)
    waiting = text("waiting", name)
    leader.do(c.RegisterApp("waiting", waiting, 1), c.StartApp("waiting", 1))
    leader.run(2 * PASS_S)
    assert here(leader) >= ids(images)
    leader.do(c.DeleteApp("waiting"))
    leader.run(2 * PASS_S)
    assert here(leader) & ids(images) == ids(images[-2:])


# -- what is needed, as a pure function --------------------------------------------------

A, B = "sha256:a", "sha256:b"
DIGEST = f"{REPOSITORY}@sha256:{'1' * 64}"


def app(pins: dict[int, str], revisions: dict[int, bool], now: int, **more: Any) -> App:
    """An app whose revisions, healthy or not, are templates of their own."""
    found = document("shop", f"{REPOSITORY}:1")
    return App(
        "shop", found, now, running=False, replicas=1, created_at_ms=0, updated_at_ms=0,
        template=now,
        revisions=tuple(
            Revision(n, found, n, 0, healthy=healthy) for n, healthy in revisions.items()),
        pins=tuple(Pin(n, f"{REPOSITORY}:1", ref, ref) for n, ref in pins.items()), **more)


def state_of(*apps: App, runs: tuple[Run, ...] = ()) -> ClusterState:
    """A state with them."""
    return ClusterState(
        apps=Map({one.name: one for one in apps}), runs=Map({str(run.id): run for run in runs}))


def test_the_last_healthy_revision_is_kept_however_many_failed_since() -> None:
    """It is the one that comes back by itself."""
    found = app({}, {1: True, 2: False, 3: False, 4: False, 5: False}, 6)
    assert kept(found, 2) == {5, 4, 1}
    assert kept(found, 0) == {1}


def test_after_a_rollback_the_present_template_is_an_old_one() -> None:
    """It is needed, and does not count as one before."""
    found = app({1: A, 2: B}, {1: True, 2: False}, 1)
    assert kept(found, 1) == {2}
    needs = needed(state_of(found), 0)
    assert needs is not None
    assert needs.ids == {A}


def test_a_run_keeps_the_image_that_it_was_asked_for_with() -> None:
    """While it is not over, also when its revision is long past."""
    found = app({1: A, 9: B}, {n: n > 1 for n in range(1, 9)}, 9)
    run = Run(1, "shop", "run", 1, 60, 0)
    busy, idle = (needed(state_of(found, runs=(one,)), 0) for one in (
        run, replace(run, phase="succeeded")))
    assert busy is not None
    assert idle is not None
    assert A in busy.ids
    assert A not in idle.ids


def test_a_run_of_a_revision_that_is_forgotten_holds_nothing() -> None:
    """Its container keeps its image, and without one it ends: others do not wait for that."""
    found = app({9: B}, {8: True}, 9)
    needs = needed(state_of(found, runs=(Run(1, "shop", "run", 1, 60, 0),)), 0)
    assert needs is not None
    assert needs.ids == {B}


def test_an_app_that_leaves_keeps_its_images() -> None:
    """Its containers may have to be looked at until they are gone."""
    needs = needed(state_of(app({1: A, 2: B}, {1: True}, 2, deleting=True)), 0)
    assert needs is not None
    assert needs.ids == {A, B}


def test_a_spec_that_cannot_be_read_holds_everything() -> None:
    """A newer version wrote it: nobody here knows which image it needs."""
    unknown = json.dumps({"apiVersion": "v9"})
    assert needed(state_of(replace(app({}, {}, 1), document=unknown)), 0) is None


@pytest.mark.parametrize(("stored", "goes"), [
    (StoredImage(A, (f"{REPOSITORY}:1",)), True),
    (StoredImage(A, (), (DIGEST,)), True),
    (StoredImage(A), True),
    (StoredImage(B, (f"{REPOSITORY}:1",)), False),
    (StoredImage(A, (f"{REPOSITORY}:1", f"{REPOSITORY}:2")), False),
    (StoredImage(A, ("nginx:1",)), False),
])
def test_only_what_is_ours_by_every_name(stored: StoredImage, goes: bool) -> None:
    """Another image, and one that has another name, stay."""
    pulled = {A: PulledImage(A, (f"{REPOSITORY}:1",), 5)}
    needs = needed(state_of(), 0)
    assert needs is not None
    assert unused(pulled, [stored], needs) == ([stored] if goes else [])


def test_a_pin_holds_by_its_digest_too() -> None:
    """A host that stores images in another way has another id for the same one."""
    held = app({1: DIGEST}, {}, 1)
    needs = needed(state_of(held), 0)
    assert needs is not None
    pulled = {A: PulledImage(A, (f"{REPOSITORY}:1",), 5)}
    assert unused(pulled, [StoredImage(A, (), (DIGEST,))], needs) == []


def test_what_is_known_of_pulled_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are added and bounded; a late word that one is gone does not forget the next."""
    monkeypatch.setattr(images_module, "PULLED_MAX", 2)
    state = ClusterState()
    commands: list[c.Command] = [
        c.NotePulled(A, "x:1"), c.NotePulled(A, "x:2"), c.NotePulled(A, "x:1"),
        c.ForgetPulled(A, 2), c.NotePulled(B, "y:1"), c.NotePulled("sha256:c", "z:1"),
        *(c.NotePulled(B, f"y:{n}") for n in range(9)),
    ]
    for index, command in enumerate(commands, 1):
        state, applied = apply(state, command, c.Stamp(1, "c1"), index)
        assert applied.rejected is None
    assert state.pulled[A] == PulledImage(A, ("x:2", "x:1"), 1)
    assert set(state.pulled) == {A, B}
    assert state.pulled[B].names == tuple(f"y:{n}" for n in range(1, 9))
    state, _ = apply(state, c.ForgetPulled(A, 1), c.Stamp(1, "c1"), 30)
    assert set(state.pulled) == {B}
