"""apply(): pure and total for every command, and the rules of each step."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings

from cluster.state import commands as c
from cluster.state.codec import decode_snapshot, encode_snapshot
from cluster.state.machine import apply
from cluster.state.model import GENERATION, Applied, ClusterState, Replica, owners_of
from cluster.state.step import RECENT_EVENTS_MAX, REPLICAS_MAX
from orchestry.errors import Code
from tests.unit.drawn import COMMANDS, LOGS


def stamp(at_ms: int = 1_000, **parts: Any) -> c.Stamp:
    """A stamp of one proposer."""
    return c.Stamp(at_ms=at_ms, by="alice", **parts)


def run(*entries: c.Command | tuple[c.Command, c.Stamp]) -> tuple[ClusterState, list[Applied]]:
    """The state after these commands, and the outcome of each."""
    state, outcomes = ClusterState(), []
    for index, entry in enumerate(entries, start=1):
        command, mark = entry if isinstance(entry, tuple) else (entry, stamp())
        state, applied = apply(state, command, mark, index)
        outcomes.append(applied)
    return state, outcomes


REGISTER = c.RegisterApp("shop", "{}", min_replicas=2)


def healthy(count: int, revision: int = 1) -> tuple[Replica, ...]:
    """Reports of healthy replicas."""
    return tuple(
        Replica(slot, revision, f"c{slot}", f"shop-{slot}", "10.0.0.2", 80, "running", "healthy")
        for slot in range(1, count + 1)
    )


def test_every_command_is_drawn_here() -> None:
    """A new kind of command must join the random logs of this file."""
    assert set(COMMANDS) == set(get_args(c.Command))


@given(LOGS)
@settings(deadline=None)
def test_apply_is_total_pure_and_keeps_its_bounds(log: list[tuple[c.Command, c.Stamp]]) -> None:
    """No command raises, changes its input, or breaks an invariant of the state."""
    state = ClusterState()
    for index, (command, mark) in enumerate(log, start=1):
        text = encode_snapshot(state)
        after, applied = apply(state, command, mark, index)
        assert (after, applied) == apply(state, command, mark, index)
        assert encode_snapshot(state) == text
        _check_step(state, after, applied, index)
        restored = decode_snapshot(encode_snapshot(after))
        assert restored == after
        assert encode_snapshot(restored) == encode_snapshot(after)
        state = after


def _check_step(before: ClusterState, after: ClusterState, applied: Applied, index: int) -> None:
    assert after.index == index
    assert applied.index <= index
    assert after.leadership.epoch - before.leadership.epoch in {0, 1, GENERATION}
    if applied.rejected is not None:
        assert after.apps == before.apps
        assert [e for e in after.events if e.type != "audit"][-5:] == [
            e for e in before.events if e.type != "audit"][-5:]
        assert after.leadership == before.leadership
    ids = [event.id for event in after.events]
    assert ids == sorted(set(ids))
    if after.next_event_id % GENERATION:
        assert after.next_event_id == (ids[-1] + 1 if ids else 1)
    else:
        assert not ids or after.next_event_id > ids[-1]
    assert after.owners == owners_of(after.apps)
    assert len(after.owners) == sum(len(set(app.addresses)) for app in after.apps.values())
    for name, app in after.apps.items():
        assert app.name == name
        assert 0 <= app.replicas <= REPLICAS_MAX
        assert not (app.running and app.deleting)
        assert app.running or app.scaling_until_ms == 0
        assert 1 <= app.revision <= index


@given(LOGS)
@settings(deadline=None)
def test_equal_logs_give_equal_states(log: list[tuple[c.Command, c.Stamp]]) -> None:
    """A controller that restarts from a snapshot anywhere ends where the others end."""
    whole = ClusterState()
    for index, (command, mark) in enumerate(log, start=1):
        whole, _ = apply(whole, command, mark, index)
    resumed = ClusterState()
    for index, (command, mark) in enumerate(log, start=1):
        resumed, _ = apply(resumed, command, mark, index)
        resumed = decode_snapshot(encode_snapshot(resumed))
    assert encode_snapshot(resumed) == encode_snapshot(whole)


def test_a_registered_app_is_stopped_and_has_its_index_as_revision() -> None:
    """Registering runs nothing; the revision is the log index of the spec."""
    state, outcomes = run(c.Noop(), REGISTER)
    app = state.apps["shop"]
    assert (app.revision, app.running, app.replicas, app.created_at_ms) == (2, False, 2, 1_000)
    assert outcomes[1].get("revision") == 2
    assert state.events[-1].message == "Application registered"


def test_a_name_is_registered_once() -> None:
    """A second registration changes nothing."""
    state, outcomes = run(REGISTER, replace(REGISTER, document="other"))
    assert outcomes[1].rejected is Code.APP_ALREADY_EXISTS
    assert state.apps["shop"].document == "{}"


@pytest.mark.parametrize(
    "command",
    [c.StartApp("x"), c.StopApp("x"), c.ScaleApp("x", 1, 60), c.DeleteApp("x")],
    ids=lambda command: type(command).__name__,
)
def test_an_unknown_app_is_named(command: c.Command) -> None:
    """Every request on an app that is not there is refused by its name."""
    _, (applied,) = run(command)
    assert applied.rejected is Code.APP_NOT_FOUND
    assert "'x'" in applied.details


def test_start_uses_what_the_app_last_had() -> None:
    """A start without a number takes the stored one, at least one, and is idempotent."""
    state, outcomes = run(
        REGISTER, c.StartApp("shop"), (c.StartApp("shop"), stamp(9_000)), c.StopApp("shop"),
        c.StartApp("shop", 4), c.StopApp("shop"), c.StartApp("shop"),
    )
    assert [outcomes[i].get("replicas") for i in (1, 2, 4, 6)] == [2, 2, 4, 4]
    assert [outcomes[i].get("previous_replicas") for i in (1, 2, 4)] == [0, 2, 0]
    assert state.apps["shop"].running
    assert sum(event.message.startswith("Application started") for event in state.events) == 3
    state, outcomes = run(replace(REGISTER, min_replicas=0), c.StartApp("shop"))
    assert state.apps["shop"].replicas == 1


@pytest.mark.parametrize("replicas", [-1, REPLICAS_MAX + 1, 10**9])
def test_numbers_of_replicas_are_bounded(replicas: int) -> None:
    """Start and scale refuse what no app may have, whatever the proposer let through."""
    state, outcomes = run(REGISTER, c.StartApp("shop", replicas), c.ScaleApp("shop", replicas, 60))
    assert [applied.rejected for applied in outcomes[1:]] == [Code.VALIDATION_ERROR] * 2
    assert not state.apps["shop"].running


def test_stop_keeps_the_number_for_the_next_start() -> None:
    """A stop notes how to stop, and tells whether there was anything to stop."""
    state, outcomes = run(
        REGISTER, c.StartApp("shop", 3), c.StopApp("shop", grace_s=5, force=True),
        c.StopApp("shop"),
    )
    app = state.apps["shop"]
    assert (app.running, app.replicas, app.stop_grace_s, app.stop_force) == (False, 3, None, False)
    assert [applied.get("was_running") for applied in outcomes[2:]] == [True, False]


def test_a_second_scale_waits_for_the_first() -> None:
    """While a scale converges another is refused, until it is settled or its time is over."""
    begin = (REGISTER, c.StartApp("shop"), (c.ScaleApp("shop", 5, timeout_s=60), stamp(1_000)))
    _, outcomes = run(*begin, (c.ScaleApp("shop", 6, 60), stamp(60_999)))
    assert outcomes[-1].rejected is Code.SCALING_IN_PROGRESS
    _, outcomes = run(*begin, (c.ScaleApp("shop", 5, 60), stamp(2_000)))
    assert outcomes[-1].rejected is None
    _, outcomes = run(*begin, (c.ScaleApp("shop", 6, 60), stamp(61_000)))
    assert outcomes[-1].get("previous_replicas") == 5
    _, outcomes = run(*begin, c.ReportApp("shop", 1, healthy(4)), c.ScaleApp("shop", 6, 60))
    assert outcomes[-1].rejected is Code.SCALING_IN_PROGRESS
    state, outcomes = run(*begin, c.ReportApp("shop", 1, healthy(5)), c.ScaleApp("shop", 6, 60))
    assert outcomes[-1].rejected is None
    assert state.apps["shop"].reached
    _, outcomes = run(*begin, c.StopApp("shop"), c.ScaleApp("shop", 6, 60))
    assert outcomes[-1].get("previous_replicas") == 0


def test_delete_ends_when_the_containers_are_gone() -> None:
    """A deleted app stays until the leader finishes; only then its name is free."""
    begin = (REGISTER, c.StartApp("shop"), c.ReportApp("shop", 1, healthy(2)))
    state, outcomes = run(
        *begin, c.DeleteApp("shop", keep_data=True), c.DeleteApp("shop"),
        c.StartApp("shop"), REGISTER,
    )
    app = state.apps["shop"]
    assert (app.running, app.deleting, app.keep_data) == (False, True, True)
    assert outcomes[3].get("containers") == 2
    assert outcomes[3].value == outcomes[4].value
    assert [applied.rejected for applied in outcomes[5:]] == [
        Code.APP_NOT_FOUND, Code.APP_ALREADY_EXISTS,
    ]
    state, outcomes = run(
        *begin, c.DeleteApp("shop"), c.FinishDelete("shop", 1, volumes_removed=3), REGISTER,
        c.FinishDelete("shop", 1, 0),
    )
    assert state.apps["shop"].revision == 6
    assert any(
        event.message == "Application deleted" and ("volumes_removed", 3) in event.details
        for event in state.events
    )


def test_finishing_what_is_not_being_deleted_changes_nothing() -> None:
    """A late FinishDelete of another revision or of a live app is ignored."""
    state, _ = run(REGISTER, c.FinishDelete("shop", 1, 0), c.DeleteApp("shop"),
                   c.FinishDelete("shop", 99, 0))
    assert state.apps["shop"].deleting


def test_a_report_of_another_revision_is_ignored() -> None:
    """What the leader saw of an older app of the same name is not believed."""
    state, _ = run(REGISTER, c.ReportApp("shop", 7, healthy(2), problem="old"),
                   c.ReportApp("other", 1, ()))
    assert state.apps["shop"].reports == ()
    assert set(state.apps) == {"shop"}


def test_a_report_tells_what_stands_in_the_way_until_the_next_request() -> None:
    """A problem is kept with the app and cleared by the owner's next step."""
    report = c.ReportApp("shop", 1, (), problem="no such image", problem_code="DOCKER_ERROR")
    state, _ = run(REGISTER, c.StartApp("shop"), report)
    assert state.apps["shop"].problem_code == "DOCKER_ERROR"
    state, _ = run(REGISTER, c.StartApp("shop"), report, c.StopApp("shop"))
    assert state.apps["shop"].problem == state.apps["shop"].problem_code == ""


