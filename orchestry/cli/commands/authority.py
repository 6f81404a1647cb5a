"""`cluster ca`: a CA of the cluster's own, and certificates of controllers."""

from __future__ import annotations

import click

from orchestry.cli.commands.local import become
from orchestry.cli.session import Command, Session

_dir = click.option("--dir", "folder", type=click.Path(file_okay=False), metavar="FOLDER",
                    required=True, help="Folder with ca.crt and ca.key.")
_name = click.option("--name", metavar="NODE_ID", required=True, help="Id of the controller.")
_host = click.option("--host", "hosts", metavar="HOST", multiple=True,
                     help="Name or address by which it is reached; repeatable.")


def _run(session: Session, command: str, *arguments: str) -> None:
    become("api.ca", [*["--json"] * session.options.as_json, command, *arguments])


def _named(name: str, hosts: tuple[str, ...]) -> list[str]:
    return ["--name", name, *(part for host in hosts for part in ("--host", host))]


@click.command(cls=Command)
@_dir
@_name
@_host
def init(session: Session, *, folder: str, name: str, hosts: tuple[str, ...]) -> None:
    """Make a CA, and the certificate of the first controller."""
    _run(session, "init", "--dir", folder, *_named(name, hosts))


@click.command(cls=Command)
@_dir
@_name
@_host
@click.option("--out", type=click.Path(file_okay=False), metavar="FOLDER", required=True,
              help="New folder for the files, to be carried to that controller.")
@click.option("--no-ca-key", is_flag=True,
              help="Leave the key of the CA out; the certificate is then not renewed.")
def issue(
    session: Session, *, folder: str, name: str, hosts: tuple[str, ...], out: str,
    no_ca_key: bool,
) -> None:
    """Make the certificate of a further controller."""
    _run(session, "issue", "--dir", folder, *_named(name, hosts), "--out", out,
         *["--no-ca-key"] * no_ca_key)


@click.command(cls=Command)
@_dir
@_name
@_host
@click.option("--ttl", metavar="TIME", default="15m", help="How long it holds (default 15m).")
def token(
    session: Session, *, folder: str, name: str, hosts: tuple[str, ...], ttl: str
) -> None:
    """Print a token with which one controller may `join`, under this name and these hosts."""
    _run(session, "token", "--dir", folder, *_named(name, hosts), "--ttl", ttl)


@click.command(cls=Command)
@click.argument("url")
@_dir
@click.option("--join-token", metavar="TOKEN",
              help="What `token` printed. Else ORCHESTRY_JOIN_TOKEN.")
def join(session: Session, url: str, *, folder: str, join_token: str | None) -> None:
    """Get a certificate from the controller at URL, whose CA is held against the token.

    The token says for which name and hosts. CLUSTER_SECRET, or the file that CLUSTER_SECRET_FILE
    names, shows that this machine is to be a controller.
    """
    given = [] if join_token is None else ["--token", join_token]
    _run(session, "join", "--dir", folder, "--url", url, *given)


ca = click.Group(
    "ca", {part.name or "": part for part in (init, issue, token, join)},
    help="Make certificates for controllers, from a CA of the cluster's own.",
    no_args_is_help=True)
