"""Steps that record who asked for what, as events that are chained by their hashes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from cluster.state import commands as c
from cluster.state.model import ClusterState, EventRecord
from cluster.state.outcome import Applied
from cluster.state.step import Step, append
from orchestry.audit import digest

TYPE: Literal["audit"] = "audit"
REFUSALS_MAX = 32
ACCEPTED = "OK"


def recorded(
    state: ClusterState, command: c.Command, stamp: c.Stamp, applied: Applied
) -> ClusterState:
    """The state with an entry for the command that a user asked for."""
    assert stamp.origin is not None
    app = getattr(command, "app", "") or (
        command.name if isinstance(command, c.RegisterApp) else "")
    code = ACCEPTED if applied.rejected is None else applied.rejected.value.code
    return _entry(state, stamp.origin, app, code, at_ms=stamp.at_ms, index=applied.index)


def head_of(events: tuple[EventRecord, ...]) -> str:
    """The hash of the last entry among events; "" when there is none."""
    last = next((event for event in reversed(events) if event.type == TYPE), None)
    return str(dict(last.details).get("hash", "")) if last is not None else ""


def record_refusals(state: ClusterState, command: c.RecordRefusals, stamp: c.Stamp) -> Step:
    """Entries for writes that a controller refused before they became commands."""
    for one in command.refusals[:REFUSALS_MAX]:
        state = _entry(state, one.origin, one.app, one.code, at_ms=one.at_ms, index=state.index,
                       count=one.count)
    return state, ()


def _entry(
    state: ClusterState, origin: c.Origin, app: str, code: str, *, at_ms: int, index: int,
    count: int = 1,
) -> ClusterState:
    entry: dict[str, Any] = {
        "token": origin.token, "name": origin.name, "client": origin.client,
        "method": origin.method, "path": origin.path, "code": code, "index": index,
        "count": count,
    }
    key = digest(state.audit_head, {
        "id": state.next_event_id, "at_ms": at_ms, "app": app, **entry})
    details = {**entry, "prev": state.audit_head, "hash": key}
    event = EventRecord(
        state.next_event_id, TYPE, app, f"{origin.method} {origin.path}", at_ms,
        tuple(sorted(details.items())))
    return replace(append(state, event), audit_head=key)