def test_a_repeated_request_id_answers_the_first_outcome() -> None:
    """A retry of a write, accepted or refused, is applied once."""
    again = stamp(request_id="r1")
    state, outcomes = run((REGISTER, again), (REGISTER, again), (REGISTER, stamp(request_id="r2")),
                          c.DeleteApp("shop"), (REGISTER, stamp(request_id="r2")))
    assert outcomes[1] == outcomes[0]
    assert outcomes[2].rejected is Code.APP_ALREADY_EXISTS
    assert outcomes[4] == outcomes[2]
    assert state.index == 5
    assert len(state.events) == 2


def test_a_request_id_with_another_body_is_refused() -> None:
    """The same key for another request is a conflict, and the first outcome stays."""
    first = stamp(request_id="r1", fingerprint="a")
    state, outcomes = run(
        (REGISTER, first), (c.StopApp("shop"), stamp(request_id="r1", fingerprint="b")),
        (REGISTER, first),
    )
    assert outcomes[1].rejected is Code.CONFLICT
    assert outcomes[2] == outcomes[0]
    assert len(state.events) == 1


def test_events_are_forgotten_oldest_first() -> None:
    """The list of events is bounded, and ids go on growing."""
    state, _ = run(*[c.RecordEvent("health", "shop", "m")] * (RECENT_EVENTS_MAX + 2))
    assert [event.id for event in state.events] == list(range(3, RECENT_EVENTS_MAX + 3))


