"""Checks on demand: they count like the others, one at a time, and always come to an end."""

from __future__ import annotations

import pytest

from cluster.control import checks
from cluster.control.checks import Check
from cluster.state import commands as c
from tests.unit.test_reconcile import Leader, start


def asked(leader: Leader, app: str = "shop") -> Check:
    """A check that was asked for."""
    check = leader.parts.checks.ask(app)
    assert check is not None
    return check


def steady(replicas: int = 3) -> Leader:
    """A leader whose app runs, and whose next periodic checks are seconds away."""
    leader = Leader(longest_s=0.01)
    start(leader, "shop", replicas)
    leader.run(3)
    return leader


def test_every_replica_is_asked_once_and_it_counts() -> None:
    """The answers are new ones, and move the records that decide about health."""
    leader = steady()
    before = {i: r.checks for i, r in leader.parts.fleet.records.items()}
    sick = leader.engine.containers()[1]
    leader.engine.set_sick(sick.id)
    check = asked(leader)
    leader.run(0.2)
    found = check.wait(0)
    assert found is not None
    assert [one.container.slot for one in found] == [1, 2, 3]
    assert [one.probe.ok for one in found] == [one.container.id != sick.id for one in found]
    records = leader.parts.fleet.records
    assert {i: r.checks for i, r in records.items()} == {i: n + 1 for i, n in before.items()}
    assert records[sick.id].failures == 1
    assert [one.record for one in found] == [records[one.container.id] for one in found]


def test_enough_failures_make_a_replica_unhealthy() -> None:
    """As many as the threshold of two asks for, without a periodic check between."""
    leader = steady()
    sick = leader.engine.containers()[0]
    leader.engine.set_sick(sick.id)
    healths = []
    for _ in range(2):
        check = asked(leader)
        leader.run(0.1)
        found = check.wait(0)
        assert found is not None
        healths += [one.record.health for one in found if one.container.id == sick.id]
    assert healths == ["healthy", "unhealthy"]


def test_a_replica_has_one_check_at_a_time() -> None:
    """What was asked before does not answer: it is waited for, then the replica is asked."""
    leader = steady(1)
    container_id = leader.engine.containers()[0].id
    key = f"probe:{container_id}"
    leader.parts.workers._longest_s = 3.0
    first = asked(leader)
    leader.run(0.05)
    assert leader.parts.workers.running(key) == 1
    checks_before = leader.parts.fleet.records[container_id].checks
    second, third = asked(leader), asked(leader)
    assert second is third
    assert second is not first
    for _ in range(200):
        leader.run(0.05)
        assert leader.parts.workers.running(key) <= 1
        if second.done:
            break
    assert first.wait(0)
    assert second.wait(0)
    assert leader.parts.fleet.records[container_id].checks >= checks_before + 2


@pytest.mark.parametrize("app", ["shop", "nobody"])
def test_nothing_to_check(app: str) -> None:
    """A stopped app and one that is not there have no replicas to check."""
    leader = steady()
    leader.do(c.StopApp("shop"))
    leader.run(5)
    check = asked(leader, app)
    leader.run(0.1)
    assert check.wait(0) == []


def test_a_replica_that_goes_is_not_waited_for() -> None:
    """A container that dies under its check leaves the others' answers."""
    leader = steady()
    leader.parts.workers._longest_s = 1.0
    check = asked(leader)
    leader.run(0.05)
    gone = leader.engine.containers()[0]
    leader.engine.kill(gone.id)
    leader.run(4)
    found = check.wait(0)
    assert found is not None
    assert {one.container.id for one in found} >= {
        one.id for one in leader.engine.containers() if one.phase == "running"} - {
        one.id for one in leader.engine.containers() if one.name == gone.name}


def test_a_leader_that_stops_leading_lets_go() -> None:
    """Those who wait are not left waiting for answers that nobody will use."""
    leader = steady()
    leader.parts.workers._longest_s = 1000.0
    check = asked(leader)
    leader.run(0.1)
    assert not check.done
    leader.log.leader = None
    leader.run(5)
    assert check.done
    assert check.wait(0) is None
    assert leader.parts.checks.open() == []


def test_open_checks_are_bounded() -> None:
    """One too many is refused; when others are over there is room again."""
    leader = steady()
    for number in range(checks.OPEN_MAX):
        asked(leader, f"app-{number}")
    assert leader.parts.checks.ask("shop") is None
    leader.run(0.1)
    assert leader.parts.checks.ask("shop") is not None
