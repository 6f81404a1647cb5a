"""`token`: who may call the cluster."""

from __future__ import annotations

import click

from orchestry.access import ROLES
from orchestry.cli.output import printable
from orchestry.cli.session import Command, CommandError, Session


@click.command(cls=Command)
@click.argument("name")
@click.option("--role", "-r", type=click.Choice(ROLES), required=True,
              help="viewer reads, deployer changes apps, admin does everything.")
@click.option("--apps", metavar="PREFIX",
              help="Good only for apps whose names begin so, such as shop-.")
@click.option("--expires-in", metavar="TIME", help="How long it is good, such as 12h or 90d.")
def create(
    session: Session, *, name: str, role: str, apps: str | None, expires_in: str | None
) -> None:
    """Make a token called NAME, and print it: it is shown only now."""
    answer = session.client.create_token(name, role, apps=apps, expires_in=expires_in)
    if answer["token"] is None:
        raise CommandError(
            f"Token {answer['id']} was made, but the answer with it was lost",
            f"Run `orchestry token revoke {answer['id']}`, and create another.")
    if session.out.as_json:
        session.out.document(answer)
        return
    until = f", until {answer['expires_at']}" if answer.get("expires_at") else ""
    session.out.progress(printable(
        f"Token {answer['id']} ({answer['name']}, {answer['role']}{until}); it is shown only now:"))
    session.out.result(printable(answer["token"]))


@click.command("list", cls=Command)
def list_(session: Session) -> None:
    """List the tokens; the tokens themselves are nowhere kept."""
    answer = session.client.list_tokens()
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["ID", "NAME", "ROLE", "APPS", "CREATED", "EXPIRES"], [
        [row["id"], row["name"], row["role"], f"{row['apps']}*" if row["apps"] else "all",
         _day(row["created_at"]),
         "expired" if row["expired"] else _day(row["expires_at"]) if row["expires_at"] else "never"]
        for row in answer["tokens"]
    ])


def _day(text: str | None) -> str:
    return (text or "-").partition(".")[0].rstrip("Z")


@click.command(cls=Command)
@click.argument("token_id", metavar="ID")
def revoke(session: Session, token_id: str) -> None:
    """Make the token with this ID useless."""
    answer = session.client.revoke_token(token_id)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['id']}: {answer['name']} is revoked"))


COMMANDS = (
    click.Group("token", {part.name or "": part for part in (create, list_, revoke)},
                help="Make, list and revoke the tokens by which the cluster knows its users.",
                no_args_is_help=True),
)