@pytest.mark.parametrize("name", ["state", "stamp", "kind", "app", "message"])
def test_details_of_an_event_have_any_name(name: str) -> None:
    """No name of a detail collides with a part of the event."""
    state, (applied,) = run(c.RecordEvent("error", "shop", "m", ((name, 1),)))
    assert applied.rejected is None
    assert dict(state.events[0].details) == {"by": "alice", name: 1}


def test_a_stale_epoch_changes_nothing() -> None:
    """What a deposed leader proposes is refused, and not remembered."""
    lead = c.BeginEpoch("n1", 3_000, "cluster-1")
    late = stamp(epoch=1, request_id="r1")
    state, outcomes = run(
        lead, REGISTER, replace(lead, holder="n2", cluster_id="cluster-2"),
        (c.ReportApp("shop", 2, healthy(1, 2)), late), (c.RenewLease(9_000), late),
        (c.RenewLease(9_000), stamp(7_000, epoch=2)),
    )
    assert [applied.rejected for applied in outcomes[3:]] == [
        Code.STALE_EPOCH, Code.STALE_EPOCH, None,
    ]
    assert state.apps["shop"].reports == ()
    assert state.memory.recall("r1") is None
    assert (state.leadership.epoch, state.leadership.holder) == (2, "n2")
    assert (state.leadership.renewed_at_ms, state.leadership.ttl_ms) == (7_000, 9_000)
    assert state.cluster_id == "cluster-1"


