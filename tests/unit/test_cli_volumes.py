"""`orchestry volumes`: what is shown, what is asked, and what is removed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
import pytest

from orchestry.cli import main
from tests.unit.stub_cluster import Says, Seen, StubNode, error, nodes

Captured = pytest.CaptureFixture[str]
ROW: dict[str, Any] = {
    "name": "orchestry-shop-data", "app": "shop", "in_use": True, "used_by": ["shop.1.r2.c1a2"],
    "orphaned": False, "goes_with_app": True, "removing": False,
    "created_at": "2026-01-01T00:00:00.000Z",
    "size_bytes": 3 * 1024**2,
}
LEFT = {**ROW, "name": "orchestry-gone-data", "app": "gone", "in_use": False, "used_by": [],
        "orphaned": True, "goes_with_app": False, "size_bytes": None}
TABLE = """\
NAME                 APP   STATUS    USED BY         SIZE     CREATED
orchestry-gone-data  gone  orphaned  -               -        2026-01-01T00:00:00
orchestry-shop-data  shop  in use    shop.1.r2.c1a2  3.0 MiB  2026-01-01T00:00:00
"""


def says(seen: Seen) -> Says:
    """A controller that knows two volumes."""
    if seen.path.startswith("/api/v1/apps/lost/"):
        return error(500, "DOCKER_ERROR", "no engine")
    if seen.path.startswith("/api/v1/apps/many/"):
        return Says(200, {"volumes": [{**ROW, "name": f"v{n}"} for n in range(10)], "total": 10})
    if seen.path.startswith("/api/v1/apps/none/"):
        return Says(200, {"volumes": [], "total": 0})
    if seen.method == "DELETE":
        if seen.path.endswith("shop-data"):
            return error(409, "CONFLICT", "Volume 'orchestry-shop-data' belongs to shop")
        return Says(200, {"message": "", "name": "orchestry-gone-data", "app": "gone"})
    return Says(200, {"volumes": [LEFT, ROW], "total": 2})


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubNode]:
    """Its controller."""
    with nodes(says) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        yield stub


def test_list(node: StubNode, capsys: Captured) -> None:
    """A line for each, of all apps or of one."""
    assert main(["volumes", "list"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in shown] == TABLE.splitlines()
    assert main(["volumes", "list", "--app", "shop", "--sizes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["total"] == 2
    assert [seen.path for seen in node.seen] == [
        "/api/v1/volumes", "/api/v1/apps/shop/volumes?sizes=true"]


def test_rm_asks_first(node: StubNode, capsys: Captured) -> None:
    """Without a terminal it has to be told that nobody can be asked."""
    assert main(["volumes", "rm", "orchestry-gone-data"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert not node.seen
    assert main(["volumes", "rm", "orchestry-gone-data", "--yes"]) == 0
    assert capsys.readouterr().out == "orchestry-gone-data is removed\n"
    assert main(["volumes", "rm", "orchestry-shop-data", "--yes"]) == 1
    assert "belongs to shop" in capsys.readouterr().err
    assert [seen.method for seen in node.seen] == ["DELETE", "DELETE"]


@pytest.mark.parametrize(("app", "arguments", "asks"), [
    ("shop", [],
     "its containers and its volumes orchestry-shop-data (1 of an earlier app of this name stay)"),
    ("many", [], "its containers and its volumes v0, v1, v2, v3, v4, v5, v6, v7 and 2 more"),
    ("none", [], "its containers and no volume"), ("lost", [], "its containers and its volumes"),
    ("shop", ["--keep-data"], "its containers"),
])
def test_a_deletion_says_first_which_volumes_go(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, app: str, arguments: list[str], asks: str
) -> None:
    """As far as the cluster can tell, and nothing is deleted without a yes."""
    asked: list[str] = []

    def no(text: str, *, err: bool) -> bool:
        asked.append(text)
        return not err

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(click, "confirm", no)
    assert main(["delete", app, *arguments]) == 1
    assert asked == [f"Delete {app}, {asks}?"]
    assert all(seen.method == "GET" for seen in node.seen)
