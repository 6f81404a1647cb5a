"""The command line keeps within limits of requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestry.cli import main
from orchestry.cli.session import Options, Session
from orchestry.cli.waiting import patiently, pause_s
from orchestry.client import RateLimited
from tests.unit.stub_answers import answer
from tests.unit.stub_cluster import Says, Seen, error, nodes

Captured = pytest.CaptureFixture[str]


def test_a_backup_waits_out_a_limit(tmp_path: Path, capsys: Captured) -> None:
    """The download is asked for again after Retry-After; what is then refused is told."""
    limited = error(429, "RATE_LIMIT_EXCEEDED", "too many", **{"Retry-After": "1"})
    turns = [limited, error(403, "FORBIDDEN", "not you")]

    def script(seen: Seen) -> Says:
        if seen.path == "/cluster/backup":
            return turns.pop(0)
        return Says(200, {"node_id": "c1", "nodes": [{"node_id": "c1", "api_url": stub.url}]})

    with nodes(script) as (stub,):
        assert main(["cluster", "backup", str(tmp_path / "file"), "-u", stub.url]) == 6
    assert "not you" in capsys.readouterr().err
    assert not turns


def test_many_calls_wait_out_a_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """However long it takes, but not more than an hour in all, and it is said."""
    slept: list[float] = []
    monkeypatch.setattr("orchestry.cli.waiting.time.sleep", slept.append)
    session = Session(Options())
    turns = [40.0, 3000.0, None]

    def call() -> dict[str, Any]:
        wait_s = turns.pop(0)
        if wait_s is None:
            return {"ok": 1}
        limited = RateLimited("RATE_LIMIT_EXCEEDED", "Rate limit exceeded", status=429)
        limited.retry_after_s = wait_s
        raise limited

    assert patiently(session, call) == {"ok": 1}
    assert slept == [40.0, 3000.0]
    assert capsys.readouterr().err.count("waiting") == 2
    turns[:] = [3000.0, 3000.0]
    with pytest.raises(RateLimited):
        patiently(session, call)


def test_who_watches_for_long_looks_less_often() -> None:
    """A thousand requests last for more than an hour."""
    with nodes(answer) as (stub,):
        session = Session(Options((stub.url,)))
        pauses = [pause_s(session, 1.0, looks) for looks in range(1000)]
        session.close()
    assert pauses[0] == 1.0
    assert sum(pauses) > 3600
