"""JSON of commands and snapshots: the only form in which state leaves the process.

Dataclasses are written field by field, without defaults. Reading ignores no unknown kind:
a controller that meets one must stop with a clear message rather than diverge.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from functools import cache
from typing import Any, Union, get_args, get_origin, get_type_hints

from immutables import Map

from cluster.state import commands as c
from cluster.state import levels, spec_levels
from cluster.state.levels import Need
from cluster.state.memory import Memory, Outcome
from cluster.state.model import ClusterState, owners_of
from orchestry.errors import Code

ENVELOPE_VERSION = 1
SNAPSHOT_VERSION = 1


class UnknownFormat(Exception):
    """Written by a newer version of Orchestry: upgrade this controller."""


_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in get_args(c.Command)}


def encode_envelope(command: c.Command, stamp: c.Stamp) -> str:
    """One log entry as text."""
    return json.dumps(
        {
            "v": ENVELOPE_VERSION, "kind": type(command).__name__,
            "command": _encode(command), "stamp": _encode(stamp),
        },
        separators=(",", ":"),
    )


def decode_envelope(text: str) -> tuple[c.Command, c.Stamp]:
    """The entry back.

    Raises:
        UnknownFormat: a newer version wrote it.
    """
    body = json.loads(text)
    kind = _KINDS.get(body.get("kind"))
    if kind is None or body.get("v") != ENVELOPE_VERSION:
        raise UnknownFormat(f"command {body.get('kind')!r}, version {body.get('v')!r}")
    return _decode(kind, body["command"]), _decode(c.Stamp, body["stamp"])


def need_of(command: c.Command, stamp: c.Stamp) -> Need:
    """From which level of the cluster on this entry may be proposed, and why."""
    own = Need(levels.KINDS[type(command).__name__])
    highest = (*levels.FIELDS.values(), *levels.KINDS.values(), *spec_levels.SPEC.values())
    if max(highest) <= own.level:
        return own
    return _highest([own, _need_within(command), _need_within(stamp)])


def _need_within(value: Any) -> Need:
    """The highest level in a value and all its parts: a field that is written, a kind, a spec."""
    found = [Need(levels.FIRST)]
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        found.append(Need(levels.KINDS.get(kind.__name__, levels.FIRST)))
        for name, (_, default) in _hints(kind).items():
            part, at = getattr(value, name), (kind.__name__, name)
            if default is MISSING or part != default:
                found += [Need(levels.FIELDS.get(at, levels.FIRST)), _need_within(part)]
                if at in spec_levels.DOCUMENTS:
                    found.append(spec_levels.need_of(part, spec_levels.DOCUMENTS[at]))
    elif isinstance(value, Mapping):
        found += map(_need_within, value.values())
    elif isinstance(value, tuple):
        found += map(_need_within, value)
    return _highest(found)


def _highest(needs: list[Need]) -> Need:
    return max(needs, key=lambda need: need.level)


def encode_snapshot(state: ClusterState) -> str:
    """The whole state as text, without what follows from the rest of it."""
    written = _encode(replace(state, owners=Map()))
    return json.dumps({"v": SNAPSHOT_VERSION, "state": written}, separators=(",", ":"))


def decode_snapshot(text: str) -> ClusterState:
    """The state back.

    Raises:
        UnknownFormat: a newer version wrote it.
    """
    body = json.loads(text)
    if body.get("v") != SNAPSHOT_VERSION:
        raise UnknownFormat(f"snapshot version {body.get('v')!r}")
    above = levels.too_high(body["state"].get("level", levels.FIRST))
    if above:
        raise UnknownFormat(above)
    state: ClusterState = _decode(ClusterState, body["state"])
    return replace(state, owners=owners_of(state.apps))


def encode_part(part: c.RestorePart) -> dict[str, Any]:
    """A part of a backup as plain data, for JSON."""
    encoded: dict[str, Any] = _encode(part)
    return encoded


def decode_part(data: Mapping[str, Any]) -> c.RestorePart:
    """The part back; raises ValueError, KeyError or TypeError when it is none."""
    part: c.RestorePart = _decode(c.RestorePart, data)
    return part


@cache
def _hints(kind: type[Any]) -> dict[str, tuple[Any, Any]]:
    """Field name -> (type, default) of a dataclass."""
    hints = get_type_hints(kind)
    found = {}
    for field in fields(kind):
        default = field.default
        if default is MISSING and field.default_factory is not MISSING:
            default = field.default_factory()
        found[field.name] = (hints[field.name], default)
    return found


def _encode(value: Any) -> Any:
    if isinstance(value, Code):
        return value.name
    if isinstance(value, Memory):
        return [_encode(outcome) for outcome in value]
    if is_dataclass(value):
        written = {}
        for name, (_, default) in _hints(type(value)).items():  # type: ignore[arg-type]
            part = getattr(value, name)
            if default is MISSING or part != default:
                written[name] = _encode(part)
        return written
    if isinstance(value, Mapping):
        return {name: _encode(value[name]) for name in sorted(value)}
    if isinstance(value, tuple | list):
        return [_encode(part) for part in value]
    return value


def _decode(kind: Any, value: Any) -> Any:
    if kind is Any or value is None:
        return _freeze(value)
    if kind is Code:
        return Code[value]
    if kind is Memory:
        memory = Memory()
        for part in value:
            memory = memory.remember(_decode(Outcome, part))
        return memory
    if is_dataclass(kind):
        hints = _hints(kind)  # type: ignore[arg-type]
        return kind(**{  # type: ignore[operator]
            name: _decode(hints[name][0], part)
            for name, part in value.items() if name in hints
        })
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _decode(next(arg for arg in args if arg is not type(None)), value)
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_decode(args[0], part) for part in value)
        return tuple(_decode(arg, part) for arg, part in zip(args, value, strict=True))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return Map({name: _decode(args[1], part) for name, part in value.items()})
    return value


def _freeze(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_freeze(part) for part in value)
    return value


