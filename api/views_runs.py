"""Views of runs; pure."""

from __future__ import annotations

from typing import Any

from api.times import rfc3339
from cluster.state.model import Run
from cluster.state.runs import run_name


def run(one: Run) -> dict[str, Any]:
    """One run."""
    return {
        "id": one.id, "app_name": one.app, "kind": one.kind, "status": one.phase,
        "stopping": bool(one.ending), "command": list(one.command) or None,
        "timeout_s": one.timeout_s, "revision": one.revision, "container": run_name(one),
        "requested_at": rfc3339(one.requested_at_ms), "started_at": rfc3339(one.started_at_ms),
        "ended_at": rfc3339(one.ended_at_ms), "exit_code": one.exit_code,
        "reason": one.reason or None, "last_lines": list(one.lines),
    }
