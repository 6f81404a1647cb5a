"""`orchestry token` and `orchestry audit`: tables, JSON and exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from orchestry.audit import digest
from orchestry.cli import main
from tests.unit.stub_cluster import Says, Seen, StubNode, error, nodes

Captured = pytest.CaptureFixture[str]
ROW: dict[str, Any] = {
    "id": "3f9c", "name": "ci", "role": "deployer", "apps": "shop-", "expired": False,
    "created_at": "2026-01-01T00:00:00.000Z", "expires_at": "2026-02-01T00:00:00.000Z",
    "created_by": None,
}
ADMIN = {**ROW, "id": "aa", "name": "me", "role": "admin", "apps": None, "expires_at": None}
OLD = {**ROW, "id": "bb", "expired": True}
TOKENS = """\
ID    NAME  ROLE      APPS    CREATED              EXPIRES
3f9c  ci    deployer  shop-*  2026-01-01T00:00:00  2026-02-01T00:00:00
aa    me    admin     all     2026-01-01T00:00:00  never
bb    ci    deployer  shop-*  2026-01-01T00:00:00  expired
"""
AUDIT = """\
TIME                 WHO      FROM      CALL                       RESULT     TIMES
2026-01-01T00:00:00  ci (t1)  10.0.0.1  POST /api/v1/apps/a1/stop  OK         1
2026-01-01T00:00:00  -        10.0.0.1  POST /api/v1/apps/a2/stop  FORBIDDEN  9
"""


def chain(count: int) -> list[dict[str, Any]]:
    """Entries, newest first."""
    found: list[dict[str, Any]] = []
    before = ""
    for number in range(1, count + 1):
        mine = number % 2
        entry = {
            "id": number, "at_ms": number, "timestamp": "2026-01-01T00:00:00.000Z",
            "token": "t1" if mine else "", "name": "ci" if mine else "", "client": "10.0.0.1",
            "method": "POST", "path": f"/api/v1/apps/a{number}/stop", "app": f"a{number}",
            "code": "OK" if mine else "FORBIDDEN", "index": number, "count": 1 if mine else 9,
            "prev": before,
        }
        before = entry["hash"] = digest(before, entry)
        found.insert(0, entry)
    return found


class Cluster:
    """What the controller knows."""

    def __init__(self) -> None:
        self.token: str | None = "orc_secret"
        self.audit = chain(2)

    def says(self, seen: Seen) -> Says:
        """Its answers."""
        path, _, query = seen.path.partition("?")
        if path == "/api/v1/audit":
            options = dict(part.split("=") for part in query.split("&"))
            before = int(options.get("before", 10**9))
            left = [entry for entry in self.audit if entry["id"] < before]
            page = left[:min(int(options["limit"]), 3)]
            return Says(200, {"entries": page, "has_more": len(left) > len(page),
                              "complete": True, "total": len(self.audit)})
        if seen.method == "GET":
            return Says(200, {"tokens": [ROW, ADMIN, OLD], "total": 3})
        if seen.method == "DELETE":
            if not path.endswith("/3f9c"):
                return error(404, "NOT_FOUND", "There is no such token")
            return Says(200, {"message": "Token revoked", "id": "3f9c", "name": "ci"})
        return Says(201, {**ROW, "token": self.token, "message": "Token created"})


@pytest.fixture
def cluster() -> Cluster:
    """A cluster that may be told what to say."""
    return Cluster()


@pytest.fixture
def node(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[StubNode]:
    """Its controller."""
    with nodes(cluster.says) as (stub,):
        monkeypatch.setenv("ORCHESTRY_URL", stub.url)
        yield stub


def printed(capsys: Captured) -> str:
    """Standard output without trailing blanks."""
    return "\n".join(line.rstrip() for line in capsys.readouterr().out.split("\n"))


def test_create_prints_the_token_alone(node: StubNode, capsys: Captured) -> None:
    """What a script takes is on standard output, the rest is not."""
    assert main(["token", "create", "ci", "--role", "deployer", "--apps", "shop-",
                 "--expires-in", "30d"]) == 0
    found = capsys.readouterr()
    assert found.out == "orc_secret\n"
    assert "only now" in found.err
    assert node.seen[-1].document == {
        "name": "ci", "role": "deployer", "apps": "shop-", "expires_in": "30d"}


def test_create_says_when_the_token_was_lost(
    node: StubNode, cluster: Cluster, capsys: Captured
) -> None:
    """A repeat that the client made by itself gets no token: that is a failure."""
    cluster.token = None
    assert main(["token", "create", "ci", "--role", "viewer"]) == 1
    assert "orchestry token revoke 3f9c" in capsys.readouterr().err


def test_list_and_revoke(node: StubNode, capsys: Captured) -> None:
    """A table, one line, and 4 for what is not there."""
    assert main(["token", "list"]) == 0
    assert printed(capsys) == TOKENS
    assert main(["token", "revoke", "3f9c"]) == 0
    assert printed(capsys) == "3f9c: ci is revoked\n"
    assert main(["token", "revoke", "nope"]) == 4


def test_audit_is_a_table_oldest_first(node: StubNode, capsys: Captured) -> None:
    """Who, from where, what, with which outcome."""
    assert main(["audit", "--since", "1h"]) == 0
    assert printed(capsys) == AUDIT
    assert "since=1h" in node.seen[-1].path


def test_verify_reads_all_pages(node: StubNode, cluster: Cluster, capsys: Captured) -> None:
    """An unbroken chain is 0, a changed entry is 1 and named."""
    cluster.audit = chain(10)
    assert main(["audit", "verify"]) == 0
    assert printed(capsys) == "10 entries since 2026-01-01T00:00:00: an unbroken chain\n"
    cluster.audit[4] = {**cluster.audit[4], "path": "/api/v1/apps/other/stop"}
    assert main(["audit", "verify"]) == 1
    assert "Entry 6 was changed" in printed(capsys)
    del cluster.audit[4]
    assert main(["audit", "verify", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [fault["id"] for fault in document["faults"]] == [7]
    assert document["entries"] == 9
