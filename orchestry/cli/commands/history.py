"""`logs` and `events`: what apps said, and what happened to them."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, app_argument, app_names

_REPLICA_STYLES = ("cyan", "yellow", "green", "magenta", "blue")
LEVELS = ("DEBUG", "INFO", "WARN", "ERROR")
EVENT_TYPES = ("scaling", "health", "config", "error")
since_option = click.option(
    "--since", metavar="TIME", help="Not older than this: 30m, 1h, 1d or an RFC 3339 time.")


@click.command(cls=Command)
@app_argument
@click.option("--tail", "-n", type=click.IntRange(0, 10_000), default=100, show_default=True,
              metavar="N", help="Number of lines.")
@since_option
@click.option("--container", "-c", metavar="CONTAINER", help="Only this container.")
@click.option("--level", "-l", type=click.Choice(LEVELS, case_sensitive=False),
              help="Only lines of this level or a worse one.")
def logs(
    session: Session, *, name: str, tail: int, since: str | None, container: str | None,
    level: str | None,
) -> None:
    """Print the last log lines of an app's replicas, oldest first."""
    answer = session.client.get_app_logs(
        name, tail=tail, since=since, container=container, level=level)
    if session.out.as_json:
        session.out.document(answer)
        return
    lines = sorted(answer["logs"], key=lambda line: str(line.get("timestamp") or ""))
    _print_colored(session, [
        (str(line.get("container", "-")), str(line.get("message", ""))) for line in lines])
    for missing in answer.get("unavailable") or ():
        session.out.progress(
            f"{missing.get('container', '-')} is left out: {missing.get('reason', '')}")


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=app_names)
@click.option("--type", "-t", "kind", type=click.Choice(EVENT_TYPES),
              help="Only events of this type.")
@since_option
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=100, show_default=True,
              metavar="N", help="Number of events.")
def events(
    session: Session, *, name: str | None, kind: str | None, since: str | None, limit: int
) -> None:
    """Print what happened, oldest first."""
    client = session.client
    if name is None:
        answer = client.get_events(type=kind, since=since, limit=limit)
    else:
        answer = client.get_app_events(name, type=kind, since=since, limit=limit)
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["TIME", "TYPE", "APP", "MESSAGE"], [
        _event_row(event, name) for event in reversed(answer["events"])])


def _event_row(event: dict[str, Any], name: str | None) -> list[str]:
    time_text = str(event["timestamp"]).partition(".")[0].rstrip("Z") + "Z"
    return [time_text, event["type"], event.get("app_name") or name or "-", event["message"]]


def _print_colored(session: Session, lines: list[tuple[str, str]]) -> None:
    """Each line behind its replica's name, in the replica's colour in a terminal."""
    from rich.text import Text

    console = session.out.console()
    width = max((len(replica) for replica, _ in lines), default=0)
    styles = dict(zip(sorted({replica for replica, _ in lines}), cycle(_REPLICA_STYLES),
                      strict=False))
    for replica, message in lines:
        prefix = f"{printable(replica):<{width}} | "
        if console.color_system is None:
            session.out.result(prefix + printable(message))
        else:
            console.print(Text.assemble((prefix, styles[replica]), printable(message)),
                          soft_wrap=True)


COMMANDS = (logs, events)
