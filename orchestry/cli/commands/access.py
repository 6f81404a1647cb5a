"""`token` and `audit`: who may call the cluster, and who did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from orchestry.access import ROLES
from orchestry.audit import Judge
from orchestry.cli.commands.history import since_option
from orchestry.cli.output import printable
from orchestry.cli.session import Command, CommandError, Session, names_of

PAGE = 1000


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
    ], empty="No tokens. Make one with `orchestry token create NAME --role ROLE`.")


def _day(text: str | None) -> str:
    return (text or "-").partition(".")[0].rstrip("Z")


@click.command(cls=Command)
@click.argument("token_id", metavar="ID", shell_complete=names_of(
    lambda client: [one["id"] for one in client.list_tokens()["tokens"]]))
def revoke(session: Session, token_id: str) -> None:
    """Make the token with this ID useless."""
    answer = session.client.revoke_token(token_id)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['id']}: {answer['name']} is revoked"))


@click.command(cls=Command)
@click.argument("action", metavar="[verify]", type=click.Choice(["verify"]), required=False)
@since_option
@click.option("--limit", "-n", type=click.IntRange(1, 1000), default=100, show_default=True,
              metavar="N", help="Number of entries.")
def audit(session: Session, *, action: str | None, since: str | None, limit: int) -> int:
    """Print who wrote what and who was refused, oldest first; `verify` judges the whole chain.

    `verify` recomputes the hashes of all entries, and ends with 1 when one was changed or is
    missing.
    """
    if action is not None:
        return _verify(session, since)
    answer = session.client.get_audit(since=since, limit=limit)
    if session.out.as_json:
        session.out.document(answer)
        return 0
    session.out.table(["TIME", "WHO", "FROM", "CALL", "RESULT", "TIMES"], [
        [_day(row["timestamp"]), _who(row), row["client"], f"{row['method']} {row['path']}",
         row["code"], str(row["count"])]
        for row in reversed(answer["entries"])
    ], empty="Nothing was written or refused.")
    return 0


def _who(row: Mapping[str, Any]) -> str:
    return f"{row['name']} ({row['token']})" if row["token"] else "-"


def _verify(session: Session, since: str | None) -> int:
    judge, before, complete = Judge(), None, True
    while True:
        answer = session.client.get_audit(since=since, limit=PAGE, before=before)
        judge.look(answer["entries"])
        complete = complete and answer["complete"]
        if not answer["has_more"] or not answer["entries"]:
            break
        before = answer["entries"][-1]["id"]
    oldest = judge.oldest["timestamp"] if judge.oldest is not None else None
    if session.out.as_json:
        session.out.document({
            "entries": judge.count, "oldest": oldest, "complete": complete,
            "faults": [{"id": fault.id, "reason": fault.reason} for fault in judge.faults],
        })
        return 1 if judge.faults else 0
    for fault in reversed(judge.faults):
        session.out.result(printable(f"Entry {fault.id} {fault.reason}"))
    session.out.result(printable(
        f"{judge.count} entries since {_day(oldest)}: "
        f"{f'{len(judge.faults)} faults' if judge.faults else 'an unbroken chain'}"))
    if not complete:
        session.out.progress(
            "This controller still fetches older entries from the others; look again later.")
    return 1 if judge.faults else 0


COMMANDS = (
    click.Group("token", {part.name or "": part for part in (create, list_, revoke)},
                help="Make, list and revoke the tokens by which the cluster knows its users.",
                no_args_is_help=True),
    audit,
)
