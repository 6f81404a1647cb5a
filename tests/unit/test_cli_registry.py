"""`orchestry registry`: where a password comes from, what is printed, and that it never is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest

from orchestry.cli import main
from tests.unit.stub_cluster import Says, Seen, StubNode, nodes

Captured = pytest.CaptureFixture[str]
PLAIN = "pa55-never-to-be-seen"
ROW = {"host": "registry.example:5000", "username": "robot", "version": 2, "key": "1a2b3c4d",
       "updated_at": "2026-01-02T00:00:00.000Z"}
TABLE = """\
HOST                   USERNAME  UPDATED              KEY
registry.example:5000  robot     2026-01-02T00:00:00  1a2b3c4d
"""


def says(seen: Seen) -> Says:
    """A controller that keeps one login."""
    if seen.method == "GET" and seen.path == "/api/v1/registries":
        return Says(200, {"registries": [ROW], "total": 1})
    if seen.method == "GET":
        return Says(200, {"secrets": [], "total": 0})
    return Says(200, {"message": "m", "host": ROW["host"], "version": 3})


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubNode]:
    """Its controller."""
    with nodes(says) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        yield stub


def test_the_password_is_standard_input(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The whole of it, without its line end."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PLAIN}\n"))
    assert main(["registry", "login", "registry.example:5000", "--username", "robot"]) == 0
    assert (node.seen[-1].path, node.seen[-1].document) == (
        "/api/v1/registries/registry.example%3A5000", {"username": "robot", "password": PLAIN})
    printed = capsys.readouterr()
    assert printed.out == "registry.example:5000: login 3 is kept\n"
    assert PLAIN not in printed.out + printed.err


def test_a_password_is_no_argument(node: StubNode, capsys: Captured) -> None:
    """Others on the machine could read it."""
    assert main(["registry", "login", "registry.example", "robot", PLAIN]) == 2
    assert main(["registry", "login", "registry.example"]) == 2
    assert node.seen == []
    assert "--username" in capsys.readouterr().err


def test_logins_are_listed_and_removed(node: StubNode, capsys: Captured) -> None:
    """For people and for programs."""
    assert main(["registry", "list"]) == 0
    assert "\n".join(line.rstrip() for line in capsys.readouterr().out.split("\n")) == TABLE
    assert main(["registry", "logout", "registry.example:5000"]) == 0
    assert capsys.readouterr().out == "registry.example:5000: its login is removed\n"
    assert node.seen[-1].method == "DELETE"
    for words in (["list"], ["logout", "registry.example:5000"]):
        assert main(["--json", "registry", *words]) == 0
        assert isinstance(json.loads(capsys.readouterr().out), dict)


def test_rotation_of_secrets_takes_logins_with_it(node: StubNode, capsys: Captured) -> None:
    """They are sealed under the same keys."""
    assert main(["secret", "rotate"]) == 0
    assert [(one.method, one.path) for one in node.seen if one.method == "POST"] == [
        ("POST", "/api/v1/registries/registry.example%3A5000/rotate")]
    assert "Logins of registries" in capsys.readouterr().err
