"""`secret`: what applications need to know and nobody may read; no value is ever an argument."""

from __future__ import annotations

import sys

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, CommandError, Session, UsageError, names_of

INPUT_CHARACTERS_MAX = 1024**2
_name = click.argument("name", shell_complete=names_of(
    lambda client: [one["name"] for one in client.list_secrets()["secrets"]]))


@click.command("set", cls=Command)
@_name
@click.argument("fields", metavar="[FIELD]...", nargs=-1)
def set_(session: Session, *, name: str, fields: tuple[str, ...]) -> None:
    """Set the secret NAME: one value, or one for each FIELD.

    At a terminal each value is asked for and not shown. Else it comes from standard input: the
    whole of it, without a line end behind it, or with several fields one line for each. All
    fields that were there before are replaced, and apps that use the secret get new replicas.
    """
    if len(set(fields)) < len(fields):
        raise UsageError("a FIELD is given twice")
    values = asked(fields or ("value",)) if sys.stdin.isatty() else lines(fields or ("value",))
    answer = session.client.set_secret(name, values if fields else values["value"])
    session.out.warn(answer)
    if session.out.as_json:
        session.out.document(answer)
        return
    count = answer["apps_restarted"]
    more = f"; {count} application{'s' if count != 1 else ''} renewed" if count else ""
    session.out.result(printable(f"{answer['name']}: version {answer['version']} is set{more}"))


def asked(fields: tuple[str, ...]) -> dict[str, str]:
    """The values, asked for at the terminal without showing them."""
    return {
        field: click.prompt(field, hide_input=True, confirmation_prompt=True, err=True)
        for field in fields
    }


def lines(fields: tuple[str, ...]) -> dict[str, str]:
    """The values from standard input, a line for each; one value is the whole of it."""
    try:
        text = sys.stdin.read(INPUT_CHARACTERS_MAX + 1)
    except UnicodeDecodeError:
        raise CommandError(
            "Standard input is not UTF-8 text", "Encode it first, as with `base64`.") from None
    if not text:
        raise CommandError(
            "Standard input is empty, and a secret without a value is of no use",
            "Pass the value on, as in `pass show db | orchestry secret set db`, or set it at a "
            "terminal.")
    if len(text) > INPUT_CHARACTERS_MAX:
        raise CommandError("Standard input is too long", "A secret has at most 64 KiB.")
    if len(fields) == 1:
        return {fields[0]: text.removesuffix("\n").removesuffix("\r")}
    found = text.splitlines()
    if len(found) != len(fields):
        raise UsageError(
            f"standard input has {len(found)} lines for {len(fields)} fields: give one each")
    return dict(zip(fields, found, strict=True))


@click.command("list", cls=Command)
def list_(session: Session) -> None:
    """List the secrets with the apps that use them; no value is shown anywhere."""
    answer = session.client.list_secrets()
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["NAME", "VERSION", "FIELDS", "USED BY", "UPDATED", "KEY"], [
        [row["name"], str(row["version"]), ", ".join(row["fields"]),
         ", ".join(row["used_by"]) or "-", row["updated_at"].partition(".")[0].rstrip("Z"),
         row["key"]]
        for row in answer["secrets"]
    ], empty="No secrets. Set one with `orchestry secret set NAME`.")


@click.command(cls=Command)
@_name
@click.option("--force", "-f", is_flag=True, help="Also while apps use it.")
def rm(session: Session, *, name: str, force: bool) -> None:
    """Remove the secret NAME with all its versions."""
    answer = session.client.delete_secret(name, force=force)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(printable(f"{answer['name']} is removed"))


@click.command(cls=Command)
def rotate(session: Session) -> None:
    """Seal all secrets, and logins of registries, under the first key of the controllers.

    Values and apps stay as they are.

    The key that was first before may be taken away afterwards. May be repeated.
    """
    names = [row["name"] for row in session.client.list_secrets()["secrets"]]
    done = [session.client.rotate_secret(name) for name in names]
    session.out.warn(*done)
    if _logins(session):
        session.out.progress("Logins of registries are sealed under the first key too")
    if session.out.as_json:
        session.out.document({"secrets": done, "total": len(done)})
    elif done:
        keys = ", ".join(sorted({answer["key"] for answer in done}))
        session.out.result(printable(f"{len(done)} secrets are sealed under key {keys}"))
    else:
        session.out.result("There are no secrets")


def _logins(session: Session) -> int:
    """Seal the logins, which only admins may see; how many there are."""
    from orchestry.client import Forbidden

    try:
        hosts = [row["host"] for row in session.client.list_registries()["registries"]]
    except Forbidden:
        session.out.progress("Logins of registries are left to an admin")
        return 0
    for host in hosts:
        session.client.rotate_registry_login(host)
    return len(hosts)


secret = click.Group(
    "secret", help="Set, list, rotate and remove secrets of apps.",
    no_args_is_help=True,
    commands=[set_, list_, rm, rotate],
)
COMMANDS = (secret,)
