"""Containers whose lines users may ask for, by what users call them; pure."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.state.jobs import is_job
from cluster.state.model import App, ClusterState, Run
from cluster.state.replicas import ID_PREFIX_MIN, is_named, replica_name
from cluster.state.runs import of_app, run_name


@dataclass(frozen=True, slots=True)
class Readable:
    """A container, what users call it, and when it started (0 where that is not known)."""

    container_id: str
    name: str
    started_at_ms: int


def readable(state: ClusterState, app: App, container: str | None) -> list[Readable]:
    """The replicas of an app, of a job its runs; or the one of either that `container` names."""
    if is_job(app.document):
        return [_run(run) for run in of_app(state, app.name)
                if run.container_id and (container is None or is_run(run, container))]
    found = [
        Readable(one.container_id, replica_name(app.name, one), one.started_at_ms)
        for one in app.reports if one.phase != "created"
        and (container is None or is_named(app.name, one, container))]
    if container is None or found:
        return found
    run = named_run(state, app.name, container)
    return [_run(run)] if run is not None and run.container_id else []


def named_run(state: ClusterState, app: str, container: str) -> Run | None:
    """The run that is meant, the newest of several; whether or not it has a container."""
    return next((run for run in of_app(state, app) if is_run(run, container)), None)


def is_run(run: Run, wanted: str) -> bool:
    """Is `wanted` its name, its container's name or the beginning of its container's id?"""
    if wanted in (run_name(run), run.container_name):
        return True
    return len(wanted) >= ID_PREFIX_MIN and run.container_id.startswith(wanted)


def _run(run: Run) -> Readable:
    return Readable(run.container_id, run_name(run), run.started_at_ms)
