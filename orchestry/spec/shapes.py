"""Shapes: small readers that a table of keys is made of; each reads, reports and writes back.

A shape never raises: it adds a `Problem` to the faults and returns `BAD`, so that one pass
finds every fault of a document.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from functools import reduce
from types import SimpleNamespace
from typing import Any, Final, Protocol

from orchestry.errors import Code, OrchestryError
from orchestry.spec.grammar import SCHEMAS

PROBLEMS_MAX: Final = 100
SHOWN_CHARACTERS_MAX: Final = 40
BAD: Final[Any] = object()
_ABSENT: Final[Any] = object()

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BIG_BITS = 64


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the path of the field ("" is the whole document), and what would be right."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field or 'document'} {self.message}"


class SpecError(OrchestryError):
    """A document that is no valid app spec; `problems` holds every fault."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(
            Code.INVALID_SPEC, [{"field": p.field, "message": p.message} for p in problems]
        )
        self.problems = problems

    def __str__(self) -> str:
        return "; ".join(str(problem) for problem in self.problems)


@dataclass(slots=True)
class Faults:
    """The problems found so far, at most `PROBLEMS_MAX`."""

    problems: list[Problem] = field(default_factory=list)

    @property
    def full(self) -> bool:
        """Says that looking for more is of no use."""
        return len(self.problems) >= PROBLEMS_MAX

    def add(self, at: str, message: str) -> Any:
        """Note one problem; returns BAD for the caller to hand on."""
        if not self.full:
            self.problems.append(Problem(at, message))
        return BAD


class Shape(Protocol):
    """What a value must look like."""

    def read(self, value: object, at: str, faults: Faults) -> Any:
        """The parsed value, or BAD after adding to `faults`."""

    def write(self, value: Any) -> Any:
        """The JSON value that `read` turns into `value`."""


def join(at: str, key: str) -> str:
    """The path of `key` below `at`."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{at}[{json.dumps(key[:SHOWN_CHARACTERS_MAX])}]"
    return f"{at}.{key}" if at else key


def shown(value: object) -> str:
    """A short, printable form of a wrong plain value."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        text = json.dumps(value[:SHOWN_CHARACTERS_MAX])
        return text if len(value) <= SHOWN_CHARACTERS_MAX else text[:-1] + '…"'
    if isinstance(value, int):
        return str(value) if value.bit_length() <= _BIG_BITS else "so large a number"
    if isinstance(value, float):
        return repr(value)
    return "a list" if isinstance(value, list) else "a mapping"


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value; `check` returns it parsed, or raises ValueError saying what would be right.

    `schema` says in JSON Schema what it can of that. A `secret` value is in no fault.
    """

    check: Callable[[Any], Any]
    write: Callable[[Any], Any] = lambda value: value
    schema: Mapping[str, Any] = field(default_factory=dict)
    secret: bool = False

    def read(self, value: object, at: str, faults: Faults) -> Any:
        """See Shape."""
        try:
            return self.check(value)
        except ValueError as error:
            return faults.add(at, str(error) if self.secret else f"{error}, not {shown(value)}")


def integer(least: int, most: int) -> Scalar:
    """A whole number from `least` to `most`; text, 3.0 and true are none."""

    def check(value: object) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return Scalar(check, schema={"type": "integer", "minimum": least, "maximum": most})


def number(least: float, most: float) -> Scalar:
    """A finite number from `least` to `most`."""

    def check(value: object) -> float:
        if (
            not isinstance(value, int | float) or isinstance(value, bool)
            or not least <= value <= most
        ):
            raise ValueError(f"must be a number from {least} to {most}")
        return value

    return Scalar(check, schema={"type": "number", "minimum": least, "maximum": most})


def boolean() -> Scalar:
    """true or false."""

    def check(value: object) -> bool:
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value

    return Scalar(check, schema={"type": "boolean"})


def choice(*allowed: str) -> Scalar:
    """One of a few words, written exactly so."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            hint = did_you_mean(value, allowed)
            raise ValueError(f"must be {' or '.join(allowed)}{hint}")
        return value

    return Scalar(check, schema={"type": "string", "enum": list(allowed)})


