"""`status`, `list`, `spec`: how apps are, and what was asked for."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from orchestry.cli.output import age, explain, printable, replicas, table, trimmed
from orchestry.cli.session import Command, Session, app_argument, app_names
from orchestry.cli.waiting import pause_s, problem, pulled
from orchestry.errors import OrchestryError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WATCH_PERIOD_S = 1.0
STATUSES = ("registered", "starting", "running", "updating", "stopping", "stopped", "error")


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=app_names)
@click.option("--watch", "-w", is_flag=True,
              help="Show it again on every change, until Ctrl-C; with --json a document a line.")
def status(session: Session, *, name: str | None, watch: bool) -> None:
    """Show how the apps are, or one app with its containers."""
    if watch and session.out.as_json:
        _watch_documents(session, name)
        return
    if watch:
        _watch(session, name)
        return
    answer = _read(session, name)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.console().print(_view(answer))


@click.command("list", cls=Command)
@click.option("--status", "-s", type=click.Choice(STATUSES), help="Only apps with this status.")
def list_apps(session: Session, *, status: str | None) -> None:
    """List the registered apps."""
    answer = session.client.list_apps(status)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.console().print(_apps_table(answer))


@click.command(cls=Command)
@app_argument
@click.option("--resolved/--raw", default=False,
              help="With all defaults filled in, or as registered.")
def spec(session: Session, *, name: str, resolved: bool) -> None:
    """Print an app's spec as YAML."""
    answer = session.client.get_app_spec(name, resolved=resolved)
    if session.out.as_json:
        session.out.document(answer)
        return
    import yaml

    session.out.result(yaml.safe_dump(answer, sort_keys=False, allow_unicode=True).rstrip())


def _read(session: Session, name: str | None) -> Mapping[str, Any]:
    client = session.client
    return client.list_apps() if name is None else client.get_app_status(name)


def _watch(session: Session, name: str | None) -> None:
    """Redraw in a terminal, print each change elsewhere; a lost cluster is shown, not fatal."""
    console = session.out.console()
    # The first answer decides about wrong names and addresses.
    view = _view(_read(session, name))
    try:
        if not console.is_terminal:
            _print_changes(session, name, console, view)
        from rich.live import Live

        with Live(view, console=console, auto_refresh=False) as live:
            for looks in itertools.count():
                time.sleep(pause_s(session, WATCH_PERIOD_S, looks))
                live.update(_view_or_error(session, name), refresh=True)
    except KeyboardInterrupt:
        return


def _watch_documents(session: Session, name: str | None) -> None:
    """A line for each change; a lost cluster is one, too, and not fatal."""
    found, shown = _read(session, name), None
    session.out.follow()
    try:
        for looks in itertools.count():
            if found != shown:
                session.out.document_line(found)
                shown = found
            time.sleep(pause_s(session, WATCH_PERIOD_S, looks))
            try:
                found = _read(session, name)
            except OrchestryError as error:
                found = explain(error)[1]
    except KeyboardInterrupt:
        return


def _print_changes(
    session: Session, name: str | None, console: Console, view: RenderableType
) -> None:
    session.out.follow()
    shown = ""
    for looks in itertools.count():
        with console.capture() as capture:
            console.print(view)
        if capture.get() != shown:
            shown = capture.get()
            session.out.line_now(trimmed(shown).rstrip("\n"))
        time.sleep(pause_s(session, WATCH_PERIOD_S, looks))
        view = _view_or_error(session, name)


def _view_or_error(session: Session, name: str | None) -> RenderableType:
    try:
        return _view(_read(session, name))
    except OrchestryError as error:
        return printable(error)


def _view(answer: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group

    if "apps" in answer:
        counts = ", ".join(f"{answer[key]} {key}" for key in ("running", "stopped", "error")
                           if key in answer)
        return Group(_apps_table(answer), f"{answer.get('total', '?')} in all: {counts}")
    parts: list[RenderableType] = [table(
        ["NAME", "STATUS", "HEALTHY", "AGE"],
        [[answer["name"], answer["status"], replicas(answer), age(answer.get("created_at"))]],
    )]
    if answer.get("pinned"):
        parts.append(printable(f"Image: {answer.get('image', '-')} ({answer['pinned']})"))
    if pulled(answer):
        parts.append(printable(f"Waits: {pulled(answer)}"))
    if problem(answer):
        parts.append(printable(f"Problem: {problem(answer)}"))
    if answer.get("kind") == "Job":
        parts.append(printable(f"A job: its runs are in `orchestry jobs history {answer['name']}`"))
    containers = answer.get("containers") or []
    if containers:
        parts += ["", table(
            ["CONTAINER", "STATUS", "HEALTH", "ADDRESS", "AGE"],
            [[part.get("name", "-"), part.get("state") or part.get("status", "-"),
              part.get("health", "-"),
              f"{part['ip']}:{part.get('port', '-')}" if part.get("ip") else "-",
              age(part.get("started_at"))] for part in containers],
        )]
    failed = (answer.get("restarts") or {}).get("replicas")
    if failed:
        parts += ["", table(
            ["REPLICA", "FAILURES", "OOM KILLS", "LAST EXIT", "WHEN", "NEXT ATTEMPT"],
            [_failed_row(one) for one in failed])]
    return Group(*parts)


def _failed_row(one: Mapping[str, Any]) -> list[object]:
    how = one.get("last_exit") or {}
    code, due = how.get("exit_code"), one.get("next_attempt_at")
    words = [str(how.get("reason", "-")).replace("_", " ")]
    words += [f"code {code}"] if code is not None else []
    words += [str(how["signal"])] if how.get("signal") else []
    return [
        one["name"], one["failures"], one["oom_kills"], ", ".join(words), age(how.get("at")),
        one.get("over") or (due if due else "-"),
    ]


def _apps_table(answer: Mapping[str, Any]) -> RenderableType:
    if not answer["apps"]:
        return "No apps. Register one with `orchestry register FILE`."
    return table(
        ["NAME", "STATUS", "REPLICAS", "IMAGE", "AGE"],
        [[app["name"], app["status"], "job" if app.get("kind") == "Job" else replicas(app),
          app.get("image", "-"),
          age(app.get("created_at"))] for app in answer["apps"]],
    )


COMMANDS = (status, list_apps, spec)
