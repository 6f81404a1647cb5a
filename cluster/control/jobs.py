"""Jobs: the leader sees to each due time of a schedule once.

The clock is that of the log: the last stamp under which the lease was renewed. What was due and
is on record is never due again, so that a clock that jumps costs runs, but begins none twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from cluster.control.fleet import Fleet
from cluster.control.loop import Turn
from cluster.control.specs import spec_for
from cluster.scaling.cron import parse
from cluster.state.commands import FireJob
from cluster.state.jobs import is_job
from cluster.state.model import App
from cluster.state.runs import no_room
from orchestry.spec.model import Job

MINUTE_MS = 60_000


def due_ms(app: App, job: Job, now_ms: int) -> int | None:
    """The last time at which a job was due and is not on record; None when there is none.

    Of several that were missed the last one counts, and none that is longer ago than the
    starting deadline.
    """
    if not job.schedule or job.suspend or app.suspended:
        return None
    since_ms = max(app.due_ms, app.created_at_ms, app.revised_at_ms)
    found = _last_ms(
        job.schedule, job.timezone, now_ms // MINUTE_MS, job.starting_deadline_s)
    return found if found is not None and found > since_ms else None


@lru_cache(4096)  # the same for all changes of a minute
def _last_ms(schedule: str, timezone: str, minute: int, deadline_s: int) -> int | None:
    now = datetime.fromtimestamp(minute * MINUTE_MS / 1000, UTC)
    try:
        last = parse(schedule).last(timezone, now, timedelta(seconds=deadline_s))
    except (LookupError, ValueError, OSError):
        return None  # this machine does not know the zone: others may
    return None if last is None else round(last.timestamp() * 1000)


class Jobs:
    """Proposes what is due; looks at a job once a minute of the log's clock, and after changes."""

    name = "jobs"

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._looked: tuple[object, int] = (None, -1)
        self._jobs: list[str] = []
        self._apps: object = None

    def reset(self) -> None:
        """Look again at once."""
        self._looked = (None, -1)

    def step(self, turn: Turn) -> None:
        """Propose the due times that are not on record."""
        state = turn.state
        if state.awaiting_restore or self._fleet.overtaken:
            return
        now_ms = state.leadership.renewed_at_ms
        look = (state.apps, now_ms // MINUTE_MS)
        if look[0] is self._looked[0] and look[1] == self._looked[1]:
            return
        if state.apps is not self._apps:
            self._apps = state.apps
            self._jobs = sorted(n for n, app in state.apps.items() if is_job(app.document))
        waiting = False
        if no_room(state) is not None:
            return  # what is due stays so until there is room, or its starting deadline is over
        for name in self._jobs:
            with turn.apart(name):
                app = state.apps[name]
                spec = spec_for(app)
                if app.deleting or spec is None or spec.job is None:
                    continue
                due = due_ms(app, spec.job, now_ms)
                if due is not None:
                    job, waiting = spec.job, True
                    turn.propose(f"due:{name}", FireJob(
                        name, app.revision, due, job.concurrency_policy, job.timeout_s,
                        job.retries))
        if not waiting:
            self._looked = look
