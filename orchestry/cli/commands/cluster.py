"""`cluster`: the controllers themselves."""

from __future__ import annotations

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session


@click.command(cls=Command)
def status(session: Session) -> None:
    """Show the controllers and who leads, as the answering controller sees it."""
    answer = session.client.cluster_status()
    if session.out.as_json:
        session.out.document(answer)
        return
    leader_id = answer.get("leader_id")
    session.out.result(printable(
        f"Leader: {leader_id or 'none'}   Term: {answer.get('term', '-')}   "
        f"Answered by: {answer.get('node_id', '-')}"
    ))
    session.out.table(["CONTROLLER", "STATE", "HEALTH", "HOST"], [
        [node["node_id"], node.get("state", "-"),
         "healthy" if node.get("is_healthy") else "down", node.get("hostname") or "-"]
        for node in answer.get("nodes") or []
    ])


@click.command(cls=Command)
def leader(session: Session) -> None:
    """Show the leader; exit code 3 when there is none."""
    answer = session.client.cluster_leader()
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['leader_id']}  {answer.get('api_url') or '-'}"))


@click.command(cls=Command)
def health(session: Session) -> int:
    """Tell whether the cluster can write; exit code 3 without a leader, 1 when degraded."""
    answer = session.client.cluster_health()
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(
            f"{answer.get('status', 'unknown')}, leader: {answer.get('leader_id') or 'none'}, "
            f"controllers: {answer.get('cluster_size', 1)}"
        ))
    if answer.get("status") == "healthy":
        return 0
    return 1 if answer.get("leader_id") else 3


COMMANDS = (
    click.Group("cluster", {part.name or "": part for part in (status, leader, health)},
                help="Look at the cluster itself.", no_args_is_help=True),
)