def text(grammar: Callable[[str], str], *, secret: bool = False) -> Scalar:
    """Text that `grammar` accepts; it raises ValueError otherwise."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be text (in quotes)")
        return grammar(value)

    return Scalar(check, schema={"type": "string", **SCHEMAS.get(grammar, {})}, secret=secret)


def did_you_mean(wrong: object, known: tuple[str, ...]) -> str:
    """A hint for a likely typo, or ""."""
    if not isinstance(wrong, str) or len(wrong) > SHOWN_CHARACTERS_MAX:
        return ""
    folded = {word.lower(): word for word in known}
    near = get_close_matches(wrong.lower(), folded, n=1)
    return f" (did you mean {folded[near[0]]}?)" if near else ""


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of `least` to `most` items.

    `unique` maps a key of the item ("" for the item itself) to the value that no two items
    may share; empty values do not count.
    """

    item: Shape
    least: int = 0
    most: int = 100
    unique: Mapping[str, Callable[[Any], object]] = field(default_factory=dict)
    build: Callable[[list[Any]], Any] = tuple

    def read(self, value: object, at: str, faults: Faults) -> Any:
        """See Shape."""
        if not isinstance(value, list):
            return faults.add(at, f"must be a list, not {shown(value)}")
        if not self.least <= len(value) <= self.most:
            return faults.add(
                at, f"must have {self.least} to {self.most} items, not {len(value)}"
            )
        items = [self.item.read(raw, f"{at}[{i}]", faults) for i, raw in enumerate(value)]
        for key, of in self.unique.items():
            self._refuse_repeats(items, at, key, of, faults)
        return BAD if any(item is BAD for item in items) else self.build(items)

    def _refuse_repeats(
        self, items: list[Any], at: str, key: str, of: Callable[[Any], object], faults: Faults
    ) -> None:
        first: dict[object, int] = {}
        for i, item in enumerate(items):
            value = of(item) if item is not BAD else ""
            if value != "" and first.setdefault(value, i) != i:
                where = join(f"{at}[{i}]", key) if key else f"{at}[{i}]"
                faults.add(where, f"must be unique; {shown(value)} is also {at}[{first[value]}]")

    def write(self, value: Any) -> Any:
        """See Shape."""
        items = sorted(value) if isinstance(value, frozenset) else value
        return [self.item.write(item) for item in items]


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping of free keys, kept as (key, value) pairs; at most `most_bytes` in all."""

    key: Callable[[str], str]
    value: Scalar
    most: int
    most_bytes: int

    def read(self, value: object, at: str, faults: Faults) -> Any:
        """See Shape."""
        if not isinstance(value, dict):
            return faults.add(at, f"must be a mapping, not {shown(value)}")
        if len(value) > self.most:
            return faults.add(at, f"must have at most {self.most} keys, not {len(value)}")
        pairs, name_shape = [], text(self.key)
        for raw_name, raw in value.items():
            where = join(at, raw_name)
            name = name_shape.read(raw_name, where, faults)
            pairs.append((name, self.value.read(raw, where, faults)))
        if any(BAD in pair for pair in pairs):
            return BAD
        size_bytes = sum(len(part.encode()) for pair in pairs for part in pair)
        if size_bytes > self.most_bytes:
            return faults.add(
                at, f"must be at most {self.most_bytes} bytes in all, not {size_bytes}"
            )
        return tuple(pairs)

    def write(self, value: Any) -> Any:
        """See Shape."""
        return {name: self.value.write(part) for name, part in value}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a section.

    `attribute` is where the value goes. `only` names (attribute, value) of the one case in
    which the key has a meaning. `omit_empty`: an empty value is written by leaving it out.
    """

    name: str
    attribute: str
    shape: Shape
    required: bool = False
    aliases: tuple[str, ...] = ()
    only: tuple[str, object] | None = None
    omit_empty: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule over several attributes; `broken` returns what would be right, or "".

    It is asked only when every attribute in `needs` was read well.
    """

    at: str
    needs: tuple[str, ...]
    broken: Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping with known keys, read into `build(**attributes)`.

    `elsewhere` names the right place of keys that are often put here by mistake.
    """

    build: Callable[..., Any]
    keys: tuple[Key, ...]
    rules: tuple[Rule, ...] = ()
    elsewhere: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: object, at: str, faults: Faults) -> Any:
        """See Shape."""
        if not isinstance(value, dict):
            return faults.add(at, f"must be a mapping, not {shown(value)}")
        self._refuse_unknown(value, at, faults)
        found: dict[str, Any] = {}
        bad: set[str] = set()
        for key in self.keys:
            part = self._read_key(key, value, at, faults)
            if part is BAD:
                bad.add(key.attribute)
            elif part is not _ABSENT:
                found[key.attribute] = part
        seen = SimpleNamespace(**(self._defaults() | found))
        for key in self.keys:
            if key.only and key.attribute in found and key.only[0] not in bad:
                attribute, wanted = key.only
                if getattr(seen, attribute) != wanted:
                    faults.add(join(at, key.name), f"has a meaning only with {wanted}")
        for rule in self.rules:
            message = "" if bad.intersection(rule.needs) else rule.broken(seen)
            if message:
                faults.add(reduce(join, rule.at.split("."), at), message)
        return BAD if bad else self.build(**found)

    def _read_key(self, key: Key, value: dict[str, Any], at: str, faults: Faults) -> Any:
        names = [name for name in (key.name, *key.aliases) if name in value]
        if len(names) > 1:
            faults.add(join(at, names[1]), f"must not be given beside {names[0]}")
        if names:
            return key.shape.read(value[names[0]], join(at, names[0]), faults)
        if key.required:
            return faults.add(join(at, key.name), "is required")
        return _ABSENT

    def _refuse_unknown(self, value: dict[str, Any], at: str, faults: Faults) -> None:
        known = tuple(name for key in self.keys for name in (key.name, *key.aliases))
        for name in value:
            if name in known or faults.full:
                continue
            if name in self.elsewhere:
                hint = f" here: it belongs at {self.elsewhere[name]}"
            else:
                hint = did_you_mean(name, known) or f"; known here: {', '.join(known)}"
            faults.add(join(at, name), f"is not a known key{hint}")

    def _defaults(self) -> dict[str, Any]:
        if not isinstance(self.build, type) or self.build is dict:
            return {}
        return {
            part.name: part.default for part in fields(self.build)
            if part.default is not MISSING
        }

    def write(self, value: Any) -> Any:
        """See Shape."""
        written = {}
        for key in self.keys:
            part = getattr(value, key.attribute)
            unmeant = key.only is not None and getattr(value, key.only[0]) != key.only[1]
            if not unmeant and part is not None and not (key.omit_empty and not part):
                written[key.name] = key.shape.write(part)
        return written
