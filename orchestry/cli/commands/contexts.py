"""`config`: clusters by name."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from typing import Any

import click

from orchestry.cli import contexts
from orchestry.cli.contexts import CONTEXTS_MAX, NAME_CHARACTERS_MAX, Context, Contexts
from orchestry.cli.output import printable
from orchestry.cli.session import (
    Command,
    CommandError,
    Options,
    Session,
    UsageError,
    perform,
    shared_options,
)

LOOK_S = 5.0
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{NAME_CHARACTERS_MAX - 1}}}")


def context_names(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Names for shell completion."""
    try:
        return [name for name in contexts.load().known if name.startswith(incomplete)]
    except contexts.ContextsError:
        return []


name_argument = click.argument("name", metavar="NAME", shell_complete=context_names)


@click.command("set", cls=Command)
@name_argument
def set_(session: Session, *, name: str) -> None:
    """Remember the cluster at --url, with --token and --ca-file if it needs them, as NAME.

    The first one becomes the current one. What is left out stays as it is.
    """
    found = contexts.load()
    before = found.known.get(name, Context(()))
    urls = session.options.urls or before.urls
    if not urls:
        raise UsageError("give the address of a controller: --url http://127.0.0.1:8001")
    token = before.token if session.options.token is None else session.options.token or None
    _keep(session, found, name, Context(urls, token, _ca_file(session) or before.ca_file))


@click.command(cls=Command)
@name_argument
def use(session: Session, *, name: str) -> None:
    """Make NAME the current cluster."""
    found = _loaded(name)
    found.current = name
    contexts.save(found)
    _show(session, found, f"{name} is the current cluster")


@click.command(cls=Command)
@name_argument
def rm(session: Session, *, name: str) -> None:
    """Forget NAME."""
    found = _loaded(name)
    del found.known[name]
    found.current = None if found.current == name else found.current
    contexts.save(found)
    _show(session, found, f"{name} is forgotten")


@click.command("list", cls=Command)
def list_(session: Session) -> None:
    """List the clusters; the current one has a star."""
    found = contexts.load()
    if session.out.as_json:
        session.out.document(_document(found))
        return
    if not found.known:
        session.out.result("No clusters. Remember one with `orchestry config set NAME --url URL`.")
        return
    session.out.table(["", "NAME", "ADDRESSES", "TOKEN"], [
        ["*" if name == found.current else "", name, ", ".join(one.urls),
         "yes" if one.token else "no"]
        for name, one in sorted(found.known.items())
    ])


def _ask(session: Session) -> None:
    """Ask for a cluster in a terminal; elsewhere list them."""
    if session.out.as_json or not sys.stdin.isatty():
        raise UsageError("asking needs a terminal; use `orchestry config set NAME --url URL`")
    found = contexts.load()
    name = click.prompt("Name of the cluster", default=found.current or "default", err=True)
    before = found.known.get(name, Context(("http://127.0.0.1:8001",)))
    text = click.prompt("Addresses of its controllers, separated by commas",
                        default=",".join(before.urls), err=True)
    token = click.prompt("Token, if it asks for one", default="", hide_input=True,
                         show_default=False, err=True)
    urls = tuple(filter(None, map(str.strip, text.split(","))))
    _keep(session, found, name, Context(
        urls, token or before.token, _ca_file(session) or before.ca_file))
    found.current = name
    contexts.save(found)


def _ca_file(session: Session) -> str | None:
    given = session.options.ca_file
    return os.path.abspath(given) if given else None


def _keep(session: Session, found: Contexts, name: str, one: Context) -> None:
    from orchestry.client import Client
    from orchestry.errors import OrchestryError

    if not _NAME.fullmatch(name):
        raise UsageError("a name has letters, digits, `.`, `_` and `-`, and begins with one of "
                         f"the first two; at most {NAME_CHARACTERS_MAX}")
    if name not in found.known and len(found.known) >= CONTEXTS_MAX:
        raise UsageError(f"there are {CONTEXTS_MAX} clusters; forget one with `config rm`")
    try:
        with Client(one.urls, token=one.token, ca=one.ca_file, cert=session.cert,
                    timeout=LOOK_S) as client:
            found.known[name] = replace(one, urls=client.urls)
            try:
                client.cluster_health()
            except OrchestryError as error:
                session.out.progress(f"It does not answer now: {printable(str(error))}")
    except ValueError as error:
        raise UsageError(str(error)) from None
    found.current = found.current or name
    contexts.save(found)
    _show(session, found, f"{name}: {', '.join(one.urls)}")


def _loaded(name: str) -> Contexts:
    found = contexts.load()
    if name not in found.known:
        known = ", ".join(sorted(found.known)) or "none"
        raise CommandError(f"There is no cluster {name!r} here (known: {known})",
                           "See `orchestry config list`.")
    return found


def _show(session: Session, found: Contexts, line: str) -> None:
    if session.out.as_json:
        session.out.document(_document(found))
        return
    session.out.result(printable(line))
    ahead = [name for name in ("ORCHESTRY_URL", "ORCHESTRY_TOKEN") if os.environ.get(name)]
    if ahead:
        session.out.progress(f"{' and '.join(ahead)} of the environment beats it.")


def _document(found: Contexts) -> dict[str, Any]:
    """The clusters without their tokens."""
    return {"current": found.current, "contexts": [
        {"name": name, "urls": list(one.urls), "has_token": one.token is not None,
         "ca_file": one.ca_file}
        for name, one in sorted(found.known.items())
    ]}


@click.pass_context
def _config(context: click.Context, /, **values: Any) -> None:
    options = (context.obj or Options()).merged(Options(**values))
    context.obj = options
    if context.invoked_subcommand is None:
        context.exit(perform(Session(options), _ask))


COMMANDS = (
    click.Group(
        "config", {part.name or "": part for part in (set_, use, list_, rm)}, callback=_config,
        params=shared_options(hidden=True), invoke_without_command=True,
        help="Remember clusters by name; without a command, ask for one.",
    ),
)
