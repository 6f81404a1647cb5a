"""Proof: whether every side effect was that of the leader of its time; pure.

Input are the records of `GET /cluster/actions` of each controller, in its own order, and the
containers of `GET /cluster/containers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

CLOCKS_DIFFER_MS = 500
"""How far clocks of two machines may be apart before an order of theirs means nothing."""

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at: `stale` breaks the rule, `late` began in time, `gap` is unknown."""

    kind: Literal["stale", "late", "gap"]
    node: str
    epoch: int
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what was found."""

    actions: int
    epochs: int
    containers: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """No action by a stale epoch, as far as the record goes."""
        return not any(finding.kind == "stale" for finding in self.findings)

    @property
    def complete(self) -> bool:
        """The record has no gap."""
        return not any(finding.kind == "gap" for finding in self.findings)


def verify(
    records: Mapping[str, Sequence[Record]], containers: Sequence[Record],
    *, lost: Mapping[str, int], unreachable: Sequence[str],
) -> Report:
    """Judge the record of a whole cluster; `records` and `lost` are by controller."""
    holders = _holders(records)
    findings = [Finding("gap", node, 0, "does not answer: its actions are not covered")
                for node in sorted(unreachable)]
    begun: list[tuple[str, Record]] = []
    for node, own in sorted(records.items()):
        findings += _gaps(node, own, lost.get(node, 0))
        found = [r for r in own if r["kind"] == "begin" and not r.get("fenced")]
        findings += _own_order(node, own, found, holders)
        begun += [(node, record) for record in found]
    findings += _across(begun)
    findings += _containers(containers, holders)
    return Report(len(begun), len(holders), len(containers), tuple(findings))


def _holders(records: Mapping[str, Sequence[Record]]) -> dict[int, str]:
    return {
        record["epoch"]: record["holder"]
        for own in records.values() for record in own if record["kind"] == "epoch"
    }


def joined(own: Sequence[Record]) -> list[Record]:
    """The records of one controller with each end written into its beginning."""
    ends = {r["of"]: r for r in own if r["kind"] == "end"}
    return [
        {**r, "ended_at_ms": ends[r["n"]]["at_ms"], "fenced": ends[r["n"]]["result"] == "fenced"}
        if r["kind"] == "begin" and r["n"] in ends else r
        for r in own if r["kind"] != "end"
    ]


def _gaps(node: str, own: Sequence[Record], lost: int) -> list[Finding]:
    found = []
    if own and own[0]["n"] > 2:
        found.append(Finding("gap", node, 0, f"records before number {own[0]['n']} are dropped"))
    if lost:
        found.append(Finding("gap", node, 0, f"{lost} records could not be written"))
    return found


def _own_order(
    node: str, own: Sequence[Record], begun: Sequence[Record], holders: Mapping[int, str]
) -> list[Finding]:
    """Within one controller there is one order, whatever the clocks say."""
    found = []
    newest = 0
    effective = {record["n"] for record in begun}
    for record in own:
        if record["kind"] == "epoch":
            newest = max(newest, record["epoch"])
        elif record["n"] in effective:
            epoch = record["epoch"]
            if epoch < newest:
                found.append(Finding(
                    "stale", node, epoch, f"{_words(record)} after epoch {newest} began here"))
            newest = max(newest, epoch)
    for record in begun:
        holder = holders.get(record["epoch"])
        if holder is None:
            found.append(Finding("gap", node, record["epoch"],
                                 f"{_words(record)}: who held the epoch is not on record"))
        elif holder != node:
            found.append(Finding(
                "stale", node, record["epoch"], f"{_words(record)}, but {holder} held the epoch"))
        if record["lease_ms"] <= 0:
            found.append(Finding(
                "stale", node, record["epoch"], f"{_words(record)} after its lease was over"))
    return found


def _across(begun: Sequence[tuple[str, Record]]) -> list[Finding]:
    """Between controllers, by their clocks: nothing of an epoch after a later one acted."""
    found: list[Finding] = []
    first: dict[int, int] = {}
    for _, record in begun:
        epoch = record["epoch"]
        first[epoch] = min(first.get(epoch, record["at_ms"]), record["at_ms"])
    later: dict[int, tuple[int, int]] = {}
    soonest: tuple[int, int] | None = None
    for epoch in sorted(first, reverse=True):
        if soonest is not None:
            later[epoch] = soonest
        if soonest is None or first[epoch] < soonest[0]:
            soonest = (first[epoch], epoch)
    for node, record in begun:
        if record["epoch"] not in later:
            continue
        at_ms, epoch = later[record["epoch"]]
        if record["at_ms"] > at_ms + CLOCKS_DIFFER_MS:
            found.append(Finding(
                "stale", node, record["epoch"],
                f"{_words(record)} {record['at_ms'] - at_ms} ms after epoch {epoch} acted"))
        elif record.get("ended_at_ms", 0) > at_ms + CLOCKS_DIFFER_MS:
            found.append(Finding(
                "late", node, record["epoch"],
                f"{_words(record)} ended {record['ended_at_ms'] - at_ms} ms after epoch "
                f"{epoch} acted"))
    return found


def _containers(containers: Sequence[Record], holders: Mapping[int, str]) -> list[Finding]:
    """The engine's own order: what a later epoch started is never followed by an earlier one."""
    found = []
    newest = 0
    for container in sorted(containers, key=lambda c: c["started_at_ms"]):
        epoch = container["epoch"]
        if container["phase"] == "running" and epoch < newest:
            found.append(Finding(
                "stale", "", epoch,
                f"container {container['name']} started after one of epoch {newest}"))
        if holders and epoch > max(holders):
            found.append(Finding(
                "stale", "", epoch, f"container {container['name']} has an epoch nobody held"))
        newest = max(newest, epoch)
    return found


def _words(record: Record) -> str:
    target = f" {record['target']}" if record["target"] else ""
    return f"#{record['n']} {record['actuator']}: {record['verb']} {record['app']}{target}".strip()
