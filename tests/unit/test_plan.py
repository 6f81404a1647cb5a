"""What is started and stopped, as a table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control.plan import Start, Stop, plan, request
from cluster.engine.base import Container
from cluster.state.model import App
from orchestry.spec.model import AppSpec, EnvVar, Port, SecretFile, Termination, Volume

SPEC = AppSpec(
    "shop", "shop:1", (Port(8080),), termination=Termination(grace_period_s=7)
)
APP = App(
    name="shop", document="{}", revision=5, running=True, replicas=2, created_at_ms=0,
    updated_at_ms=0,
)


def box(slot: int, *, revision: int = 5, phase: Any = "running", exit_code: int = 0) -> Container:
    """A container of the shop."""
    return Container(
        f"id-{revision}-{slot}", f"shop.{slot}", "shop", slot, revision, 1, phase,
        exit_code=exit_code,
    )


def test_missing_slots_are_started() -> None:
    """Nothing runs, two are wanted."""
    assert plan(APP, SPEC, []) == (Start(1), Start(2))


def test_nothing_to_do() -> None:
    """Everything is there."""
    assert plan(APP, SPEC, [box(1), box(2)]) == ()


def test_surplus_slots_are_stopped_with_the_specs_grace() -> None:
    """The highest slots go."""
    assert plan(APP, SPEC, [box(1), box(2), box(3)]) == (Stop("id-5-3", 7, "scaled in", 30),)


def test_stopped_app_uses_the_grace_of_the_request() -> None:
    """`stop` with a timeout overrides the spec, `force` kills at once."""
    stopped = replace(APP, running=False, stop_grace_s=3)
    assert plan(stopped, SPEC, [box(1)]) == (Stop("id-5-1", 3, "stopped", 30),)
    forced = replace(stopped, stop_force=True)
    assert plan(forced, SPEC, [box(1)]) == (Stop("id-5-1", 0, "stopped"),)


def test_dead_replica_is_started_again_in_its_slot() -> None:
    """The start names the container that it replaces."""
    assert plan(APP, SPEC, [box(1), box(2, phase="exited")]) == (Start(2, "id-5-2"),)


@pytest.mark.parametrize(
    ("policy", "exit_code", "again"),
    [("Always", 0, True), ("Always", 1, True), ("OnFailure", 0, False), ("OnFailure", 1, True),
     ("Never", 0, False), ("Never", 1, False)],
)
def test_restart_policy(policy: Any, exit_code: int, again: bool) -> None:
    """Each policy with each kind of end."""
    spec = replace(SPEC, restart_policy=policy)
    dead = box(2, phase="exited", exit_code=exit_code)
    assert plan(APP, spec, [box(1), dead]) == ((Start(2, dead.id),) if again else ())


def test_failed_checks_stop_the_replica() -> None:
    """Its slot is started once it is gone."""
    assert plan(APP, SPEC, [box(1), box(2)], replace={"id-5-1"}) == (
        Stop("id-5-1", 7, "failed its health checks"),
    )


def test_containers_without_app_go() -> None:
    """What was left behind by a deleted app is removed."""
    assert plan(None, None, [box(1)]) == (Stop("id-5-1", 10, "its application is gone"),)


def test_older_revision_goes_and_is_replaced() -> None:
    """A container of another revision counts for no slot."""
    assert plan(APP, SPEC, [box(1, revision=4), box(2)]) == (
        Stop("id-4-1", 7, "of an older revision", 30), Start(1),
    )


@given(
    replicas=st.integers(0, 6), running=st.booleans(),
    boxes=st.lists(
        st.tuples(
            st.integers(1, 8), st.sampled_from([4, 5]),
            st.sampled_from(["created", "running", "exited"]),
        ),
        unique_by=lambda box: box[:2],
    ),
)
def test_plan_converges(
    replicas: int, running: bool, boxes: list[tuple[int, int, Any]]
) -> None:
    """Carrying a plan out leaves exactly the wanted slots, and then nothing to do."""
    app = replace(APP, replicas=replicas, running=running)
    there = {(s, r): box(s, revision=r, phase=p) for s, r, p in boxes}
    for action in plan(app, SPEC, list(there.values())):
        if isinstance(action, Stop):
            there = {key: c for key, c in there.items() if c.id != action.container_id}
        else:
            there[(action.slot, 5)] = box(action.slot)
    assert plan(app, SPEC, list(there.values())) == ()
    wanted = replicas if running else 0
    assert sorted(there) == [(slot, 5) for slot in range(1, wanted + 1)]


def test_a_replica_that_is_over_is_not_started_again_without_its_container() -> None:
    """Somebody removed the container of a replica that had finished."""
    assert plan(APP, SPEC, [box(1)], over={(5, 2)}) == ()
    assert plan(APP, SPEC, [box(1)], over={(4, 2)}) == (Start(2),)


def test_request_resolves_what_the_cluster_knows() -> None:
    """Variables, volumes and identity of one replica."""
    spec = replace(
        SPEC,
        environment=(
            EnvVar("MODE", "fast"),
            EnvVar("ME", source="sdk", key="instance.id"),
            EnvVar("PORT", source="sdk", key="instance.port"),
            EnvVar("IP", source="sdk", key="instance.ip"),
        ),
        volumes=(Volume("data", "/data"), Volume("own", "/own", per_replica=True)),
    )
    order = request(APP, spec, 2, cluster_id="c1", epoch=9)
    assert order.environment == (("MODE", "fast"), ("ME", "shop-2"), ("PORT", "8080"))
    assert order.address_in == ("IP",)
    assert [mount.volume for mount in order.mounts] == [
        "orchestry-shop-data", "orchestry-shop-own-2",
    ]
    assert (order.app, order.slot, order.revision, order.epoch) == ("shop", 2, 5, 9)


def test_request_has_the_texts_of_files() -> None:
    """One field may be a variable and a file; nothing that is printed has it."""
    spec = replace(
        SPEC, environment=(EnvVar("PW", source="secret", key="db"),),
        secret_files=(SecretFile("pw", "db"), SecretFile("user.txt", "db", "user")))
    order = request(APP, spec, 1, cluster_id="c1", epoch=9, secrets={
        ("db", "value"): "pa55", ("db", "user"): "me"})
    assert order.environment == (("PW", "pa55"),)
    assert order.files == (("pw", "pa55"), ("user.txt", "me"))
    assert "pa55" not in repr(order)
