"""pre: whether an app's replicas wait for the run that prepares their revision; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from cluster.state.model import App, Run
from cluster.state.runs import must_prepare


@dataclass(frozen=True, slots=True)
class Held:
    """Why no replica of the present template may start yet.

    `due`: the run is to be begun; `failed` has the reason, and the last lines that it wrote.
    """

    phase: Literal["due", "under way", "failed"]
    reason: str = ""
    lines: tuple[str, ...] = ()


def held(app: App, runs: Mapping[str, Run]) -> Held | None:
    """None when its replicas may start."""
    if not must_prepare(app):
        return None
    if not app.pre:
        return Held("due")
    run = runs.get(str(app.pre))
    if run is None:
        return Held("failed", f"its pre-deploy job (run {app.pre}) is not known any more")
    if not run.is_over:
        return Held("under way")
    why = run.reason or run.phase.replace("_", " ")
    return Held("failed", f"its pre-deploy job (run {run.id}) failed: {why}", run.lines)
