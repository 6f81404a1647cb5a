"""`chart install` and what follows: charts that are installed in a cluster."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from orchestry.cli.commands.chart import inputs, layers_of, lint, render, work
from orchestry.cli.going import volumes_of
from orchestry.cli.output import age, printable
from orchestry.cli.session import Command, CommandError, Session, UsageError, names_of
from orchestry.cli.waiting import patiently, pause_s

POLL_S = 1.0
LINES_MAX = 200
_MARKS = {"created": "+", "updated": "~", "removed": "-", "unchanged": "="}

_release = click.argument("name", metavar="NAME", shell_complete=names_of(
    lambda client: [one["release"] for one in client.list_releases()["releases"]]))
_dry_run = click.option("--dry-run", is_flag=True, help="Show what would change, change nothing.")
_keep_data = click.option("--keep-data", is_flag=True, help="Keep volumes of apps that go.")
_wait = click.option("--wait/--no-wait", default=True, show_default=True,
                     help="Wait until all replicas of its apps are healthy.")
_timeout = click.option("--timeout", type=click.IntRange(1, 3600), default=600, metavar="S",
                        show_default=True, help="Seconds to wait at most.")


@click.command(cls=Command)
@_release
@inputs
@_dry_run
@_wait
@_timeout
def install(
    session: Session, *, name: str, chart: Path, files: tuple[str, ...], sets: tuple[str, ...],
    dry_run: bool, wait: bool, timeout: int,
) -> int:
    """Install the chart in the folder CHART as release NAME, and start its apps.

    All its apps are there afterwards, or none.
    """
    layers = layers_of(files, sets)
    return _apply(session, name, chart, layers, "install", dry_run=dry_run, wait=wait,
                  timeout_s=timeout)


@click.command(cls=Command)
@_release
@inputs
@click.option("--install", "or_install", is_flag=True, help="Install it when there is none.")
@click.option("--reuse-values", is_flag=True,
              help="Begin with the values of the last revision; -f and --set go over them.")
@_dry_run
@_keep_data
@_wait
@_timeout
def upgrade(
    session: Session, *, name: str, chart: Path, files: tuple[str, ...], sets: tuple[str, ...],
    or_install: bool, reuse_values: bool, dry_run: bool, keep_data: bool, wait: bool,
    timeout: int,
) -> int:
    """Make release NAME what the chart in the folder CHART renders now.

    Replicas of changed apps are replaced one by one; apps that are no longer rendered go.
    """
    layers = layers_of(files, sets)
    if reuse_values:
        layers.insert(0, dict(session.client.get_release(name)["values"] or {}))
    return _apply(session, name, chart, layers, None if or_install else "upgrade",
                  dry_run=dry_run, keep_data=keep_data, wait=wait, timeout_s=timeout)


@click.command(cls=Command)
@_release
@click.argument("revision", metavar="[REVISION]", type=click.IntRange(1), required=False)
@_dry_run
@_keep_data
@_wait
@_timeout
def rollback(
    session: Session, *, name: str, revision: int | None, dry_run: bool, keep_data: bool,
    wait: bool, timeout: int,
) -> int:
    """Make release NAME what it was in REVISION, else in the one before the last."""
    answer = session.client.rollback_release(
        name, revision, dry_run=dry_run, keep_data=keep_data)
    return _told(session, answer, wait=wait and not dry_run, timeout_s=timeout,
                 keep_data=keep_data)


@click.command(cls=Command)
@_release
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--force", "-f", is_flag=True, help="Do not drain.")
@_keep_data
def uninstall(
    session: Session, *, name: str, yes: bool, force: bool, keep_data: bool
) -> int:
    """Remove release NAME with its apps and, unless kept, their volumes."""
    out = session.out
    if not yes:
        if out.as_json or not sys.stdin.isatty():
            raise UsageError(f"uninstalling {name} needs a confirmation; give --yes")
        apps = [row["app"] for row in session.client.get_release(name)["status"]
                if row["status"] != "missing"]
        what = ", ".join(apps) or "no app"
        if apps and not keep_data:
            what += f" and {volumes_of(session, *apps)}"
        if not click.confirm(printable(f"Uninstall {name} with {what}?"), err=True):
            out.progress("Nothing was removed.")
            return 1
    answer = session.client.uninstall_release(name, force=force, keep_data=keep_data)
    if out.as_json:
        out.document(answer)
    else:
        out.result(printable(f"{name}: uninstalled, apps: {', '.join(answer['apps']) or 'none'}"))
    return 0


@click.command("list", cls=Command)
def list_(session: Session) -> None:
    """List the releases."""
    answer = session.client.list_releases()
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["RELEASE", "REVISION", "CHART", "VERSION", "UPDATED", "APPS"], [
        [row["release"], str(row["revision"]), row["chart"], row["chart_version"],
         age(row["updated_at"]), ", ".join(row["apps"])] for row in answer["releases"]],
        empty="No releases. Install a chart with `orchestry chart install RELEASE CHART`.")


@click.command(cls=Command)
@_release
def history(session: Session, name: str) -> None:
    """List the kept revisions of release NAME, oldest first."""
    answer = session.client.get_release(name)
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["REVISION", "UPDATED", "CHART", "VERSION", "NOTE", "APPS"], [
        [str(row["revision"]), age(row["updated_at"]), row["chart"], row["chart_version"],
         row["note"], ", ".join(row["apps"])] for row in answer["revisions"]])


@click.command(cls=Command)
@_release
@click.argument("revision", metavar="[REVISION]", type=click.IntRange(1), required=False)
@click.option("--against", type=click.IntRange(0), metavar="N",
              help="Compare with revision N, 0 for nothing; else with the one before.")
def diff(session: Session, *, name: str, revision: int | None, against: int | None) -> None:
    """Show how REVISION of release NAME, else the last, differs from an earlier one."""
    client = session.client
    number = revision or int(client.get_release(name)["revision"])
    answer = client.get_release_revision(name, number, against=against)
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.result(printable(
        f"{name}: revision {number} against {answer['against'] or 'nothing'}"))
    _print_changes(session, answer)


def _apply(
    session: Session, name: str, folder: Path, layers: list[dict[str, Any]], only: str | None, *,
    dry_run: bool, wait: bool, timeout_s: int, keep_data: bool = False,
) -> int:
    from orchestry.chart import merged

    loaded, _, specs = work(folder, layers)
    if not specs:
        raise CommandError(
            f"{loaded.name} renders files, no apps: it cannot be installed in a cluster",
            f"Run `orchestry chart render {folder} -o DIR`.")
    answer = session.client.apply_release(
        name, loaded.name, loaded.version, list(specs.values()), values=merged({}, *layers),
        only=only, dry_run=dry_run, keep_data=keep_data)
    return _told(session, answer, wait=wait and not dry_run, timeout_s=timeout_s,
                 keep_data=keep_data)


def _told(
    session: Session, answer: Mapping[str, Any], *, wait: bool, timeout_s: int, keep_data: bool
) -> int:
    """Print what was done, and wait for the apps."""
    out, name = session.out, str(answer["release"])
    if not out.as_json:
        what = "would be" if answer["dry_run"] else "is"
        out.result(printable(f"{name}: {what} at revision {answer['revision']}"))
        _print_changes(session, answer)
        gone = [row["app"] for row in answer["changes"] if row["change"] == "removed"]
        if answer["dry_run"] and gone and not keep_data:
            out.result(f"with {', '.join(gone)}: {volumes_of(session, *gone)}")
    behind = _behind(session, name, timeout_s) if wait else ""
    if out.as_json:
        out.document({**answer, "ready": None if not wait else not behind})
    if behind:
        out.progress(f"{name}: {behind} after {timeout_s} s; the operation goes on.")
        out.progress(f"Next: See `orchestry chart history {name}` and `orchestry status`.")
        return 5
    return 0


def _print_changes(session: Session, answer: Mapping[str, Any]) -> None:
    for row in answer["changes"]:
        session.out.result(printable(f"{_MARKS[row['change']]} {row['app']}: {row['change']}"))
        for line in row["diff"][:LINES_MAX] if row["change"] == "updated" else ():
            session.out.result(printable(f"    {line}"))


def _behind(session: Session, name: str, timeout_s: int) -> str:
    """Wait until all apps of a release run; what is still missing, "" when nothing is."""
    until_s, shown = time.monotonic() + timeout_s, ""
    looks = itertools.count()
    while True:
        answer = patiently(session, lambda: session.client.get_release(name))
        left = [
            f"{row['app']} is {row['status']}, {row['healthy']}/{row['replicas']} healthy"
            for row in answer["status"]
            if row["status"] != "running" or row["healthy"] < row["replicas"]]
        if not left:
            return ""
        line = "; ".join(left)
        if line != shown:
            session.out.progress(f"{name}: {line}")
            shown = line
        if time.monotonic() >= until_s:
            return line
        time.sleep(pause_s(session, POLL_S, next(looks)))


_PARTS = (render, lint, install, upgrade, rollback, uninstall, list_, history, diff)
COMMANDS = (click.Group(
    "chart", {part.name or "": part for part in _PARTS}, no_args_is_help=True,
    help="Charts: templates and values that become app specs, a release, or a cluster's files."),)
