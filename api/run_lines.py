"""What runs wrote whose containers are gone: their last lines, which the state keeps; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from api.replica_logs import Line, Reading
from cluster.engine.base import EngineError, LogLine
from cluster.state.model import Run
from cluster.state.runs import run_name

KEPT = "its container is gone; these are its last lines, with the time of its end"


def with_kept(
    found: Reading, runs: Sequence[Run], *, named: bool, tail: int, since_ns: int,
    keep: Callable[[LogLine], bool] | None,
) -> Reading:
    """The reading with the kept lines of those of `runs` whose containers could not be read.

    Lines that are kept have no times: they get that of the run's end. Of a run that is `named`
    the reading also says why there is no more.
    """
    unavailable, lines = dict(found.unavailable), list(found.lines)
    total, cut = found.total, found.cut
    for run in runs:
        name, fault = run_name(run), found.unavailable.get(run_name(run))
        if run.container_id and (fault is None or fault.fault != "gone"):
            continue
        unavailable.pop(name, None)
        if named:
            unavailable[name] = EngineError("gone", _why(run))
        kept = _lines(run, since_ns, keep)
        lines += kept
        total += len(kept)
        cut = cut or bool(run.lines)
    lines.sort(key=lambda line: line[1].at_ns)
    return Reading(lines[len(lines) - tail:] if tail < len(lines) else lines, total, cut,
                   unavailable)


def _why(run: Run) -> str:
    if not run.is_over:
        return "it waits for its turn" if not run.container_id else "its container is gone"
    if not run.container_id:
        return f"it had no container: {run.reason or run.phase}"
    return KEPT if run.lines else "its container is gone, and no line of it was kept"


def _lines(run: Run, since_ns: int, keep: Callable[[LogLine], bool] | None) -> list[Line]:
    at_ns = run.ended_at_ms * 1_000_000
    found = [LogLine(at_ns, "stdout", text) for text in run.lines if at_ns > since_ns]
    return [(run_name(run), line) for line in found if keep is None or keep(line)]
