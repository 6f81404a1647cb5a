"""Step: what one command makes of a state."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cluster.state import commands as c
from cluster.state.model import ClusterState, EventRecord
from orchestry.errors import Code

RECENT_EVENTS_MAX = 512


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command changed nothing."""

    code: Code
    details: str = ""


Value = tuple[tuple[str, Any], ...]
Step = tuple[ClusterState, Value] | Refusal


def tell(
    state: ClusterState, stamp: c.Stamp, kind: Any, app: str, message: str, /, **details: Any
) -> ClusterState:
    """The state with one event more; the oldest goes when there are too many."""
    details = {"by": stamp.by, **details}
    event = EventRecord(
        state.next_event_id, kind, app, message, stamp.at_ms, tuple(sorted(details.items()))
    )
    events = (*state.events, event)[-RECENT_EVENTS_MAX:]
    return replace(state, events=events, next_event_id=state.next_event_id + 1)
