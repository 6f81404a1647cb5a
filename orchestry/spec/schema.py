"""JSON Schema of an app spec and of a scaling policy, from the tables that they are read by.

What a schema cannot say stays with the reader: rules between keys, sizes in bytes, quantities
between bounds. Whatever breaks the schema breaks a rule; not the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestry.spec import tables
from orchestry.spec.shapes import ListOf, MapOf, Scalar, Section, Shape, text

_EXAMPLE = {
    "apiVersion": "v1", "kind": "App",
    "metadata": {"name": "my-app", "labels": {"app": "my-app", "version": "v1"}},
    "spec": {
        "type": "http", "image": "nginx:alpine",
        "ports": [{"containerPort": 80, "protocol": "HTTP"}],
    },
    "scaling": {"mode": "auto", "minReplicas": 1, "maxReplicas": 5},
}


def app_spec() -> dict[str, Any]:
    """The schema of a whole document."""
    return {
        "title": "AppSpec", "description": "An application as its owner wants it.",
        **_schema(tables.document(tables.MEMORY_FLOOR_BYTES), str), "examples": [_EXAMPLE],
    }


def of(shape: Shape) -> dict[str, Any]:
    """The schema of any shape, with the keys of a spec."""
    return _schema(shape, str)


def scaling(name_of: Callable[[str], str]) -> dict[str, Any]:
    """The schema of changes to a policy, each key under `name_of` its name in a spec."""
    return _schema(tables.SCALING, name_of)


def _schema(shape: Shape, name_of: Callable[[str], str]) -> dict[str, Any]:
    if isinstance(shape, Scalar):
        return dict(shape.schema)
    if isinstance(shape, ListOf):
        found: dict[str, Any] = {
            "type": "array", "items": _schema(shape.item, name_of),
            "minItems": shape.least, "maxItems": shape.most,
        }
        return {**found, "uniqueItems": True} if shape.unique else found
    if isinstance(shape, MapOf):
        return {
            "type": "object", "maxProperties": shape.most,
            "propertyNames": _schema(text(shape.key), name_of),
            "additionalProperties": _schema(shape.value, name_of),
        }
    assert isinstance(shape, Section)
    return _section(shape, name_of)


def _section(section: Section, name_of: Callable[[str], str]) -> dict[str, Any]:
    properties: dict[str, Mapping[str, Any]] = {}
    for key in section.keys:
        for name in (key.name, *key.aliases):
            properties[name_of(name)] = _schema(key.shape, name_of)
    return {
        "type": "object", "properties": properties, "additionalProperties": False,
        "required": [name_of(key.name) for key in section.keys if key.required],
    }
