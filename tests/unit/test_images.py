"""Images as the leader finds, pulls and pins them: one for each revision."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.control.image_needs import pulling_of
from cluster.control.pull_policy import must_pull, policy_of, ref_of
from cluster.control.workers import LANES, PULL
from cluster.engine.base import EngineError, Image, Login
from cluster.engine.fake_parts import ImageBehaviour
from cluster.sealing import Keyring
from cluster.state import commands as c
from cluster.state.images import pin_of
from cluster.state.machine import apply
from cluster.state.model import App
from cluster.state.pins import Pulling
from cluster.state.registries import secret_name
from cluster.state.status import converged
from orchestry.spec.parse import spec_of
from tests.sim.fleet_world import document
from tests.templates import key_of
from tests.unit.test_reconcile import Leader

SHOP = "registry.example/team/shop:1"
DOWN = EngineError("registry_down", "registry registry.example does not give it out")


def text(name: str = "shop", image: str = SHOP, policy: str = "", **deploy: Any) -> str:
    """A spec."""
    found = json.loads(document(name, image, **deploy))
    if policy:
        found["spec"]["imagePullPolicy"] = policy
    return json.dumps(found)


def begin(leader: Leader, replicas: int = 2, name: str = "shop", **spec: Any) -> None:
    """Register, start, and wait a while."""
    found = text(name, **spec)
    leader.do(c.RegisterApp(name, found, 1, template_key=key_of(found)), c.StartApp(name, replicas))
    leader.run(5)


def change(leader: Leader, name: str = "shop", **spec: Any) -> None:
    """Another spec."""
    found = text(name, **spec)
    leader.do(c.UpdateApp(name, found, key_of(found), 1))


def app_of(leader: Leader, name: str = "shop") -> App:
    """As the state has it."""
    return leader.log.state().apps[name]


def waits_for(leader: Leader, name: str = "shop") -> Pulling | None:
    """The pull that an app waits for."""
    return pulling_of(leader.log.state(), app_of(leader, name))


def made_from(leader: Leader) -> set[str]:
    """The ids of the images of all running replicas."""
    return {leader.engine.made_from(one.id) for one in leader.engine.containers()
            if one.phase == "running"}


def test_a_name_means_one_image_within_a_revision() -> None:
    """Its tag moves on: replicas that come later are made from the same image, until a restart."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    begin(leader)
    second = leader.engine.images.push(SHOP, "two")
    leader.do(c.ScaleApp("shop", 4, 60))
    leader.run(5)
    assert converged(app_of(leader))
    assert made_from(leader) == {first.id}
    pin = pin_of(app_of(leader), app_of(leader).made_from)
    assert pin is not None
    assert (pin.ref, pin.image, pin.image_id) == (first.digests[0], SHOP, first.id)
    found = text(policy="Always")
    leader.do(c.UpdateApp("shop", found, key_of(found), 1), c.RestartApp("shop"))
    leader.run(40)
    assert converged(app_of(leader))
    assert made_from(leader) == {second.id}


def test_an_older_revision_comes_back_with_its_own_image() -> None:
    """Though its tag stands for another one by now, and the host has lost it."""
    leader = Leader()
    first = leader.engine.images.push(SHOP, "one")
    begin(leader)
    second = leader.engine.images.push("registry.example/team/shop:2", "two")
    leader.engine.images.push(SHOP, "changed")
    change(leader, image="registry.example/team/shop:2")
    leader.run(40)
    assert made_from(leader) == {second.id}
    leader.engine.images.lose(first.id)
    leader.do(c.RollBackApp("shop"))
    leader.run(40)
    assert converged(app_of(leader))
    assert made_from(leader) == {first.id}


@pytest.mark.parametrize("strategy", ["rolling", "recreate"])
def test_a_bad_tag_stops_no_replica(strategy: str) -> None:
    """The deployment waits, says why, fails in time and is rolled back; the old ones run on."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    begin(leader)
    before = {one.id for one in leader.engine.containers()}
    leader.engine.behaviours["registry.example/team/shop:typo"] = ImageBehaviour(missing=True)
    change(leader, image="registry.example/team/shop:typo", strategy=strategy,
           progressDeadlineSeconds=20)
    leader.run(10)
    assert {one.id for one in leader.engine.containers()} == before
    app = app_of(leader)
    assert "shop:typo is not in registry" in app.problem
    assert app.problem_code == "DOCKER_ERROR"
    assert app.rollout is not None
    assert 1 < len(leader.engine.images.pulled) - 1 < 6, "attempts back off"
    leader.run(30)
    app = app_of(leader)
    assert (app.rollout, app.problem) == (None, "")
    assert json.loads(app.document)["spec"]["image"] == SHOP
    assert "is not in registry" in app.deployments[-2].reason
    assert {one.id for one in leader.engine.containers()} == before
    told = [e for e in leader.log.state().events if e.message.startswith("No image:")]
    assert len(told) == 1


def test_a_registry_that_comes_back() -> None:
    """Until then the app says why it has no replica; then it runs, and nothing is left of it."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.refuse[SHOP] = DOWN
    begin(leader)
    assert (app_of(leader).problem, app_of(leader).reports) == (DOWN.reason, ())
    del leader.engine.images.refuse[SHOP]
    leader.run(15)
    assert converged(app_of(leader))
    assert app_of(leader).problem == ""
    said = [e.message for e in leader.log.state().events if e.app == "shop"]
    assert sum(message.startswith("Pulling image") for message in said) == 1
    assert sum("is pulled, in" in message for message in said) == 1


