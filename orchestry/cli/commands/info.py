"""`info`: which cluster the commands go to, and how it is, at a glance."""

from __future__ import annotations

from typing import Any

import click

from orchestry import __version__
from orchestry.cli import contexts
from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session


@click.command(cls=Command)
def info(session: Session) -> int:
    """Show which cluster this is, its controllers, its parts and how many apps it runs.

    Exit code 3 without a leader.
    """
    client = session.client
    cluster = client.cluster_status()
    answer: dict[str, Any] = {
        "version": __version__, "urls": list(client.urls),
        "context": None if session.options.urls else contexts.load().current,
        "cluster": cluster, "health": client.system_health(),
        "apps": client.list_apps(format="summary"),
    }
    if session.out.as_json:
        session.out.document(answer)
    else:
        _show(session, answer)
    return 0 if cluster.get("leader_id") else 3


def _show(session: Session, answer: dict[str, Any]) -> None:
    cluster, health, apps = answer["cluster"], answer["health"], answer["apps"]
    nodes = cluster.get("nodes") or []
    good = sum(bool(node.get("is_healthy")) for node in nodes)
    parts = health.get("components") or {}
    counts = ", ".join(f"{apps[key]} {key}" for key in ("running", "stopped", "error")
                       if key in apps)
    lines = [
        ("Command line", answer["version"]),
        ("Cluster", answer["context"] or "-"),
        ("Controllers", f"{good} of {len(nodes)} healthy: {', '.join(answer['urls'])}"),
        ("Leader", cluster.get("leader_id") or "none"),
        ("Answered by", ", ".join((
            cluster.get("node_id", "-"), health.get("status", "unknown"),
            f"version {health.get('version', '-')}"))),
        ("Apps", f"{apps.get('total', '?')} in all: {counts}"),
        *((name.upper() if name == "tls" else name.capitalize(), part.get("status", "-"))
          for name, part in sorted(parts.items()) if isinstance(part, dict)),
    ]
    width = max(len(name) for name, _ in lines)
    for name, value in lines:
        session.out.result(printable(f"{name:<{width}}  {value}"))


COMMANDS = (info,)
