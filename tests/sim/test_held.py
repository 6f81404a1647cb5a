"""A deployment that has failed, and what is asked of its app then."""

from __future__ import annotations

import pytest

from cluster.engine.fake_parts import ImageBehaviour
from cluster.state import commands as c
from tests.sim.test_seams import SHOP, World, secret, spec, update
from tests.templates import key_of


def failed_then_scaled(seed: int, *, dies: bool = False) -> None:
    """More are wanted of a deployment that has failed: they are old ones."""
    world = World(seed)
    world.how, world.prepares = "rolling", False
    for version in (1, 2):
        world.engine.images.push(f"{SHOP}:{version}", str(version))
    world.engine.behaviours[f"{SHOP}:2"] = ImageBehaviour(start_latency_s=0.2, healthy=False)
    first = spec(world, 1)
    world.ask(secret(world))
    world.ask(c.RegisterApp("shop", first, 1, template_key=key_of(first)))
    world.ask(c.StartApp("shop", 2))
    world.run(8)
    assert world.serving() == 2
    world.ask(update(world, 2, autoRollback=False))
    world.run(15)
    rollout = world.shop.rollout
    assert rollout is not None
    assert rollout.phase == "failed"
    world.ask(c.ScaleApp("shop", 4, 0))
    world.run(0.3)
    if dies:
        world.lead()
    world.run(10)
    assert world.shop.rollout is not None
    assert world.shop.rollout.new == rollout.new
    assert world.serving() == 4


@pytest.mark.parametrize("dies", [False, True], ids=["the leader stays", "the leader dies"])
def test_what_has_failed_does_not_spread(dies: bool) -> None:
    """Whoever leads."""
    failed_then_scaled(1, dies=dies)