def test_what_is_lost_is_pulled_again_and_harms_no_other_replica() -> None:
    """The image of a revision is gone and its registry down: the others stay, and it says why."""
    leader = Leader()
    image = leader.engine.images.push(SHOP, "one")
    begin(leader)
    ref = image.digests[0]
    leader.engine.images.refuse[ref] = DOWN
    leader.engine.images.lose(image.id)
    one = leader.engine.containers()[0]
    leader.engine.kill(one.id)
    leader.run(20)
    running = [o for o in leader.engine.containers() if o.phase == "running"]
    assert len(running) == 1
    problem = app_of(leader).problem
    assert DOWN.reason in problem
    assert f"a restart of the application takes what {SHOP} is now" in problem
    del leader.engine.images.refuse[ref]
    leader.run(70)
    assert converged(app_of(leader))
    assert made_from(leader) == {image.id}


def test_an_image_that_was_built_here_and_is_gone() -> None:
    """No registry can be asked for it; a restart takes what its name stands for now."""
    leader = Leader()
    begin(leader, image="local:1")
    (built,) = made_from(leader)
    leader.engine.images.lose(built)
    leader.engine.kill(leader.engine.containers()[0].id)
    leader.run(10)
    assert "no registry has it" in app_of(leader).problem
    assert leader.engine.images.pulled == []


def test_few_pulls_at_once_and_nobody_waits_for_them() -> None:
    """Ten images that take for ever, one of them for two apps: three pulls, and others start."""
    leader = Leader()
    leader.run(1)
    leader.parts.workers.lane_longest_s["pull"] = 10_000.0
    for number in range(10):
        leader.engine.images.push(f"registry.example/a{number}:1", "x")
    for number in range(11):
        found = text(f"a{number}", f"registry.example/a{number % 10}:1")
        leader.do(c.RegisterApp(f"a{number}", found, 1), c.StartApp(f"a{number}", 1))
    begin(leader, 2, "zebra", image="local:1")
    assert converged(app_of(leader, "zebra"))
    assert leader.parts.workers.running(PULL) == 3 < LANES["pull"]
    assert waits_for(leader, "a0") == waits_for(leader, "a10")
    assert len({waits_for(leader, f"a{number}") for number in range(11)} - {None}) == 3


def test_a_registry_that_hangs_keeps_no_other_waiting() -> None:
    """Pulls that fail again and again leave their places to one that was not tried yet."""
    leader = Leader()
    for number in range(6):
        name = f"registry.example/a{number}:1"
        leader.engine.images.push(name, "x")
        leader.engine.images.refuse[name] = DOWN
        found = text(f"a{number}", name)
        leader.do(c.RegisterApp(f"a{number}", found, 1), c.StartApp(f"a{number}", 1))
    leader.parts.workers.lane_longest_s["pull"] = 20.0
    leader.run(60)
    leader.engine.images.push(SHOP, "one")
    begin(leader, 1)
    leader.run(45)
    assert converged(app_of(leader))


def test_a_pull_that_nobody_waits_for_is_given_up() -> None:
    """The app is stopped while its image comes."""
    leader = Leader()
    leader.run(1)
    leader.parts.workers.lane_longest_s["pull"] = 60.0
    leader.engine.images.push(SHOP, "one")
    begin(leader)
    assert waits_for(leader) is not None
    leader.do(c.StopApp("shop"))
    leader.run(70)
    assert leader.engine.images.pulled == []
    assert waits_for(leader) is None
    assert leader.parts.workers.running(PULL) == 0


def test_policy_never_asks_no_registry() -> None:
    """What is not here stays away, with the reason."""
    leader = Leader()
    leader.engine.images.push(SHOP, "one")
    begin(leader, policy="Never")
    assert "`spec.imagePullPolicy` is Never" in app_of(leader).problem
    assert leader.engine.images.pulled == []


