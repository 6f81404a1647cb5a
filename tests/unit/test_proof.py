"""The proof: what is stale, late or unknown in the records of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestry.proof import CLOCKS_DIFFER_MS, Record, Report, joined, verify


def epoch(n: int, number: int, holder: str, at_ms: int = 0) -> Record:
    """A controller has applied the beginning of an epoch."""
    return {"n": n, "at_ms": at_ms, "kind": "epoch", "epoch": number, "holder": holder}


def begin(n: int, number: int, at_ms: int, lease_ms: int = 900) -> Record:
    """A side effect begins."""
    return {"n": n, "at_ms": at_ms, "kind": "begin", "epoch": number, "lease_ms": lease_ms,
            "actuator": "docker", "verb": "start", "app": "shop", "target": "shop-1"}


def end(n: int, of: int, at_ms: int, result: str = "done") -> Record:
    """And ends."""
    return {"n": n, "at_ms": at_ms, "kind": "end", "of": of, "result": result}


def judged(
    records: Mapping[str, Sequence[Record]], containers: Sequence[Record] = (), **more: Any
) -> Report:
    """The report on complete records."""
    more = {"lost": {}, "unreachable": (), **more}
    return verify({node: joined(own) for node, own in records.items()}, containers, **more)


GOOD: dict[str, list[Record]] = {
    "a": [epoch(1, 1, "a"), begin(2, 1, 1_000), end(3, 2, 1_050), epoch(4, 2, "b", 3_000)],
    "b": [epoch(1, 1, "a"), epoch(2, 2, "b", 3_000), begin(3, 2, 4_000), end(4, 3, 4_100)],
}


def test_a_sound_history_is_clean() -> None:
    """Two leaders, one after the other."""
    report = judged(GOOD, [
        {"name": "x", "epoch": 1, "phase": "running", "started_at_ms": 1_010},
        {"name": "y", "epoch": 2, "phase": "running", "started_at_ms": 4_010},
    ])
    assert report.clean
    assert report.complete
    assert (report.actions, report.epochs, report.containers) == (2, 2, 2)


@pytest.mark.parametrize(("node", "records", "what"), [
    ("a", [begin(5, 1, 3_100)], "after epoch 2 began here"),
    ("b", [begin(5, 1, 1_200), end(6, 5, 1_300)], "but a held the epoch"),
    ("b", [begin(5, 2, 4_200, lease_ms=-5)], "after its lease was over"),
])
def test_each_way_to_be_stale(node: str, records: list[Record], what: str) -> None:
    """One more action, and the report names it."""
    report = judged({**GOOD, node: [*GOOD[node], *records]})
    assert not report.clean
    stale = [finding for finding in report.findings if finding.kind == "stale"]
    assert any(what in finding.what and finding.node == node for finding in stale)


def test_the_clocks_tell_what_no_single_record_shows() -> None:
    """A leader that never learned of its successor, and acted beside it."""
    cut_off = [epoch(1, 1, "a"), begin(2, 1, 1_000), begin(3, 1, 4_000 + CLOCKS_DIFFER_MS + 1)]
    report = judged({"a": cut_off, "b": GOOD["b"]})
    assert [f.kind for f in report.findings] == ["stale"]
    assert "ms after epoch 2 acted" in report.findings[0].what
    near = [epoch(1, 1, "a"), begin(2, 1, 4_000 + CLOCKS_DIFFER_MS)]
    assert judged({"a": near, "b": GOOD["b"]}).clean


def test_a_call_that_ends_late_is_told_apart() -> None:
    """It began in time: no second actor, but worth knowing."""
    slow = [epoch(1, 1, "a"), begin(2, 1, 1_000), end(3, 2, 9_000)]
    report = judged({"a": slow, "b": GOOD["b"]})
    assert report.clean
    assert [f.kind for f in report.findings] == ["late"]


def test_what_the_guard_stopped_does_not_count() -> None:
    """A fenced action had no effect."""
    fenced = [*GOOD["a"], begin(5, 1, 9_000), end(6, 5, 9_000, "fenced")]
    assert judged({**GOOD, "a": fenced}).clean


def test_containers_in_the_engines_own_order() -> None:
    """A container of an earlier epoch that started after one of a later epoch."""
    rows = [{"name": "y", "epoch": 2, "phase": "running", "started_at_ms": 4_010},
            {"name": "x", "epoch": 1, "phase": "running", "started_at_ms": 4_020}]
    report = judged(GOOD, rows)
    assert [f.what for f in report.findings] == ["container x started after one of epoch 2"]
    rows = [{"name": "z", "epoch": 9, "phase": "running", "started_at_ms": 1}]
    assert not judged(GOOD, rows).clean


def test_what_is_not_covered_is_told() -> None:
    """Never a false all-clear."""
    report = judged(
        {"a": [begin(700, 1, 1_000)]}, lost={"a": 3}, unreachable=("b",))
    assert report.clean
    assert not report.complete
    assert len([f for f in report.findings if f.kind == "gap"]) == 4


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5)), max_size=30))
def test_one_actor_at_a_time_is_always_clean(turns: list[tuple[str, int]]) -> None:
    """Whoever leads and however often: epochs that follow each other raise no finding."""
    records: dict[str, list[Record]] = {"a": [], "b": []}
    at_ms = 0
    for number, (holder, actions) in enumerate(turns, 1):
        for own in records.values():
            own.append(epoch(len(own) + 1, number, holder, at_ms))
        for _ in range(actions):
            at_ms += 10
            own = records[holder]
            own += [begin(len(own) + 1, number, at_ms), end(len(own) + 2, len(own) + 1, at_ms)]
        at_ms += 10
    report = judged(records)
    assert report.findings == ()
