"""What every line of a controller's log tells."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from api import logs
from cluster.consensus.local_log import LocalLog
from cluster.history.connect import sqlite_engine
from cluster.history.sql import SqlStore
from tests.api.support import make
from tests.history_files import history_file


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Where lines go; everything is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    monkeypatch.setattr(logs.Context, "raft", None)
    logs.configure("info", "controller-7")
    yield out
    root.handlers[:] = handlers
    root.setLevel(level)


def last(out: io.StringIO) -> dict[str, object]:
    """The last line."""
    found: dict[str, object] = json.loads(out.getvalue().splitlines()[-1])
    return found


def test_a_line_is_json_with_node_term_and_index(lines: io.StringIO) -> None:
    """Lines of several controllers can be put in the order of the log."""
    logging.getLogger("cluster.x").warning("before %s", "all")
    assert last(lines)["node"] == "controller-7"
    assert "term" not in last(lines)
    log = LocalLog("controller-7")
    logs.tell_raft(log)
    logging.getLogger("cluster.x").warning("after")
    found = last(lines)
    assert (found["event"], found["level"], found["logger"]) == ("after", "warning", "cluster.x")
    assert (found["term"], found["index"]) == (log.status().term, log.status().applied_index)
    assert "request_id" not in found


def test_a_line_of_a_request_carries_its_id(lines: io.StringIO) -> None:
    """The id that the client sent, or got in `X-Request-Id`, finds all lines of its request."""
    _, app, client = make()

    @app.get("/broken")
    def broken() -> str:
        raise ValueError("secret detail")

    answer = client.get("/broken", headers={"X-Request-Id": "my-id-1"})
    assert (answer.status_code, answer.get_json()["code"]) == (500, "INTERNAL_ERROR")
    assert "secret detail" not in answer.get_data(as_text=True)
    found = last(lines)
    assert found["request_id"] == answer.headers["X-Request-Id"] == "my-id-1"
    assert "secret detail" in str(found["exception"])


def test_how_the_tables_of_the_history_are_made_is_no_news(lines: io.StringIO) -> None:
    """The library says something at each start; of it only what is wrong is told."""
    SqlStore(sqlite_engine(history_file())).migrate()
    assert lines.getvalue() == ""
    logging.getLogger("alembic.runtime.migration").warning("it is wrong")
    assert last(lines)["event"] == "it is wrong"