def test_always_asks_also_for_what_is_here() -> None:
    """A new revision takes what the registry has now; that is what latest stands for too."""
    leader = Leader()
    latest = "registry.example/team/shop"
    leader.engine.images.push(latest, "one")
    begin(leader, image=latest)
    second = leader.engine.images.push(latest, "two")
    leader.do(c.RestartApp("shop"))
    leader.run(40)
    assert made_from(leader) == {second.id}
    assert leader.engine.images.pulled == [latest, latest]


HERE = Image("sha256:1", ("registry.example/x@sha256:2",))
BUILT = Image("sha256:1")


@pytest.mark.parametrize(("image", "policy", "here", "pulls"), [
    ("x:1", "", None, True), ("x:1", "", HERE, False), ("x:1", "Always", HERE, True),
    ("x:1", "Never", None, False), ("x", "", HERE, True), ("x", "", None, True),
    ("x", "", BUILT, False), ("x:latest", "", HERE, True),
    ("x:latest", "IfNotPresent", HERE, False),
    ("a:5000/x", "", HERE, True), ("x", "Always", BUILT, True),
    (f"x@sha256:{'a' * 64}", "", HERE, False), (f"x:latest@sha256:{'a' * 64}", "", HERE, False),
])
def test_when_a_registry_is_asked(image: str, policy: str, here: Image | None, pulls: bool) -> None:
    """As the table in docs/images.md says."""
    assert must_pull(policy_of(spec_of(text(image=image, policy=policy))), here) is pulls


@pytest.mark.parametrize(("name", "image", "ref"), [
    ("x:1", BUILT, "sha256:1"), ("registry.example/x:1", HERE, "registry.example/x@sha256:2"),
    ("y:1", HERE, "sha256:1"),
    ("x:1", Image("sha256:1", ("x@sha256:3",)), "x@sha256:3"),
    ("y:1@sha256:4", BUILT, "docker.io/library/y@sha256:4"),
])
def test_how_an_image_is_said(name: str, image: Image, ref: str) -> None:
    """By the digest of its own repository, else by its id."""
    assert ref_of(name, image) == ref


def test_the_first_pin_holds() -> None:
    """A second one, one of a template that is not known, and one of no app change nothing."""
    leader = Leader()
    begin(leader, image="local:1")
    state = leader.log.state()
    template = state.apps["shop"].made_from
    stamp = c.Stamp(1, "c1")
    for command in (
        c.PinImage("shop", template, "local:1", "sha256:other", "sha256:other"),
        c.PinImage("shop", template + 1, "local:1", "sha256:other", "sha256:other"),
        c.PinImage("none", template, "local:1", "sha256:other", "sha256:other"),
    ):
        after, applied = apply(state, command, stamp, state.index + 1)
        assert applied.rejected is None
        assert after.apps == state.apps


def test_a_login_is_used_and_a_new_one_is_tried_at_once() -> None:
    """Without one it is refused, again and again later; with it, the pull goes through."""
    keyring = Keyring([b"k" * 32])
    leader = Leader(keys=[b"k" * 32])
    right = Login("robot", "right")
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.logins["registry.example"] = right

    def set_login(version: int, password: str) -> None:
        name = secret_name("registry.example")
        values = {"username": "robot", "password": password}
        key_id, sealed = keyring.seal(name, version, values)
        leader.do(c.SetSecret(name, version, key_id, tuple(sorted(values)), sealed))

    begin(leader)
    assert "does not give out" in app_of(leader).problem
    set_login(1, "wrong")
    leader.run(60)
    assert "does not give out" in app_of(leader).problem
    tried = len(leader.engine.images.pulled)
    set_login(2, right.password)
    leader.run(3)
    assert len(leader.engine.images.pulled) == tried + 1
    leader.run(3)
    assert converged(app_of(leader))
    assert right.password not in repr(leader.log.state())


def test_a_login_that_cannot_be_opened_is_told() -> None:
    """The registry is not asked without it: it might have another image for strangers."""
    leader = Leader(keys=[b"x" * 32])
    leader.engine.images.push(SHOP, "one")
    name = secret_name("registry.example")
    key_id, sealed = Keyring([b"k" * 32]).seal(name, 1, {"username": "a", "password": "b"})
    leader.do(c.SetSecret(name, 1, key_id, ("password", "username"), sealed))
    begin(leader)
    assert "ORCHESTRY_SECRETS_KEY" in app_of(leader).problem
    assert leader.engine.images.pulled == []
