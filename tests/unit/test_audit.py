"""Audit: entries of the state machine, their chain, and what is counted before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cluster.state import backup
from cluster.state import commands as c
from cluster.state.audit import REFUSALS_MAX, TYPE
from cluster.state.codec import decode_snapshot, encode_snapshot
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState
from orchestry.audit import FIELDS, Judge
from orchestry.errors import Code

WHO = c.Origin("t1", "ci", "10.0.0.1", "POST", "/api/v1/apps/register")


def run(state: ClusterState, *entries: tuple[c.Command, c.Stamp]) -> tuple[ClusterState, Applied]:
    """The state after these, and the last outcome."""
    applied = Applied(0)
    for command, stamp in entries:
        state, applied = apply(state, command, stamp, state.index + 1)
    return state, applied


def by(origin: c.Origin | None, at_ms: int = 1000, **parts: Any) -> c.Stamp:
    """A stamp of a user's request."""
    return c.Stamp(at_ms, "one", origin=origin, **parts)


def entries(state: ClusterState) -> list[dict[str, Any]]:
    """The audit as the API shows it, newest first."""
    return [
        {"id": e.id, "at_ms": e.at_ms, "app": e.app, **dict(e.details)}
        for e in reversed(state.events) if e.type == TYPE
    ]


def judged(found: list[dict[str, Any]]) -> list[int]:
    """Ids of entries with a fault."""
    judge = Judge()
    judge.look(found)
    assert judge.count == len(found)
    return [fault.id for fault in judge.faults]


REGISTER = c.RegisterApp("shop", "{}", 1)


def test_writes_and_refusals_are_entries() -> None:
    """Who, from where, what, with which outcome; the leader's own commands are none."""
    state, _ = run(ClusterState(), (REGISTER, by(WHO)), (REGISTER, by(WHO, 2000)),
                   (c.Noop(), by(None)), (c.StartApp("shop"), by(None)))
    second, first = entries(state)
    assert (first["code"], second["code"]) == ("OK", "APP_ALREADY_EXISTS")
    assert (first["index"], second["index"]) == (1, 2)
    assert {name: first[name] for name in ("token", "name", "client", "method", "path", "app")} \
        == {"token": "t1", "name": "ci", "client": "10.0.0.1", "method": "POST",
            "path": "/api/v1/apps/register", "app": "shop"}
    assert (second["prev"], second["hash"]) == (first["hash"], state.audit_head)
    assert decode_snapshot(encode_snapshot(state)).audit_head == state.audit_head


def test_a_repeat_is_no_second_entry_and_a_misused_key_is_one() -> None:
    """As with the write itself."""
    first = by(WHO, request_id="k", fingerprint="f")
    state, _ = run(ClusterState(), (REGISTER, first), (REGISTER, first))
    assert len(entries(state)) == 1
    state, applied = run(state, (c.StopApp("shop"), by(WHO, request_id="k", fingerprint="g")))
    assert applied.rejected is Code.CONFLICT
    assert [entry["code"] for entry in entries(state)] == ["CONFLICT", "OK"]


def test_what_controllers_refused_is_bounded() -> None:
    """One entry for each kind with its count, and no more than so many at once."""
    refused = c.Refused(WHO, "shop", "FORBIDDEN", 7, 500)
    state, _ = run(ClusterState(), (c.RecordRefusals((refused,) * 100), by(None)))
    found = entries(state)
    assert len(found) == REFUSALS_MAX
    assert (found[0]["count"], found[0]["at_ms"], found[0]["code"]) == (7, 500, "FORBIDDEN")
    assert judged(found) == []


def chain() -> list[dict[str, Any]]:
    """Four entries."""
    state, _ = run(ClusterState(), (REGISTER, by(WHO)), *(
        (c.ScaleApp("shop", n, 1), by(WHO, 1000 + n)) for n in (1, 2, 3)))
    return entries(state)


@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_entry_is_found(field: str) -> None:
    """Each field is under the hash."""
    found = chain()
    assert judged(found) == []
    found[1] = {**found[1], field: "another"} if field != "id" else {**found[1], "id": 99}
    assert judged(found) == [found[1]["id"]]


def test_a_missing_entry_and_a_rewritten_one_are_found() -> None:
    """Whoever takes one away, or computes its hash anew, breaks the chain after it."""
    found = chain()
    assert judged([found[0], *found[2:]]) == [found[0]["id"]]
    forged: Mapping[str, Any] = {**found[2], "code": "OK", "count": 2}
    from orchestry.audit import digest
    rewritten = {**forged, "hash": digest(found[2]["prev"], forged)}
    assert judged([*found[:2], rewritten, found[3]]) == [found[1]["id"]]
    assert judged(found[:2]) == []  # the oldest ones are deleted in time


def test_a_restored_audit_goes_on() -> None:
    """The restore is the entry after the last one of the backup."""
    state, _ = run(ClusterState(cluster_id="c"), (REGISTER, by(WHO)))
    (part,) = backup.parts(replace(state, apps=state.apps.delete("shop")))
    admin = c.Origin("t2", "me", "10.0.0.1", "POST", "/cluster/restore")
    restored, _ = run(ClusterState(), (c.Noop(), by(admin)),
                      (replace(part, restore_id="r"), by(admin)))
    found = entries(restored)
    assert [entry["path"] for entry in found] == ["/cluster/restore", "/api/v1/apps/register"]
    assert judged(found) == []
