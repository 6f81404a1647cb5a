"""Values against a schema: every fault with its path, and no check that is silently not made."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestry.chart.schema import faults

HOSTS = {
    "type": "object", "required": ["hosts"], "additionalProperties": False,
    "$defs": {"port": {"type": "integer", "minimum": 1, "maximum": 65535}},
    "properties": {
        "hosts": {"type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": True, "items": {
            "type": "object", "required": ["name"], "additionalProperties": {"type": "string"},
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
                "port": {"$ref": "#/$defs/port"}}}},
        "mode": {"enum": ["a", 1, None]},
        "on": {"const": True},
        "size": {"type": ["string", "null"]},
    },
}


@pytest.mark.parametrize(("values", "expected"), [
    ({"hosts": [{"name": "abc", "port": 1, "x": "y"}], "mode": None, "on": True, "size": None}, []),
    ({}, ["hosts: is missing"]),
    ([], ["values: must be object"]),
    ({"hosts": [], "other": 1, "on": 1, "mode": True, "size": 3}, [
        "hosts: must have at least 1 items", "mode: must be one of a, 1, None",
        "on: must be True", "other: is unknown; the keys are hosts, mode, on, size",
        "size: must be string or null"]),
    ({"hosts": [{"name": "A"}, {"port": 0}, {"name": "abcde", "port": True, "x": 1}]}, [
        "hosts.0.name: must have at least 2 characters", "hosts.0.name: must match ^[a-z]+$",
        "hosts.1.name: is missing", "hosts.1.port: must be at least 1",
        "hosts.2.name: must have at most 4 characters", "hosts.2.port: must be integer",
        "hosts.2.x: must be string", "hosts: must have at most 2 items"]),
    ({"hosts": [{"name": "ab"}, {"name": "ab"}]}, ["hosts: must hold nothing twice"]),
    ({"hosts": [{"name": "ab", "port": 65536}]}, ["hosts.0.port: must be at most 65535"]),
])
def test_every_fault_is_told_with_its_path(values: object, expected: list[str]) -> None:
    """All faults at once, each with the path of the value."""
    found = sorted(f"{path}: {message}" for path, message in faults(HOSTS, values))
    assert found == expected


def test_a_pattern_lets_no_line_feed_pass() -> None:
    """Else a value could begin a line of its own in what is rendered."""
    assert faults({"pattern": "^a$"}, "a") == []
    assert faults({"pattern": "^a$"}, "a\n") == [("values", "must match ^a$")]
    assert faults({"pattern": "^a\\$"}, "a$") == []


def test_a_description_tells_better_than_a_pattern() -> None:
    """Nobody likes to read regular expressions."""
    assert faults({"pattern": "^a$", "description": "an a"}, "b") == [("values", "must be an a")]


@pytest.mark.parametrize("schema", [
    {"type": "text"}, {"type": 3}, {"oneOf": []}, {"minimum": "1"}, {"pattern": "("},
    {"$ref": "#/$defs/none"}, {"$ref": "http://x/y"}, {"enum": 1}, {"properties": []},
    {"required": "a"}, {"properties": {"a": 3}}, {"additionalProperties": 3},
    {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"properties": {"a": {"pattern": "("}}},
])
def test_a_faulty_schema_is_a_fault_of_the_schema(schema: dict[str, Any]) -> None:
    """A keyword that would not be checked is refused, and so is one that makes no sense."""
    value: object = 1 if "minimum" in schema else "x" if "pattern" in schema else {"a": "x"}
    ((place, message),) = faults(schema, value)
    assert place == "values.schema.json"
    assert message


def test_a_schema_that_leads_back_to_itself_ends() -> None:
    """Values are finite, so a recursive schema is well."""
    schema = {"$ref": "#/$defs/t", "$defs": {
        "t": {"type": "object", "additionalProperties": {"$ref": "#/$defs/t"}}}}
    assert faults(schema, {"a": {"b": {}}}) == []
    assert faults(schema, {"a": {"b": 1}}) == [("a.b", "must be object")]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8)
KEYWORDS = st.sampled_from([
    "type", "enum", "const", "pattern", "properties", "required", "items", "uniqueItems",
    "additionalProperties", "minimum", "maximum", "minLength", "maxItems", "$ref", "$defs", "x"])


@settings(max_examples=300)
@given(st.dictionaries(KEYWORDS, JSON, max_size=5), JSON)
def test_no_schema_and_no_value_breaks_the_check(schema: dict[str, Any], value: object) -> None:
    """Whatever comes, the answer is a list of faults."""
    assert all(place and message for place, message in faults(schema, value))
