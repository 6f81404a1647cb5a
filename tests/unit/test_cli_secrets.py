"""`orchestry secret`: where values come from, what is printed, and that no value is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import click
import pytest

from orchestry.cli import main
from tests.unit.stub_cluster import Says, Seen, StubNode, error, nodes

Captured = pytest.CaptureFixture[str]
PLAIN = "pa55-never-to-be-seen"
ROW: dict[str, Any] = {
    "name": "shop-db", "version": 2, "fields": ["password", "user"], "key": "1a2b3c4d",
    "used_by": ["shop"], "created_at": "2026-01-01T00:00:00.000Z",
    "updated_at": "2026-01-02T00:00:00.000Z",
}
TABLE = """\
NAME     VERSION  FIELDS          USED BY  UPDATED              KEY
shop-db  2        password, user  shop     2026-01-02T00:00:00  1a2b3c4d
other    1        value           -        2026-01-02T00:00:00  1a2b3c4d
"""


def says(seen: Seen) -> Says:
    """A controller that keeps two secrets."""
    if seen.method == "PUT":
        return Says(200, {
            "message": "Secret set", "name": "shop-db", "version": 3, "apps_restarted": 1})
    if seen.method == "DELETE":
        if seen.path.endswith("force=false"):
            return error(409, "CONFLICT", "Secret 'shop-db' is used by shop")
        return Says(200, {"message": "Secret removed", "name": "shop-db", "used_by": 1})
    if seen.method == "POST":
        return Says(200, {"message": "", "name": seen.path.split("/")[-2], "key": "99999999"})
    if seen.path == "/api/v1/registries":
        return Says(200, {"registries": [], "total": 0})
    other = {**ROW, "name": "other", "version": 1, "fields": ["value"], "used_by": []}
    return Says(200, {"secrets": [ROW, other], "total": 2})


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubNode]:
    """Its controller."""
    with nodes(says) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        yield stub


def piped(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Standard input that is no terminal."""
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


@pytest.mark.parametrize(("fields", "text", "body"), [
    ([], f"{PLAIN}\n", {"value": PLAIN}), ([], "two\nlines\n\n", {"value": "two\nlines\n"}),
    ([], "\n", {"value": ""}), (["tls.key"], f"{PLAIN}\r\n", {"values": {"tls.key": PLAIN}}),
    (["user", "password"], f"me\n{PLAIN}\n", {"values": {"user": "me", "password": PLAIN}}),
])
def test_values_come_from_standard_input(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, capsys: Captured, *, fields: list[str],
    text: str, body: dict[str, Any],
) -> None:
    """The whole of it, or a line for each field; what was set is told without them."""
    piped(monkeypatch, text)
    assert main(["secret", "set", "shop-db", *fields]) == 0
    assert (node.seen[-1].path, node.seen[-1].document) == ("/api/v1/secrets/shop-db", body)
    found = capsys.readouterr()
    assert found.out == "shop-db: version 3 is set; 1 application renewed\n"
    assert PLAIN not in found.out + found.err


def test_values_are_asked_for_at_a_terminal(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Each field, hidden and twice."""
    asked: list[tuple[str, bool, bool]] = []

    def prompt(
        text: str, *, hide_input: bool, confirmation_prompt: bool, err: bool
    ) -> str:
        asked.append((text, hide_input, confirmation_prompt))
        assert err
        return PLAIN

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    monkeypatch.setattr(click, "prompt", prompt)
    assert main(["secret", "set", "shop-db", "user", "password"]) == 0
    assert asked == [("user", True, True), ("password", True, True)]
    assert node.seen[-1].document == {"values": {"user": PLAIN, "password": PLAIN}}
    assert PLAIN not in capsys.readouterr().out


@pytest.mark.parametrize(("arguments", "text"), [
    (["shop-db", "a", "a"], "x\ny\n"), (["shop-db", "a", "b"], "one line\n"), ([], "x")])
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, arguments: list[str], text: str
) -> None:
    """Exit code 2."""
    piped(monkeypatch, text)
    assert main(["secret", "set", *arguments]) == 2
    assert node.seen == []


def test_too_much_or_no_text_is_refused(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """In one sentence."""
    piped(monkeypatch, "x" * (1024**2 + 1))
    assert main(["secret", "set", "shop-db"]) == 1
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe"), "utf-8"))
    assert main(["secret", "set", "shop-db"]) == 1
    assert "UTF-8" in capsys.readouterr().err
    assert node.seen == []


def test_the_list_has_no_values(node: StubNode, capsys: Captured) -> None:
    """A table for people, the answer for programs."""
    assert main(["secret", "list"]) == 0
    assert "\n".join(line.rstrip() for line in capsys.readouterr().out.split("\n")) == TABLE
    assert main(["secret", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["secrets"][0] == ROW


def test_one_that_is_used_is_removed_by_force_only(node: StubNode, capsys: Captured) -> None:
    """The refusal says who uses it."""
    assert main(["secret", "rm", "shop-db"]) == 1
    assert "used by shop" in capsys.readouterr().err
    assert main(["secret", "rm", "shop-db", "--force"]) == 0
    assert capsys.readouterr().out == "shop-db is removed\n"


def test_rotate_seals_each(node: StubNode, capsys: Captured) -> None:
    """One request for each secret, so that it may be interrupted and repeated."""
    assert main(["secret", "rotate"]) == 0
    assert capsys.readouterr().out == "2 secrets are sealed under key 99999999\n"
    assert [seen.path for seen in node.seen if seen.method == "POST"] == [
        "/api/v1/secrets/shop-db/rotate", "/api/v1/secrets/other/rotate"]


@pytest.mark.parametrize("line", [
    "secret set shop-db", "secret rotate", "registry login hub.example --username robot",
    "cluster status",
])
def test_keys_that_a_controller_lacks_are_warned_about(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, line: str
) -> None:
    """On standard error, once each; what was asked for is done."""
    why = "c2 does not have key 1a2b3c4d"

    def lacking(seen: Seen) -> Says:
        if seen.path == "/cluster/status":
            return Says(200, {"leader_id": "c1", "nodes": [
                {"node_id": "c1", "missing_keys": []},
                {"node_id": "c2", "missing_keys": ["1a2b3c4d"]}]})
        found = says(seen)
        if seen.path.startswith("/api/v1/registries/"):
            return Says(200, {"host": "hub.example", "version": 1, "warning": why})
        if seen.method == "GET":
            return found
        return Says(200, {"name": "shop-db", "version": 3, "apps_restarted": 0, "key": "99999999",
                          "warning": why})

    piped(monkeypatch, PLAIN)
    with nodes(lacking) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        assert main(line.split()) == 0
    assert capsys.readouterr().err.count(f"Warning: {why}") == 1
