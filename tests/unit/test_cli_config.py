"""`orchestry cluster config`: tables, JSON and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestry.cli import main
from tests.unit.stub_cluster import Says, Seen, StubNode, error, nodes

Captured = pytest.CaptureFixture[str]
PATH = "/api/v1/config"
CONFIG: dict[str, Any] = {
    "version": "1.0.0", "node_id": "c1",
    "scaling": {"default_cooldown": 300, "default_check_interval": 2},
    "database": {"host": None, "pool_size": 9}, "limits": {"trusted_proxies": []},
    "sources": {"scaling.default_cooldown": "cluster", "scaling.default_check_interval": "default",
                "database.host": "default", "database.pool_size": "cluster",
                "limits.trusted_proxies": "default"},
    "restart_required": ["database.pool_size"],
}
CHANGED: dict[str, Any] = {
    "message": "Configuration updated successfully",
    "changed": {"scaling": {"default_cooldown": 60}, "limits": {"trusted_proxies": ["a", "b"]}},
    "previous": {"scaling": {"default_cooldown": 300}, "limits": {"trusted_proxies": []}},
    "restart_required": [],
}
TABLE = """\
KEY                             VALUE  SOURCE
scaling.default_cooldown        300    cluster
scaling.default_check_interval  2      default
database.host                   -      default
database.pool_size              9      cluster
limits.trusted_proxies          -      default
Takes effect when a controller starts again: database.pool_size
"""
CHANGE = """\
KEY                       VALUE  BEFORE
scaling.default_cooldown  60     300
limits.trusted_proxies    a, b   -
"""


def _says(seen: Seen) -> Says:
    # Some keys of each kind do for all of them.
    return Says(200, CONFIG if seen.method == "GET" else CHANGED, as_is=True)


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubNode]:
    """A controller that has a configuration."""
    with nodes(_says) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        yield stub


def printed(capsys: Captured) -> str:
    """Standard output without trailing blanks; nothing is on standard error."""
    found = capsys.readouterr()
    assert found.err == ""
    return "\n".join(line.rstrip() for line in found.out.split("\n"))


def test_get_shows_all_or_a_part(node: StubNode, capsys: Captured) -> None:
    """Values with their sources; a group or a key alone; JSON is the API's answer."""
    assert main(["cluster", "config", "get"]) == 0
    assert printed(capsys) == TABLE
    assert main(["cluster", "config", "get", "scaling", "--json"]) == 0
    assert json.loads(printed(capsys)) == {
        "scaling.default_cooldown": 300, "scaling.default_check_interval": 2}
    assert main(["cluster", "config", "get", "--json"]) == 0
    assert json.loads(printed(capsys)) == CONFIG
    assert {seen.path for seen in node.seen} == {PATH}
    assert main(["cluster", "config", "get", "no.such"]) == 2
    assert "no.such is no key" in capsys.readouterr().err


def test_set_sends_json_values_or_text(node: StubNode, capsys: Captured) -> None:
    """One request with all changes; the table has both values."""
    assert main(["cluster", "config", "set", "scaling.default_cooldown=60",
                 'limits.trusted_proxies=["a","b"]', "controller.log_level=debug",
                 "ingress.domain=null"]) == 0
    assert printed(capsys) == CHANGE
    (seen,) = node.seen
    assert (seen.method, seen.path) == ("PUT", PATH)
    assert seen.document == {
        "scaling": {"default_cooldown": 60}, "limits": {"trusted_proxies": ["a", "b"]},
        "controller": {"log_level": "debug"}, "ingress": {"domain": None}}
    assert main(["cluster", "config", "set", "--json", "a.b=1"]) == 0
    assert json.loads(printed(capsys)) == CHANGED


def test_unset_sends_null(node: StubNode, capsys: Captured) -> None:
    """What nobody changed holds again."""
    assert main(["cluster", "config", "unset", "scaling.default_cooldown", "ingress.domain"]) == 0
    assert node.seen[0].document == {
        "scaling": {"default_cooldown": None}, "ingress": {"domain": None}}
    assert printed(capsys) == CHANGE


@pytest.mark.parametrize("arguments", [
    ["set"], ["set", "scaling.default_cooldown"], ["set", "cooldown=1"], ["set", ".x=1"],
    ["set", "a.b=1", "a.b=2"], ["unset"], ["unset", "scaling"], ["nonsense"],
])
def test_wrong_usage_sends_nothing(
    node: StubNode, capsys: Captured, arguments: list[str]
) -> None:
    """Exit code 2 and a word on standard error."""
    assert main(["cluster", "config", *arguments]) == 2
    assert capsys.readouterr().err
    assert node.seen == []


def test_a_refusal_lists_the_faults(capsys: Captured) -> None:
    """Exit code 2, each fault with its field."""
    faults = [{"field": "scaling.cooldown", "message": "is not a known key"},
              {"field": "controller.port", "message": "set ORCHESTRY_PORT"}]
    with nodes(lambda _: error(400, "VALIDATION_ERROR", faults)) as (stub,):
        assert main(["-u", stub.url, "cluster", "config", "set", "scaling.cooldown=1"]) == 2
    text = capsys.readouterr().err
    assert "scaling.cooldown: is not a known key" in text
    assert "controller.port: set ORCHESTRY_PORT" in text
