"""`logs` and `events`: what apps said, and what happened to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, cycle
from typing import Any

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, UsageError, app_argument, app_names

_REPLICA_STYLES = ("cyan", "yellow", "green", "magenta", "blue")
REPLICAS_KNOWN_MAX = 1000
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
EVENT_TYPES = ("scaling", "health", "config", "error", "cluster")
since_option = click.option(
    "--since", metavar="TIME", help="Not older than this: 30m, 1h, 1d or an RFC 3339 time.")


follow_option = click.option(
    "--follow", "-f", is_flag=True, help="Go on with what is new, until Ctrl-C.")


@click.command(cls=Command)
@app_argument
@click.option("--tail", "-n", type=click.IntRange(0, 10_000), default=100, show_default=True,
              metavar="N", help="Number of lines.")
@follow_option
@since_option
@click.option("--container", "-c", metavar="CONTAINER", help="Only this replica, run or container.")
@click.option("--run", "run_id", metavar="RUN", type=click.IntRange(1),
              help="Only this run, such as a job's; with -f until it is over.")
@click.option("--level", "-l", type=click.Choice(LEVELS, case_sensitive=False),
              help="Only lines of this level or a worse one.")
def logs(
    session: Session, *, name: str, tail: int, follow: bool, since: str | None,
    container: str | None, run_id: int | None, level: str | None,
) -> None:
    """Print the last log lines of an app's replicas, or of a job's runs, oldest first."""
    if run_id is not None:
        if container is not None:
            raise UsageError("--run and --container each choose what to read: give one of them")
        run = session.client.get_run(name, run_id)
        container = run["container"]
        follow = follow and run["status"] in ("waiting", "running")
    if follow:
        if not _follow_logs(session, session.client.stream_logs(
                name, tail=tail, container=container, level=level, since=since)):
            return
        if run_id is not None:
            _tell_end(session, name, run_id)
        else:
            session.out.progress("The app was removed." if container is None else (
                "The run is over, or the app was removed."))
        return
    answer = session.client.get_app_logs(
        name, tail=tail, since=since, container=container, level=level)
    if session.out.as_json:
        session.out.document(answer)
        return
    lines = sorted(answer["logs"], key=lambda line: str(line.get("timestamp") or ""))
    replicas = sorted({str(line.get("container", "-")) for line in lines})
    painter = _Painter(session, replicas)
    for line in lines:
        painter.show(line)
    for missing in answer.get("unavailable") or ():
        session.out.progress(f"{missing.get('container', '-')}: {missing.get('reason', '')}")


def _tell_end(session: Session, name: str, run_id: int) -> None:
    run = session.client.get_run(name, run_id)
    why = f": {printable(run['reason'])}" if run["reason"] else ""
    session.out.progress(f"Run {run_id} of {name}: {run['status'].replace('_', ' ')}{why}")


def _follow_logs(session: Session, lines: Iterator[Mapping[str, Any]]) -> bool:
    """Print what comes; False when the user has seen enough."""
    painter = None if session.out.as_json else _Painter(session, ())
    session.out.follow()
    try:
        for line in lines:
            if painter is None:
                session.out.document_line(line)
            else:
                painter.show(line)
    except KeyboardInterrupt:
        return False
    return True


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=app_names)
@click.option("--type", "-t", "kind", type=click.Choice(EVENT_TYPES),
              help="Only events of this type.")
@follow_option
@since_option
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=100, show_default=True,
              metavar="N", help="Number of events.")
def events(
    session: Session, *, name: str | None, kind: str | None, follow: bool, since: str | None,
    limit: int,
) -> None:
    """Print what happened, oldest first."""
    client = session.client
    if name is None:
        answer = client.get_events(type=kind, since=since, limit=limit)
    else:
        answer = client.get_app_events(name, type=kind, since=since, limit=limit)
    if follow:
        _follow_events(session, answer["events"], name, kind, since)
        return
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["TIME", "TYPE", "APP", "MESSAGE"], [
        _event_row(event, name) for event in reversed(answer["events"])], empty="No events.")


def _follow_events(
    session: Session, past: Sequence[Mapping[str, Any]], name: str | None, kind: str | None,
    since: str | None,
) -> None:
    # Without any event yet each one is new, unless the time was limited.
    last_id = past[0]["id"] if past else None if since else 0
    new = session.client.stream_events(last_id, app=name, type=kind)
    session.out.follow()
    try:
        for event in chain(reversed(past), new):
            if session.out.as_json:
                session.out.document_line(event)
                continue
            time_text, kind_text, app, message = map(printable, _event_row(event, name))
            session.out.line_now(f"{time_text}  {kind_text:<7}  {app:<20}  {message}")
    except KeyboardInterrupt:
        return


def _event_row(event: Mapping[str, Any], name: str | None) -> list[str]:
    time_text = str(event["timestamp"]).partition(".")[0].rstrip("Z") + "Z"
    return [time_text, event["type"], event.get("app_name") or name or "-", event["message"]]


class _Painter:
    """Writes each line behind its replica's name, in the replica's colour in a terminal."""

    def __init__(self, session: Session, replicas: Sequence[str]) -> None:
        self._out = session.out
        self._console = session.out.console()
        self._styles = cycle(_REPLICA_STYLES)
        self._style_of: dict[str, str] = {}
        self._width = 0
        for replica in replicas:
            self._meet(replica)

    def _meet(self, replica: str) -> None:
        # Replicas come and go while lines are followed.
        if len(self._style_of) >= REPLICAS_KNOWN_MAX:
            self._style_of.clear()
        self._style_of[replica] = next(self._styles)
        self._width = max(self._width, len(replica))

    def show(self, line: Mapping[str, Any]) -> None:
        """One line, at once."""
        from rich.text import Text

        replica, message = str(line.get("container", "-")), printable(line.get("message", ""))
        if replica not in self._style_of:
            self._meet(replica)
        prefix = f"{printable(replica):<{self._width}} | "
        if self._console.color_system is None:
            self._out.line_now(prefix + message)
        else:
            self._console.print(
                Text.assemble((prefix, self._style_of[replica]), message), soft_wrap=True)


COMMANDS = (logs, events)
