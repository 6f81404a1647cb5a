"""The record of side effects: bounded, whole after a kill, silent about nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.consensus.lease import Lease
from cluster.control import actions
from cluster.control.actions import ActionFile
from cluster.control.loop import Effect, Fenced

LEASE = Lease(3, renewed_at_s=10.0, ttl_s=2.0)
EFFECT = Effect("docker", "start", "shop", "shop-1")


def record(path: Path) -> ActionFile:
    """A record whose clock stands still."""
    return ActionFile(path, lambda: 1_000)


def test_begin_end_and_epoch(tmp_path: Path) -> None:
    """What is written can be read page by page, also after a restart."""
    found = record(tmp_path / "actions.jsonl")
    found.epoch(3, "a")
    found.epoch(3, "a")
    found.epoch(2, "b")
    with found.act(LEASE, 11.5, EFFECT):
        pass
    with pytest.raises(Fenced), found.act(LEASE, 11.5, EFFECT):
        raise Fenced("over")
    with pytest.raises(ValueError, match="no"), found.act(LEASE, 11.5, EFFECT):
        raise ValueError("no")
    found.close()
    again = record(tmp_path / "actions.jsonl")
    records = again.read(0, 100)
    assert [r["kind"] for r in records] == ["epoch", "begin", "end", "begin", "end", "begin", "end"]
    assert records[1] == {
        "n": 2, "at_ms": 1_000, "kind": "begin", "epoch": 3, "lease_ms": 500,
        "actuator": "docker", "verb": "start", "app": "shop", "target": "shop-1"}
    assert [r["result"] for r in records if r["kind"] == "end"] == ["done", "fenced", "failed"]
    assert again.read(5, 1) == [records[5]]
    again.epoch(4, "b")
    assert [r["n"] for r in again.read(7, 10)] == [8]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    """What follows it is whole."""
    path = tmp_path / "actions.jsonl"
    path.write_bytes(b'{"n":1,"at_ms":5,"kind":"epoch","epoch":1,"holder":"a"}\n{"n":2,"at')
    found = record(path)
    found.epoch(2, "b")
    assert [r["epoch"] for r in found.read(0, 10)] == [1, 2]


def test_its_size_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; the numbers tell how many."""
    monkeypatch.setattr(actions, "FILE_BYTES_MAX", 2_000)
    found = record(tmp_path / "actions.jsonl")
    for _ in range(200):
        with found.act(LEASE, 11.0, EFFECT):
            pass
    kept = found.read(0, 1_000)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 6_000
    assert kept[0]["n"] > 1
    assert [r["n"] for r in kept] == list(range(kept[0]["n"], 401))


def test_a_disk_that_refuses_is_counted(tmp_path: Path) -> None:
    """The side effect goes on; the loss is known."""
    found = record(tmp_path / "missing" / "actions.jsonl")
    with found.act(LEASE, 11.0, EFFECT):
        pass
    assert found.lost == 2
    assert found.read(0, 10) == []
