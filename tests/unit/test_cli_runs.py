"""`orchestry run`: what it prints, and the code that it ends with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from orchestry.cli import main
from tests.unit.stub_cluster import Says, Seen, nodes

Captured = pytest.CaptureFixture[str]
RUN: dict[str, Any] = {
    "id": 7, "app_name": "web", "kind": "run", "status": "succeeded", "stopping": False,
    "command": ["ls", "/"], "timeout_s": 60, "revision": 3, "container": "web-run-7",
    "requested_at": "2026-01-01T00:00:00.000Z", "started_at": "2026-01-01T00:00:01.000Z",
    "ended_at": "2026-01-01T00:00:02.000Z", "exit_code": 0, "reason": None,
    "last_lines": ["last"],
}


def line(second: int, text: str, stream: str = "stdout") -> dict[str, Any]:
    """One line of its log."""
    return {"timestamp": f"2026-01-01T00:00:0{second}.000000000Z", "container": "web-run-7",
            "level": "INFO", "message": text, "stream": stream, "truncated": False}


def call(
    monkeypatch: pytest.MonkeyPatch, states: list[dict[str, Any]], logs: list[list[Any]],
    *arguments: str,
) -> tuple[int, list[Seen]]:
    """The exit code against a controller that tells these states and logs, the last one again."""
    seen: list[Seen] = []

    def says(one: Seen) -> Says:
        seen.append(one)
        if one.path.endswith("/run"):
            return Says(202, {"message": "m", "app_name": "web", "run": 7})
        if one.path.endswith("/cancel"):
            return Says(200, {"message": "m", "app_name": "web", "run": 7})
        if one.path.endswith("/runs"):
            return Says(200, {"app_name": "web", "runs": [RUN], "total": 1})
        if "/logs" in one.path:
            found = logs.pop(0) if len(logs) > 1 else logs[0]
            return Says(200, {"app_name": "web", "logs": found, "unavailable": []})
        return Says(200, {**RUN, **(states.pop(0) if len(states) > 1 else states[0])})

    with nodes(says) as (node,):
        monkeypatch.setenv("ORCHESTRY_URL", node.url)
        return main(list(arguments)), seen


def test_each_line_is_printed_once_and_the_code_is_that_of_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Also where two lines have one time, and on the stream that they came from."""
    states: list[dict[str, Any]] = [
              {"status": "waiting", "started_at": None}, {"status": "running"},
              {"status": "failed", "exit_code": 3, "reason": "exited with code 3"}]
    logs = [[line(1, "a"), line(1, "a")], [line(1, "a"), line(1, "a"), line(1, "b"),
                                           line(2, "\x1b[2Jc", "stderr")]]
    code, seen = call(monkeypatch, states, logs, "run", "web", "--timeout", "60", "--", "ls", "-l")
    assert code == 3
    printed = capsys.readouterr()
    assert printed.out == "a\na\nb\n"
    assert printed.err == "\\x1b[2Jc\n"
    assert json.loads(seen[0].body) == {"command": ["ls", "-l"], "timeout_s": 60}
    assert "since=2026-01-01T00%3A00%3A01" in seen[-1].path


@pytest.mark.parametrize(("state", "code", "said"), [
    ({"status": "timed_out", "exit_code": None, "reason": "it took longer than 60 s"}, 1,
     "Run 7 of web timed out: it took longer than 60 s"),
    ({"status": "lost", "exit_code": None, "reason": "its container is gone"}, 1, "lost"),
    ({"status": "failed", "exit_code": None, "reason": "no such image"}, 1, "no such image"),
    ({"status": "cancelled", "exit_code": 137, "reason": "by request"}, 137, "cancelled"),
])
def test_what_has_no_code_of_its_own_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, state: dict[str, Any], code: int, said: str
) -> None:
    """And of a container that is gone, the lines that were kept."""
    assert call(monkeypatch, [state], [[]], "run", "web", "--", "ls")[0] == code
    printed = capsys.readouterr()
    assert printed.out == "last\n"
    assert said in printed.err
    assert "orchestry run web --list" in printed.err


def test_json_detach_list_and_cancel(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """One document each; the code of the run holds for JSON, too."""
    failed = {"status": "failed", "exit_code": 4, "reason": "exited with code 4"}
    assert call(monkeypatch, [failed], [[]], "run", "web", "--json", "--", "ls")[0] == 4
    assert json.loads(capsys.readouterr().out)["exit_code"] == 4
    assert call(monkeypatch, [{}], [[]], "run", "web", "-d", "--", "ls")[0] == 0
    assert capsys.readouterr().out == "web: run 7\n"
    assert call(monkeypatch, [{}], [[]], "run", "web", "--cancel", "7")[0] == 0
    assert capsys.readouterr().out == "web: run 7 is being stopped\n"
    assert call(monkeypatch, [{}], [[]], "run", "web", "--list")[0] == 0
    assert "succeeded" in capsys.readouterr().out
    assert call(monkeypatch, [{}], [[]], "run", "web")[0] == 2
    assert call(monkeypatch, [{}], [[]], "run", "web", "--list", "--", "ls")[0] == 2


def test_jobs(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    """Listed, run, held: each in a line, or as one document."""
    job = {"name": "nightly", "schedule": None, "timezone": "UTC", "suspended": True, "active": 0,
           "last_status": None, "last_due_at": None}

    def says(one: Seen) -> Says:
        if one.path == "/api/v1/jobs":
            return Says(200, {"jobs": [job], "total": 1})
        if one.path.endswith("/trigger"):
            return Says(202, {"message": "m", "app_name": "nightly", "run": 7})
        if one.path.endswith("/runs"):
            return Says(200, {"app_name": "nightly", "runs": [RUN], "total": 1})
        if "/logs" in one.path:
            return Says(200, {"app_name": "nightly", "logs": [line(1, "a")], "unavailable": []})
        if one.path.endswith("/runs/7"):
            return Says(200, {**RUN, "status": "failed", "exit_code": 5})
        return Says(200, {"message": "m", "app_name": "nightly", "suspended": True})

    with nodes(says) as (node,):
        monkeypatch.setenv("ORCHESTRY_URL", node.url)
        for words, code, said in (
            (["list"], 0, "nightly"), (["history", "nightly"], 0, "succeeded"),
            (["trigger", "nightly"], 5, "a\n"), (["trigger", "nightly", "-d"], 0, "run 7"),
            (["suspend", "nightly"], 0, "suspended"), (["resume", "nightly"], 0, "resumed"),
        ):
            assert main(["jobs", *words]) == code
            assert said in capsys.readouterr().out
            main(["jobs", *words, "--json"])
            assert isinstance(json.loads(capsys.readouterr().out), dict)
