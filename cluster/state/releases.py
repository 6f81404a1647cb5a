"""Releases: charts that were installed; each change of one is one step, all of it or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from cluster.state import commands as c
from cluster.state.jobs import is_job
from cluster.state.model import App, ClusterState, Release, ReleaseApp, ReleaseRevision
from cluster.state.step import Refusal, Step, tell
from orchestry.errors import Code

RELEASES_MAX = 100
REVISIONS_KEPT = 10
APPS_MAX = 64
# So that a whole release is never more than one entry of the log, as in a restore.
REVISION_BYTES_MAX = 512 * 1024
BYTES_MAX = 1024 * 1024

Change = Literal["created", "updated", "unchanged", "removed"]


@dataclass(frozen=True, slots=True)
class AppSteps:
    """What is done to the apps of a release, as to any other."""

    update: Callable[[ClusterState, c.UpdateApp, c.Stamp], Step]
    start: Callable[[ClusterState, c.StartApp, c.Stamp], Step]
    delete: Callable[[ClusterState, c.DeleteApp, c.Stamp], Step]


def current(state: ClusterState, name: str) -> ReleaseRevision | None:
    """The revision of a release that holds; None when there is no such release."""
    release = state.releases.get(name)
    return release.revisions[-1] if release is not None else None


def changes(
    state: ClusterState, name: str, apps: tuple[ReleaseApp, ...]
) -> dict[str, Change]:
    """What it means for each app by name when the release becomes `apps`; pure."""
    found: dict[str, Change] = {}
    for app in apps:
        there = state.apps.get(app.name)
        if there is None:
            found[app.name] = "created"
        else:
            found[app.name] = "unchanged" if there.document == app.document else "updated"
    for app_name in left_over(state, name, {app.name for app in apps}):
        found[app_name] = "removed"
    return found


def left_over(state: ClusterState, name: str, kept: set[str]) -> list[str]:
    """The apps that belong to a release, and to none of `kept`."""
    last = current(state, name)
    return sorted(
        app.name for app in (last.apps if last is not None else ())
        if app.name not in kept and _belongs(state.apps.get(app.name), name))


def apply_release(
    state: ClusterState, command: c.ApplyRelease, stamp: c.Stamp, steps: AppSteps
) -> Step:
    """Make the apps of a release what its new revision says, and start those that are new."""
    last = current(state, command.release)
    refusal = _refused(state, command, last)
    if refusal is not None:
        return refusal
    apps = tuple(ReleaseApp(one.app, one.document) for one in command.apps)
    what = changes(state, command.release, apps)
    for one in command.apps:
        step = _bring(state, one, what[one.app], stamp, steps)
        if isinstance(step, Refusal):
            return Refusal(step.code, f"Application '{one.app}': {step.details}")
        state = step[0]
        owned = replace(state.apps[one.app], release=command.release)
        state = replace(state, apps=state.apps.set(one.app, owned))
    for name in (name for name, change in what.items() if change == "removed"):
        step = steps.delete(state, c.DeleteApp(name, keep_data=command.keep_data), stamp)
        if isinstance(step, Refusal):
            return Refusal(step.code, f"Application '{name}': {step.details}")
        state = step[0]
    revision = ReleaseRevision(
        (last.number if last is not None else 0) + 1, command.chart, command.chart_version,
        command.values, apps, stamp.at_ms, command.note)
    before = state.releases[command.release].revisions if last is not None else ()
    release = Release(command.release, _kept((*before, revision)))
    state = replace(state, releases=state.releases.set(release.name, release))
    state = tell(
        state, stamp, "config", "", f"Release '{release.name}' is at revision {revision.number}: "
        f"{command.note}", release=release.name, revision=revision.number, chart=command.chart,
        chart_version=command.chart_version)
    return state, (("revision", revision.number), ("changes", tuple(sorted(what.items()))))


def uninstall_release(
    state: ClusterState, command: c.UninstallRelease, stamp: c.Stamp, steps: AppSteps
) -> Step:
    """Forget a release, and delete its apps."""
    if current(state, command.release) is None:
        return Refusal(
            Code.NOT_FOUND, f"There is no release '{command.release}'; "
            "`orchestry chart list` shows all")
    last = current(state, command.release)
    if last is not None and last.number != command.expected:
        return _moved_on(command.release, last.number)
    names = left_over(state, command.release, set())
    for name in names:
        step = steps.delete(state, c.DeleteApp(name, command.force, command.keep_data), stamp)
        if isinstance(step, Refusal):
            return Refusal(step.code, f"Application '{name}': {step.details}")
        state = step[0]
    state = replace(state, releases=state.releases.delete(command.release))
    state = tell(state, stamp, "config", "", f"Release '{command.release}' uninstalled",
                 release=command.release, keep_data=command.keep_data)
    return state, (("apps", tuple(names)),)


def _refused(
    state: ClusterState, command: c.ApplyRelease, last: ReleaseRevision | None
) -> Refusal | None:
    name, number = command.release, last.number if last is not None else 0
    if number != command.expected:
        return _moved_on(name, number)
    if last is None and len(state.releases) >= RELEASES_MAX:
        return Refusal(Code.CONFLICT, f"A cluster has at most {RELEASES_MAX} releases")
    if not 0 < len(command.apps) <= APPS_MAX:
        return Refusal(Code.VALIDATION_ERROR, f"A release has 1-{APPS_MAX} applications")
    size = written_bytes(command.values, (one.document for one in command.apps))
    if size > REVISION_BYTES_MAX:
        return Refusal(
            Code.PAYLOAD_TOO_LARGE, f"Values and specs of a release take at most "
            f"{REVISION_BYTES_MAX} bytes as JSON; these take {size}")
    for one in command.apps:
        there = state.apps.get(one.app)
        if there is not None and there.deleting:
            return Refusal(
                Code.CONFLICT,
                f"Application '{one.app}' is still being removed: try again when it is gone")
        if there is not None and not _belongs(there, name):
            whose = f"release '{there.release}'" if there.release else "no release"
            return Refusal(
                Code.CONFLICT, f"Application '{one.app}' exists and belongs to {whose}: "
                "choose another name, or remove it first")
    return None


def _moved_on(name: str, number: int) -> Refusal:
    why = (f"Release '{name}' is at revision {number}" if number
           else f"There is no release '{name}'")
    return Refusal(Code.CONFLICT, f"{why}: it was changed meanwhile, look again")


def written_bytes(values: str, documents: Iterable[str]) -> int:
    """What values and specs take in the log and in a backup, where texts are JSON again."""
    return sum(len(json.dumps(text)) for text in (values, *documents))


def _bring(
    state: ClusterState, one: c.UpdateApp, change: Change, stamp: c.Stamp, steps: AppSteps
) -> Step:
    """The state in which one app is as its document says, and runs if it is new."""
    if change == "unchanged":
        return state, ()
    step = steps.update(state, one, stamp)
    if isinstance(step, Refusal) or change == "updated" or is_job(one.document):
        return step
    return steps.start(step[0], c.StartApp(one.app), stamp)


def _kept(revisions: tuple[ReleaseRevision, ...]) -> tuple[ReleaseRevision, ...]:
    """The newest of them, as many as there is room for."""
    kept: list[ReleaseRevision] = []
    room = BYTES_MAX
    for one in reversed(revisions[-REVISIONS_KEPT:]):
        room -= written_bytes(one.values, (app.document for app in one.apps))
        if room < 0:
            break
        kept.append(one)
    return tuple(reversed(kept))


def _belongs(app: App | None, release: str) -> bool:
    return app is not None and app.release == release
