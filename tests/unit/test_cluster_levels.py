"""Levels: what all members understand, what may be proposed, and who must not go on."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.consensus.applier import COMMAND_KIND, Applier
from cluster.consensus.data_dir import DataDir
from cluster.consensus.disk import OsDisk
from cluster.consensus.errors import ConsensusError, Halted
from cluster.state import codec, levels
from cluster.state import commands as c
from cluster.state.levels import Need
from cluster.state.model import ClusterState, Replica
from orchestry.errors import Code
from tests.unit.test_state_machine import run, stamp

THREE = c.ChangeMembers(0, (("n1", "h:1"), ("n2", "h:2"), ("n3", "h:3")))


def tells(name: str, level: int, version: str = "2.0.0") -> c.AnnounceController:
    """A controller announces its level."""
    return c.AnnounceController(name, f"http://{name}", name, version, level)


def test_the_level_is_that_of_the_last_member_and_never_falls() -> None:
    """Who has not announced anything counts as the lowest; who is no member does not count."""
    steps: list[tuple[c.Command, int]] = [
        (tells("n1", 3), 1), (THREE, 1), (tells("n2", 3), 1), (tells("n9", 1), 1),
        (tells("n3", 2), 2), (tells("n3", 3), 3), (tells("n1", 1), 3),
    ]
    for count, (_, level) in enumerate(steps, 1):
        assert run(*[command for command, _ in steps[:count]])[0].level == level
    state = run(*[command for command, _ in steps])[0]
    risen = [event for event in state.events if "understand" in event.message]
    assert [dict(event.details)["level"] for event in risen] == [2, 3]
    assert codec.decode_snapshot(codec.encode_snapshot(replace(state, level=1))).level == 1


def test_the_level_rises_when_the_last_old_member_leaves() -> None:
    """Removing a controller that stays behind is a way out."""
    two = c.ChangeMembers(1, (("n1", "h:1"), ("n2", "h:2")))
    assert run(THREE, tells("n1", 2), tells("n2", 2), two)[0].level == 2


def test_a_refusal_names_whom_to_upgrade() -> None:
    """Old ones are a conflict; those who are about to announce themselves are waited for."""
    state = run(THREE, tells("n1", 2), tells("n2", 1, "1.0.0"))[0]
    assert levels.refusal(state, Need(1)) is None
    old = levels.refusal(state, Need(2))
    assert old is not None
    assert old.code is Code.CONFLICT
    assert "upgrade n2 (version 1.0.0), n3;" in old.details
    silent = levels.refusal(run(THREE, tells("n1", 2), tells("n2", 2))[0], Need(2))
    assert silent is not None
    assert silent.code is Code.CLUSTER_NOT_READY
    assert "waits for n3 to tell" in silent.details
    nobody = levels.refusal(ClusterState(), Need(2))
    assert nobody is not None
    assert nobody.code is Code.CLUSTER_NOT_READY
    risen = run(THREE, *(tells(name, 2) for name in ("n1", "n2", "n3")))[0]
    assert levels.refusal(risen, Need(2)) is None


def test_a_field_needs_its_level_only_where_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also deep within a command, and in its stamp."""
    monkeypatch.setattr(levels, "KINDS", {**levels.KINDS, "StopApp": 2})
    assert codec.need_of(c.StopApp("a"), stamp()).level == 2
    monkeypatch.setattr(levels, "FIELDS", {("Replica", "last_error"): 3, ("Origin", "path"): 4})
    replica = Replica(1, 1, "c", "n", "10.0.0.2", 80, "running", "healthy")
    report = c.ReportApp("a", 1, (replica,))
    assert codec.need_of(report, stamp()).level == 1
    report = c.ReportApp("a", 1, (replica, replace(replica, last_error="why")))
    assert codec.need_of(report, stamp()).level == 3
    origin = c.Origin("t", "n", "c", "PUT", "/p")
    assert codec.need_of(report, stamp(origin=origin)).level == 4
    config = c.SetConfig((("a", ()),))
    assert codec.need_of(config, stamp()).level == 1


def test_a_command_within_another_needs_the_level_of_its_kind(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the outer one needs, and also where no field has a level."""
    release = c.ApplyRelease("r", 0, "chart", "1", "{}", (c.UpdateApp("a", "{}", "k", 1),), "")
    assert codec.need_of(release, stamp()).level == 1
    monkeypatch.setattr(levels, "KINDS", {**levels.KINDS, "UpdateApp": 2})
    assert codec.need_of(release, stamp()).level == 2
    assert codec.need_of(replace(release, apps=()), stamp()).level == 1
    monkeypatch.setattr(levels, "FIELDS", {})
    assert codec.need_of(release, stamp()).level == 2


def test_an_older_version_stops_where_the_level_rises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it could misread what comes next, and with its state as it was."""
    monkeypatch.setattr(levels, "LEVEL", 1)
    applier = Applier()
    entries: list[c.Command] = [THREE, tells("n1", 2), tells("n2", 2), tells("n3", 2)]
    texts = [COMMAND_KIND + codec.encode_envelope(entry, stamp()).encode() for entry in entries]
    for index, text in enumerate(texts[:3], 2):
        applier.commit(text, index)
    before = applier.state
    with pytest.raises(Halted, match="reached level 2, this version understands only level 1"):
        applier.commit(texts[3], 5)
    assert applier.state is before
    monkeypatch.setattr(levels, "LEVEL", 2)
    applier.commit(texts[3], 5)
    assert applier.state.level == 2
    snapshot = codec.encode_snapshot(applier.state)
    assert codec.decode_snapshot(snapshot) == applier.state
    monkeypatch.setattr(levels, "LEVEL", 1)
    with pytest.raises(codec.UnknownFormat, match="reached level 2"):
        codec.decode_snapshot(snapshot)


def test_a_data_folder_remembers_the_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version refuses it, says what to start, and leaves it as it is."""
    monkeypatch.setattr(levels, "LEVEL", 3)
    folder = DataDir(OsDisk("fsync"), tmp_path / "n1", "n1")
    folder.record("cluster", 1)
    folder.record("cluster", 3)
    folder.close()
    monkeypatch.setattr(levels, "LEVEL", 2)
    before = {path: path.read_bytes() for path in (tmp_path / "n1").iterdir()}
    with pytest.raises(ConsensusError, match="level 3, this version understands only level 2"):
        DataDir(OsDisk("fsync"), tmp_path / "n1", "n1")
    assert {path: path.read_bytes() for path in (tmp_path / "n1").iterdir()} == before
    monkeypatch.setattr(levels, "LEVEL", 3)
    again = DataDir(OsDisk("fsync"), tmp_path / "n1", "n1")
    assert (again.level, again.cluster_id) == (3, "cluster")
    again.close()
    assert json.loads((tmp_path / "n1" / "node.json").read_text())["level"] == 3
