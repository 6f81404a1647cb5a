"""`cluster config`: the configuration that all controllers share."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, UsageError


@click.command("get", cls=Command)
@click.argument("key", required=False)
def get(session: Session, key: str | None) -> None:
    """Show every key with its value and its source; or KEY, or all keys of a group."""
    answer = session.client.get_config()
    values = _flat(answer)
    if key is not None:
        values = {path: value for path, value in values.items()
                  if path == key or path.startswith(f"{key}.")}
        if not values:
            raise UsageError(f"{key} is no key of the configuration; `orchestry cluster config "
                             "get` lists all")
    if session.out.as_json:
        session.out.document(answer if key is None else values)
        return
    sources = answer["sources"]
    session.out.table(["KEY", "VALUE", "SOURCE"], [
        [path, _text(value), sources.get(path, "-")] for path, value in values.items()])
    _tell_restart(session, answer)


@click.command("set", cls=Command)
@click.argument("changes", metavar="KEY=VALUE...", nargs=-1, required=True)
def set_(session: Session, changes: Sequence[str]) -> None:
    """Change keys on all controllers, such as scaling.default_cooldown=300.

    VALUE is JSON or plain text: 300, debug, '["10.0.0.0/8"]'.
    """
    body: dict[str, Any] = {}
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals:
            raise UsageError(f"{change} must look like KEY=VALUE")
        _put(body, key, _value(text))
    _update(session, body)


@click.command(cls=Command)
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
def unset(session: Session, keys: Sequence[str]) -> None:
    """Take changes back: each controller's own setting, or the default, holds again."""
    body: dict[str, Any] = {}
    for key in keys:
        _put(body, key, None)
    _update(session, body)


def _put(body: dict[str, dict[str, Any]], key: str, value: Any) -> None:
    group, _, name = key.partition(".")
    if not group or not name:
        raise UsageError(f"{key} must look like scaling.default_cooldown")
    if name in body.setdefault(group, {}):
        raise UsageError(f"{key} is given twice")
    body[group][name] = value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _update(session: Session, body: Mapping[str, Any]) -> None:
    answer = session.client.update_config(body)
    if session.out.as_json:
        session.out.document(answer)
        return
    before = _flat(answer["previous"])
    session.out.table(["KEY", "VALUE", "BEFORE"], [
        [path, _text(value), _text(before.get(path)) if before.get(path) != value else ""]
        for path, value in _flat(answer["changed"]).items()])
    _tell_restart(session, answer)


def _tell_restart(session: Session, answer: Mapping[str, Any]) -> None:
    if answer["restart_required"]:
        session.out.result(printable(
            f"Takes effect when a controller starts again: {', '.join(answer['restart_required'])}"
        ))


def _flat(groups: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{group}.{name}": value
        for group, part in groups.items() if isinstance(part, dict) and group != "sources"
        for name, value in part.items()
    }


def _text(value: Any) -> str:
    if value is None or value == []:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


config = click.Group(
    "config", {"get": get, "set": set_, "unset": unset}, no_args_is_help=True,
    help="Look at the configuration that all controllers share, and change it.")
