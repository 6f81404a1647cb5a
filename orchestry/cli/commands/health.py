"""`health`: how the replicas of an app passed their checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from orchestry.cli.output import age
from orchestry.cli.session import Command, Session, app_argument


@click.command(cls=Command)
@app_argument
@click.option("--check", is_flag=True, help="Check every replica now, and wait for the answers.")
def health(session: Session, *, name: str, check: bool) -> None:
    """Show the health of every replica of an app."""
    client = session.client
    answer: Mapping[str, Any] = client.check_health(name) if check else client.get_health(name)
    if session.out.as_json:
        session.out.document(answer)
        return
    rows = answer["results" if check else "containers"]
    if rows:
        session.out.table(
            ["CONTAINER", "HEALTH", "CHECKED", "FAILURES", "TIME", "LAST ERROR"],
            [_row(row) for row in rows])
    if check:
        session.out.result(f"{name}: {answer['containers_checked']} checked, "
                           f"{answer['healthy']} passed, {answer['unhealthy']} failed")
    else:
        session.out.result(f"{name}: {answer['overall_health']}, "
                           f"{answer['healthy_replicas']}/{answer['total_replicas']} healthy")


def _row(row: Mapping[str, Any]) -> list[object]:
    failures, took_ms = row.get("consecutive_failures"), row.get("response_time_ms")
    return [
        row.get("name", "-"), row.get("health", "-"), age(row.get("last_check")),
        "-" if failures is None else failures,
        "-" if took_ms is None else f"{took_ms:g} ms", row.get("last_error") or "-",
    ]


COMMANDS = (health,)