def test_a_new_epoch_of_the_same_holder_is_no_news() -> None:
    """Only a change of the leader is an event."""
    lead = c.BeginEpoch("n1", 3_000, "cluster-1")
    state, outcomes = run(lead, lead)
    assert [applied.get("epoch") for applied in outcomes] == [1, 2]
    assert [event.message for event in state.events] == ["n1 leads"]


def test_controllers_are_kept_by_id() -> None:
    """A controller that moved is known by its last address."""
    state, _ = run(
        c.AnnounceController("n1", "http://old", "h", "1"),
        c.AnnounceController("n1", "http://new", "h", "1"),
    )
    assert [info.api_url for info in state.controllers.values()] == ["http://new"]


@pytest.mark.parametrize(
    "command",
    [
        c.StartApp("shop", 2, expected_revision=1),
        c.StopApp("shop", expected_revision=1),
        c.ScaleApp("shop", 2, 30, expected_revision=1),
        c.DeleteApp("shop", expected_revision=1),
    ],
)
def test_if_match_is_checked_when_the_command_is_applied(command: c.Command) -> None:
    """What was raced by a newer revision changes nothing; the current revision passes."""
    stamp = c.Stamp(at_ms=1, by="user")
    state, made = apply(ClusterState(), c.RegisterApp("shop", "{}", 1), stamp, 7)
    assert made.get("revision") == 7
    after, applied = apply(state, command, stamp, 8)
    assert applied.rejected is Code.CONFLICT
    assert after.apps == state.apps
    fits: Any = replace(cast(Any, command), expected_revision=7)
    assert apply(state, fits, stamp, 8)[1].rejected is None
