"""`volumes`: what apps have stored, and what deleted ones left behind."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, UsageError, app_names, names_of


@click.command("list", cls=Command)
@click.option("--app", "-a", "app_name", metavar="NAME", shell_complete=app_names,
              help="Only those of one app.")
@click.option("--sizes", is_flag=True, help="Also their sizes; takes long with many files.")
def list_(session: Session, *, app_name: str | None, sizes: bool) -> None:
    """List the volumes of apps, also those that deleted apps left behind."""
    answer = session.client.list_volumes(app_name, sizes=sizes)
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["NAME", "APP", "STATUS", "USED BY", "SIZE", "CREATED"], [
        [row["name"], row["app"], _status(row), ", ".join(row["used_by"]) or "-",
         "-" if row["size_bytes"] is None else f"{row['size_bytes'] / 1024**2:.1f} MiB",
         row["created_at"].partition(".")[0].rstrip("Z")]
        for row in answer["volumes"]
    ], empty="No volumes. Those that specs name are made when their apps start.")


def _status(row: Mapping[str, Any]) -> str:
    if row["removing"]:
        return "removing"
    if row["orphaned"]:
        return "orphaned"
    return "in use" if row["in_use"] else "unused"


@click.command(cls=Command)
@click.argument("name", shell_complete=names_of(lambda client: [
    one["name"] for one in client.list_volumes()["volumes"] if one["orphaned"]]))
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def rm(session: Session, *, name: str, yes: bool) -> int:
    """Remove the volume NAME of an app that is deleted, with all that is in it.

    What an app that is there has stored goes with the app: `orchestry delete`. What an earlier
    app of its name left, and it does not name, can be removed.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError(f"removing {name} needs a confirmation; give --yes")
        if not click.confirm(f"Remove {name} and all that is in it?", err=True):
            session.out.progress("Nothing was removed.")
            return 1
    answer = session.client.remove_volume(name)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['name']} is removed"))
    return 0


volumes = click.Group(
    "volumes", help="List volumes, and remove those that deleted apps left behind.",
    no_args_is_help=True,
    commands=[list_, rm],
)
COMMANDS = (volumes,)
