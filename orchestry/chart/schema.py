"""The part of JSON Schema that values need; pure.

A keyword that is not known here is a fault of the schema: a check that is silently not made
would be worse than none.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Final

from orchestry.chart.values import Problems

DEPTH_MAX: Final = 32
STEPS_MAX: Final = 100_000
PLACE: Final = "values.schema.json"

_NOTES = frozenset({"$schema", "$id", "$defs", "title", "description", "default", "examples",
                    "$comment"})
_TYPES: Mapping[str, Callable[[object], bool]] = {
    "object": lambda v: isinstance(v, dict),
    "array": lambda v: isinstance(v, list),
    "string": lambda v: isinstance(v, str),
    "boolean": lambda v: isinstance(v, bool),
    "null": lambda v: v is None,
    "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "integer": lambda v: not isinstance(v, bool) and (
        isinstance(v, int) or (isinstance(v, float) and v.is_integer())),
}
# keyword: type it applies to, what is compared, whether it is well, what to say
_BOUNDS: Mapping[str, tuple[str, Callable[[Any], Any], Callable[[Any, Any], bool], str]] = {
    "minimum": ("number", lambda v: v, lambda v, b: v >= b, "must be at least {}"),
    "maximum": ("number", lambda v: v, lambda v, b: v <= b, "must be at most {}"),
    "minLength": ("string", len, lambda v, b: v >= b, "must have at least {} characters"),
    "maxLength": ("string", len, lambda v, b: v <= b, "must have at most {} characters"),
    "minItems": ("array", len, lambda v, b: v >= b, "must have at least {} items"),
    "maxItems": ("array", len, lambda v, b: v <= b, "must have at most {} items"),
}
_OTHERS = frozenset({"type", "enum", "const", "pattern", "properties", "required", "items",
                     "additionalProperties", "uniqueItems", "$ref"})


class _BadSchemaError(Exception):
    """The schema itself is faulty."""


def faults(schema: Mapping[str, Any], values: object) -> Problems:
    """Every fault of the values, or the one of the schema."""
    check = _Check(schema)
    try:
        check.value(schema, values, "", 0)
    except _BadSchemaError as error:
        return [(PLACE, str(error))]
    return check.problems


class _Check:
    """One pass over the values."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.problems: Problems = []
        self._root = root
        self._steps = 0

    def value(self, schema: object, value: object, path: str, depth: int) -> None:
        """Note what is wrong with a value."""
        self._steps += 1
        if depth > DEPTH_MAX or self._steps > STEPS_MAX:
            raise _BadSchemaError(f"must be nested at most {DEPTH_MAX} levels deep, with "
                                  f"{STEPS_MAX} checks of values at most")
        schema = self._resolved(schema)
        if schema is True:
            return
        if not isinstance(schema, Mapping):
            raise _BadSchemaError(f"must describe {path or 'the values'} with an object")
        unknown = set(schema) - _NOTES - _OTHERS - set(_BOUNDS)
        if unknown:
            raise _BadSchemaError(f"has the keyword {min(unknown)[:64]!r}, which is not known")
        if self._plain(schema, value, path):
            if isinstance(value, dict):
                self._object(schema, value, path, depth)
            elif isinstance(value, list):
                self._list(schema, value, path, depth)

    def _resolved(self, schema: object) -> object:
        if not isinstance(schema, Mapping) or "$ref" not in schema:
            return schema
        prefix, _, name = str(schema["$ref"]).rpartition("/")
        definitions = self._root.get("$defs", {})
        if prefix != "#/$defs" or not isinstance(definitions, Mapping) or name not in definitions:
            raise _BadSchemaError(f"$ref {str(schema['$ref'])[:64]!r} must be #/$defs/NAME of it")
        found: object = definitions[name]
        if isinstance(found, Mapping) and "$ref" in found:
            raise _BadSchemaError(f"#/$defs/{name[:64]} must not be a $ref again")
        return found

    def _plain(self, schema: Mapping[str, Any], value: Any, path: str) -> bool:
        """The checks that need nothing but the value; False when its type is wrong."""
        types = schema.get("type", [])
        types = [types] if isinstance(types, str) else types
        if not isinstance(types, list) or not all(
                isinstance(t, str) and t in _TYPES for t in types):
            raise _BadSchemaError(f"type of {path or 'the values'} must be of {sorted(_TYPES)}")
        if types and not any(_TYPES[name](value) for name in types):
            self._note(path, f"must be {' or '.join(types)}")
            return False
        allowed = schema.get("enum")
        if allowed is not None:
            if not isinstance(allowed, list):
                raise _BadSchemaError(f"enum of {path or 'the values'} must be a list")
            if not any(_same(value, one) for one in allowed):
                self._note(path, f"must be one of {', '.join(map(str, allowed))}")
        if "const" in schema and not _same(value, schema["const"]):
            self._note(path, f"must be {schema['const']}")
        for keyword, (kind, measure, well, text) in _BOUNDS.items():
            if keyword in schema and _TYPES[kind](value):
                if not _TYPES["number"](schema[keyword]):
                    raise _BadSchemaError(f"{keyword} of {path} must be a number")
                if not well(measure(value), schema[keyword]):
                    self._note(path, text.format(schema[keyword]))
        if "pattern" in schema and isinstance(value, str):
            self._pattern(schema, value, path)
        return True

    def _pattern(self, schema: Mapping[str, Any], value: str, path: str) -> None:
        """A description of the schema says better than its pattern what would be right."""
        # At the end, JSON Schema's `$` lets no final line feed pass, as Python's does.
        text = str(schema["pattern"])
        if text.endswith("$") and not text.endswith("\\$"):
            text = text[:-1] + r"\Z"
        try:
            with warnings.catch_warnings():
                # What may mean something else in a later Python is still a pattern.
                warnings.simplefilter("ignore")
                found = re.search(text, value)
        except (re.error, RecursionError, OverflowError) as error:
            raise _BadSchemaError(f"pattern of {path} must be a regular expression: "
                                  f"{error}") from None
        if not found:
            right = schema.get("description")
            self._note(path, f"must be {right}" if isinstance(right, str) else
                       f"must match {schema['pattern']}")

    def _object(
        self, schema: Mapping[str, Any], value: dict[Any, Any], path: str, depth: int
    ) -> None:
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        required = schema.get("required", [])
        if not isinstance(properties, Mapping) or not isinstance(required, list) or any(
                not isinstance(name, str) for name in required):
            raise _BadSchemaError("properties must be an object, required a list of texts")
        for name in required:
            if name not in value:
                self._note(_join(path, name), "is missing")
        for name, item in value.items():
            place = _join(path, name)
            if name in properties:
                self.value(properties[name], item, place, depth + 1)
            elif others is False:
                self._note(place, f"is unknown; the keys are {', '.join(sorted(properties))}")
            else:
                self.value(others, item, place, depth + 1)

    def _list(
        self, schema: Mapping[str, Any], value: list[Any], path: str, depth: int
    ) -> None:
        if schema.get("uniqueItems") is True and any(
                _same(one, other) for n, one in enumerate(value) for other in value[:n]):
            self._note(path, "must hold nothing twice")
        if "items" in schema:
            for number, item in enumerate(value):
                self.value(schema["items"], item, _join(path, str(number)), depth + 1)

    def _note(self, path: str, message: str) -> None:
        self.problems.append((path or "values", message))


def _same(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
