"""`cluster`: the controllers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from orchestry.cli.commands.authority import ca
from orchestry.cli.commands.backup import backup, recover, restore
from orchestry.cli.commands.config import config
from orchestry.cli.commands.drill import drill
from orchestry.cli.commands.verify import verify
from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, names_of


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
        f"Level: {answer.get('level', '-')}   Answered by: {answer.get('node_id', '-')}"
    ))
    session.out.table(["CONTROLLER", "STATE", "HEALTH", "HOST", "VERSION", "LEVEL"], [
        [node["node_id"], node.get("state", "-"),
         "healthy" if node.get("is_healthy") else "down", node.get("hostname") or "-",
         node.get("version") or "-", node.get("level") or "-"]
        for node in answer.get("nodes") or []
    ])
    for node in answer.get("nodes") or []:
        if node.get("missing_keys"):
            session.out.progress(
                f"Warning: {node['node_id']} does not have key {', '.join(node['missing_keys'])} "
                "of secrets; give all controllers the same ORCHESTRY_SECRETS_KEY")


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


@click.command(cls=Command)
def members(session: Session) -> None:
    """List the controllers that vote."""
    answer = session.client.cluster_members()
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["CONTROLLER", "RAFT", "API", "STATE", "VERSION", "LEVEL"], [
        [row["node_id"], row["raft_address"], row["api_url"] or "-", _state(row),
         row.get("version") or "-", row.get("level") or "-"]
        for row in answer["members"]
    ])


def _state(row: Mapping[str, Any]) -> str:
    if row["is_leader"]:
        return "leader"
    if row["refused"]:
        return f"refused: {row['refused']}"
    if not row["connected"]:
        return "unreachable" if row["seen"] else "not started"
    return "follower"


_controllers = names_of(
    lambda client: [one["node_id"] for one in client.cluster_members()["members"]])


@click.command(cls=Command)
@click.argument("node_id")
@click.argument("raft_address")
def add(session: Session, node_id: str, raft_address: str) -> None:
    """Add controller NODE_ID, which will listen for the others at RAFT_ADDRESS (host:port).

    Prints the environment with which to start it afterwards.
    """
    answer = session.client.add_member(node_id, raft_address)
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.result(printable(
        f"{node_id}: added. Start it with an empty data folder, the cluster's secret and:"))
    for name, value in answer["join"].items():
        session.out.result(printable(f"  {name}={value}"))


@click.command(cls=Command)
@click.argument("node_id", shell_complete=_controllers)
def remove(session: Session, node_id: str) -> None:
    """Remove controller NODE_ID from the cluster; its process may be stopped afterwards."""
    answer = session.client.remove_member(node_id)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(
            f"{node_id}: removed. Members: {', '.join(answer['members'])}"))


@click.command(cls=Command)
@click.option("--to", metavar="NODE_ID", shell_complete=_controllers,
              help="The next leader; by default the best prepared.")
def transfer(session: Session, to: str | None) -> None:
    """Hand leadership over to another controller."""
    answer = session.client.transfer_leadership(to)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(
            f"{answer['leader_id']} leads, after {answer['transfer_time']:.2f} s"))


PARTS: tuple[click.Command, ...] = (
    status, leader, health, members, add, remove, transfer, verify, backup, restore, recover,
    config, drill, ca,
)
COMMANDS = (
    click.Group("cluster", {part.name or "": part for part in PARTS},
                help="Look at the controllers, and change who is one.", no_args_is_help=True),
)
