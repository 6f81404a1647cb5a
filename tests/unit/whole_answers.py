"""Answers as the API's models want them: what a stub says may leave nothing out and add nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import jsonschema_rs

from tests.api.support import make
from tests.unit.stub_cluster import Seen

Schema = dict[str, Any]
PLAIN: Mapping[str, Any] = {
    "string": "", "integer": 0, "number": 0.0, "boolean": False, "array": [], "object": {}}


@cache
def document() -> Schema:
    """The OpenAPI document."""
    found: Schema = make()[2].get("/openapi.json").get_json()
    return found


def schema_of(method: str, path: str) -> Schema:
    """What the API answers to that, when all is well."""
    operations = sorted(
        ((template, item[method.lower()]) for template, item in document()["paths"].items()
         if method.lower() in item and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)),
        key=lambda found: str(found[0]).count("{"))
    responses = operations[0][1]["responses"]
    (good,) = (one for status, one in responses.items() if "200" <= status < "300")
    found: Schema = good["content"]["application/json"]["schema"]
    return found


def whole(method: str, path: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """The answer with what is said of it, and all else that it must have as little as may be."""
    found: dict[str, Any] = _filled(schema_of(method, path), part)
    return found


def faults(method: str, path: str, answer: object) -> list[str]:
    """What such an answer may not be like."""
    schema = {**schema_of(method, path), "components": document()["components"]}
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}"
            for error in jsonschema_rs.validator_for(schema).iter_errors(answer)]


def judged(seen: Seen, body: dict[str, Any]) -> dict[str, Any]:
    """The answer to that, whole; raises AssertionError when there is no such answer."""
    path = seen.path.partition("?")[0]
    made = whole(seen.method, path, body)
    assert faults(seen.method, path, made) == []
    return made


def _filled(schema: Schema, value: Any) -> Any:
    schema = _resolved(schema)
    options = [_resolved(one) for one in schema.get("anyOf", [])]
    if options:
        wanted = "object" if isinstance(value, Mapping) else "array"
        schema = next((one for one in options if one.get("type") == wanted), schema)
    if isinstance(value, Mapping) and "properties" in schema:
        kinds = schema["properties"]
        missing = [key for key in schema.get("required", ()) if key not in value]
        return {**{key: _filled(kinds.get(key, {}), one) for key, one in value.items()},
                **{key: _least(kinds[key]) for key in missing}}
    if isinstance(value, list) and "items" in schema:
        return [_filled(schema["items"], one) for one in value]
    return value


def _least(schema: Schema) -> Any:
    """Nothing, or as little as may be."""
    schema = _resolved(schema)
    options = [_resolved(one) for one in schema.get("anyOf", [])]
    if any(one.get("type") == "null" for one in options):
        return None
    schema = options[0] if options else schema
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("format") == "date-time":
        return "2026-01-01T00:00:00Z"
    if "properties" in schema:
        return _filled(schema, {})
    return schema.get("minimum", PLAIN[schema["type"]])


def _resolved(schema: Schema) -> Schema:
    name = schema.get("$ref", "").rpartition("/")[2]
    found: Schema = document()["components"]["schemas"][name] if name else schema
    return found
