"""`cluster verify`: proof that nobody acted out of turn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from orchestry import proof
from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session
from orchestry.cli.waiting import patiently
from orchestry.errors import OrchestryError

if TYPE_CHECKING:
    from orchestry.client import Client

PAGE = 2000
STALE, INCOMPLETE = 1, 4


@click.command(cls=Command)
def verify(session: Session) -> int:
    """Replay what all controllers did, and report each action of an epoch that was over.

    Exit code 1 when there is one, 4 when a part of the record is missing.
    """
    members = session.client.cluster_members()["members"]
    records: dict[str, list[proof.Record]] = {}
    lost: dict[str, int] = {}
    unreachable = []
    for row in members:
        try:
            client = session.at(row["api_url"] or "")
            records[row["node_id"]], lost[row["node_id"]] = _record(session, client)
        except (OrchestryError, ValueError):
            unreachable.append(row["node_id"])
    containers = session.client.cluster_containers()["containers"]
    report = proof.verify(records, containers, lost=lost, unreachable=unreachable)
    _show(session, report)
    if not report.clean:
        return STALE
    return 0 if report.complete else INCOMPLETE


def _record(session: Session, client: Client) -> tuple[list[proof.Record], int]:
    found: list[proof.Record] = []
    with client:
        while True:
            after = found[-1]["n"] if found else 0
            page = patiently(session, partial(client.cluster_actions, after=after, limit=PAGE))
            found += page["records"]
            if not page["more"]:
                return proof.joined(found), int(page["lost"])


def _show(session: Session, report: proof.Report) -> None:
    rows: list[dict[str, Any]] = [
        {"kind": f.kind, "node_id": f.node or None, "epoch": f.epoch or None, "what": f.what}
        for f in report.findings
    ]
    if session.out.as_json:
        session.out.document({
            "clean": report.clean, "complete": report.complete, "actions": report.actions,
            "epochs": report.epochs, "containers": report.containers, "findings": rows,
        })
        return
    stale = sum(row["kind"] == "stale" for row in rows)
    session.out.result(printable(
        f"{report.actions} actions of {report.epochs} epochs, {report.containers} containers: "
        f"{stale or 'no'} action{'s' if stale != 1 else ''} by a stale epoch"))
    if rows:
        session.out.table(["KIND", "CONTROLLER", "EPOCH", "WHAT"], [
            [row["kind"], row["node_id"] or "-", str(row["epoch"] or "-"), row["what"]]
            for row in rows
        ])
