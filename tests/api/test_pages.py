"""What the pages show without running it: specs, answers, requests and settings."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest

from orchestry.manifest import load_documents
from orchestry.spec.parse import parse_app
from tests.api.support import make
from tests.architecture.files import ROOT
from tests.page_table import Entry, entries
from tests.unit.test_spec import minimal

REQUEST = re.compile(r"(GET|PUT|POST|DELETE) +(/\S*?)(?:\?(\S+))?(?: +(\{.*))?(?: .*)?")
SETTING = re.compile(r"([A-Z_]+)=\S+")


def said(entry: Entry) -> str:
    """A name for it in the report."""
    return f"{entry.page}: {entry.begins}"


@pytest.fixture(scope="module")
def document() -> Any:
    """The document of the API."""
    return make()[2].get("/openapi.json").get_json()


def test_there_is_something_of_each_kind() -> None:
    """Else a test below would pass without a case."""
    assert all(len(entries(by)) > 1 for by in ("spec", "answer", "routes", "settings", "run"))


@pytest.mark.parametrize("entry", entries("spec"), ids=said)
def test_specs_are_valid(entry: Entry) -> None:
    """A whole document as it stands, a part within the smallest app."""
    (shown,) = load_documents(entry.code)
    assert isinstance(shown, dict)
    if "kind" not in shown:
        base = minimal()
        shown = {**base, **shown, "spec": {**base["spec"], **shown.get("spec", {})}}
    assert parse_app(shown).image


def closed(schema: Any) -> Any:
    """The schema for a part of an answer: nothing is required, and there are no other keys."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items() if key != "required"}
    if "properties" in found:
        found.setdefault("additionalProperties", False)
    return found


@pytest.mark.parametrize("entry", entries("answer"), ids=said)
def test_answers_are_what_the_api_says(document: Any, entry: Entry) -> None:
    """The keys that are shown exist, with values of their kind."""
    shown = json.loads(entry.code if entry.code.startswith("{") else f"{{{entry.code}}}")
    schema = {"$ref": f"#/components/schemas/{entry.of}"}
    assert entry.of in document["components"]["schemas"]
    judge = jsonschema_rs.validator_for(
        closed({**schema, "components": document["components"]}))
    assert [error.message for error in judge.iter_errors(shown)] == []
    assert list(judge.iter_errors({**shown, "no such key": 1}))


@pytest.mark.parametrize("entry", entries("routes"), ids=said)
def test_requests_are_what_the_api_takes(document: Any, entry: Entry) -> None:
    """Method, path, names of the query, and the body where one is shown."""
    lines = [line for line in entry.code.splitlines() if not line.startswith(" ")]
    assert lines
    for line in lines:
        matched = REQUEST.fullmatch(line)
        assert matched, line
        method, path, query, rest = matched.groups()
        (operation,) = (
            item[method.lower()] for template, item in document["paths"].items()
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path)
            and method.lower() in item)
        known = {one["name"] for one in operation.get("parameters", ()) if one.get("in") == "query"}
        assert {part.partition("=")[0] for part in (query or "").split("&") if part} <= known, line
        if rest:
            body = json.JSONDecoder().raw_decode(rest)[0]
            content = operation["requestBody"]["content"]["application/json"]["schema"]
            judge = jsonschema_rs.validator_for(
                {**content, "components": document["components"]})
            assert [error.message for error in judge.iter_errors(body)] == [], line


@pytest.mark.parametrize("entry", entries("settings"), ids=said)
def test_settings_are_settings(entry: Entry) -> None:
    """They are in the list that is written from the code."""
    known = set(re.findall(r"^\| `([A-Z_]+)`", (ROOT / "docs/configuration.md").read_text(), re.M))
    for line in entry.code.splitlines():
        matched = SETTING.fullmatch(line)
        assert matched, line
        assert matched.group(1) in known, line
