"""`registry`: logins that images are pulled with; no password is ever an argument."""

from __future__ import annotations

import sys

import click

from orchestry.cli.commands.secret import asked, lines
from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, names_of

_host = click.argument("host", shell_complete=names_of(
    lambda client: [one["host"] for one in client.list_registries()["registries"]]))


@click.command(cls=Command)
@_host
@click.option("--username", metavar="NAME", required=True, help="Name of the account.")
def login(session: Session, *, host: str, username: str) -> None:
    """Pull images of the registry HOST with a login from now on.

    At a terminal the password is asked for and not shown; else it is the whole of standard
    input. HOST is as in images, with its port; docker.io for the hub.
    """
    values = asked(("password",)) if sys.stdin.isatty() else lines(("password",))
    answer = session.client.set_registry_login(host, username, values["password"])
    session.out.warn(answer)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['host']}: login {answer['version']} is kept"))


@click.command("list", cls=Command)
def list_(session: Session) -> None:
    """List the registries that the cluster has a login for; no password is shown anywhere."""
    answer = session.client.list_registries()
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["HOST", "USERNAME", "UPDATED", "KEY"], [
        [row["host"], row["username"] or "-", row["updated_at"].partition(".")[0].rstrip("Z"),
         row["key"]] for row in answer["registries"]],
        empty="No logins. Images of public registries need none.")


@click.command(cls=Command)
@_host
def logout(session: Session, *, host: str) -> None:
    """Forget the login of the registry HOST; images that are on the host stay there."""
    answer = session.client.delete_registry_login(host)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['host']}: its login is removed"))


registry = click.Group(
    "registry", help="Set, list and remove logins of image registries.", no_args_is_help=True,
    commands=[login, list_, logout],
)
COMMANDS = (registry,)
