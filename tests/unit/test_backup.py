"""A backup is whole or refused, and a restore is all or nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.consensus.library_conf import ENVELOPE_BYTES_MAX
from cluster.state import backup
from cluster.state.codec import decode_part, decode_snapshot, encode_envelope, encode_snapshot
from cluster.state.commands import (
    BeginEpoch,
    RecordEvent,
    RegisterApp,
    RestorePart,
    Stamp,
    StartApp,
)
from cluster.state.machine import apply
from cluster.state.model import ClusterState
from cluster.state.step import RECENT_EVENTS_MAX
from orchestry.backup import Backup, BackupError, parse
from orchestry.errors import Code

STAMP = Stamp(at_ms=1_000, by="a")


def state_of(*commands: object, cluster: str = "old") -> ClusterState:
    """A state after these commands."""
    state = ClusterState()
    for index, command in enumerate((BeginEpoch("a", 1_000, cluster), *commands), 1):
        state, applied = apply(state, command, STAMP, index)  # type: ignore[arg-type]
        assert applied.rejected is None
    return state


def some(count: int) -> ClusterState:
    """A cluster with apps, every other one started."""
    return state_of(*(
        command for number in range(count) for command in (
            RegisterApp(f"app-{number}", json.dumps({"n": number, "é": "ü" * 200}), 1),
            *([StartApp(f"app-{number}", 2)] if number % 2 else []),
        )))


def written(state: ClusterState) -> bytes:
    """The backup as a file."""
    return b"".join(backup.lines(state, {"version": "1"}))


def read(data: bytes) -> Backup:
    """The file back."""
    return parse(data.splitlines(keepends=True))


def parts_of(found: Backup) -> list[RestorePart]:
    """Its parts, as the API passes them on."""
    return [replace(decode_part(part), restore_id="r") for part in found.parts]


def restored(state: ClusterState, found: Backup) -> ClusterState:
    """A state after a whole restore."""
    for part in parts_of(found):
        state, applied = apply(state, part, STAMP, state.index + 1)
        assert applied.rejected is None, applied
    return state


@pytest.mark.parametrize("count", [0, 1, 7, 2_000])
def test_what_is_restored_is_what_was_there(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Specs byte for byte, wanted replicas, revisions, events; a higher epoch than both."""
    monkeypatch.setattr(backup, "PART_BYTES", 100_000)
    old = some(count)
    found = read(written(old))
    assert len(found.parts) > (10 if count == 2_000 else 0)
    new = restored(state_of(cluster="new"), found)
    assert new.cluster_id == "new"
    assert {a.name: (a.document, a.revision, a.running, a.replicas) for a in new.apps.values()} == {
        a.name: (a.document, a.revision, a.running, a.replicas) for a in old.apps.values()}
    assert new.leadership.epoch > old.leadership.epoch
    assert new.restore is None
    ids = [event.id for event in new.events]
    assert ids == sorted(set(ids))
    assert new.next_event_id == ids[-1] + 1
    assert decode_snapshot(encode_snapshot(new)) == new


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_a_file_that_was_cut_or_altered_is_refused(data: st.DataObject) -> None:
    """At whatever byte."""
    whole = written(some(3))
    where = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(BackupError):
        read(whole[:where])
    bit = data.draw(st.integers(0, 7))
    flipped = bytearray(whole)
    flipped[where] ^= 1 << bit
    with pytest.raises(BackupError):
        read(bytes(flipped))


@pytest.mark.parametrize(("data", "why"), [
    (b"", "no end"), (b"hello\n", "no backup"), (b'{"format": "tar"}\n', "no backup"),
    (b'{"format": "orchestry-backup", "v": 2}\n', "format 2"),
    (written(some(1)) + b"{}\n", "follows its end"),
])
def test_what_is_wrong_is_said(data: bytes, why: str) -> None:
    """Foreign, newer, or with something behind."""
    with pytest.raises(BackupError, match=why):
        read(data)


def test_a_restore_is_all_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts in order, into an empty cluster; what was abandoned is dropped by the next one."""
    monkeypatch.setattr(backup, "PART_BYTES", 5_000)
    parts = parts_of(read(written(some(9))))
    assert len(parts) > 3
    state = state_of(cluster="new")
    for part in parts[:-1]:
        state, applied = apply(state, part, STAMP, state.index + 1)
        assert (applied.rejected, len(state.apps)) == (None, 0)
    _, applied = apply(state, parts[1], STAMP, state.index + 1)
    assert applied.rejected is None  # a repeat
    other, applied = apply(state, replace(parts[2], restore_id="x"), STAMP, state.index + 1)
    assert (applied.rejected, other.apps) == (Code.CONFLICT, state.apps)
    _, applied = apply(
        restored(state, Backup({}, [], "")), replace(parts[-1], number=len(parts) + 3), STAMP, 99)
    assert applied.rejected is Code.CONFLICT
    again, applied = apply(state, replace(parts[0], restore_id="y"), STAMP, state.index + 1)
    assert again.restore is not None
    assert (again.restore.id, again.restore.next) == ("y", 1)
    full = state_of(RegisterApp("shop", "{}", 1))
    after, applied = apply(full, parts[0], STAMP, full.index + 1)
    assert (applied.rejected, after.apps) == (Code.CONFLICT, full.apps)


def test_an_abandoned_restore_takes_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """It survives a snapshot, another number of parts cannot end it, an app ends it."""
    monkeypatch.setattr(backup, "PART_BYTES", 5_000)
    parts = parts_of(read(written(some(9))))
    state, _ = apply(state_of(cluster="new"), parts[0], STAMP, 2)
    state, _ = apply(state, parts[1], STAMP, 3)
    assert decode_snapshot(encode_snapshot(state)) == state
    short, applied = apply(state, replace(parts[2], total=3), STAMP, 4)
    assert (applied.rejected, short.apps) == (Code.CONFLICT, state.apps)
    state, applied = apply(state, RegisterApp("shop", "{}", 1), STAMP, 5)
    assert (applied.rejected, state.restore) == (None, None)


@pytest.mark.parametrize("char", ["a", '"', "é", "\U0001f600"])
def test_every_part_fits_into_the_log(char: str) -> None:
    """Whatever the log took as a spec, it takes back, beside as many events as are kept."""
    document = json.dumps({"x": char * 80_000}, ensure_ascii=False)
    state = state_of(*(RegisterApp(f"app-{n}", document, 1) for n in range(3)), *(
        RecordEvent("cluster", "", "m" * 1_000) for _ in range(RECENT_EVENTS_MAX)))
    for part in parts_of(read(written(state))):
        assert len(encode_envelope(part, STAMP)) < ENVELOPE_BYTES_MAX


def test_the_id_of_a_lost_cluster_is_taken_once() -> None:
    """An empty cluster that adopts leaves containers alone until the restore is done."""
    state, _ = apply(ClusterState(), BeginEpoch("a", 1_000, "old", adopts=True), STAMP, 1)
    assert (state.cluster_id, state.awaiting_restore) == ("old", True)
    _, applied = apply(state, RegisterApp("shop", "{}", 1), STAMP, 2)
    assert applied.rejected is Code.CONFLICT  # it would be in the way of the restore
    done = restored(state, read(written(some(2))))
    assert not done.awaiting_restore
    later, _ = apply(done, BeginEpoch("b", 1_000, "other", adopts=True), STAMP, done.index + 1)
    assert (later.cluster_id, later.awaiting_restore) == ("old", False)
