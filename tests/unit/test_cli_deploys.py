"""`apply` and waiting for deployments, against a stub controller."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestry.cli import main
from orchestry.cli.commands.deploys import describe
from tests.unit.stub_answers import ANSWERS, DEPLOYMENT, SPEC, answer
from tests.unit.stub_cluster import Says, Seen, error, nodes

Captured = pytest.CaptureFixture[str]
PLAN = """\
web: to be updated
  spec.image: "nginx:1" -> "nginx:2"
  start web-1
  stop web-1
  keep web-2
"""
DEPLOYS = """\
ID  KIND    PHASE    READY  AGE  REQUESTS  FAILED  RETRIED  P95 MS
9   update  running  1/3    0s   450       1       2        12.5/14/-
2026-01-01T00:00:01Z  web-1 starts
"""
COMMANDS: list[tuple[list[str], str]] = [
    (["deploys", "web"], DEPLOYS),
    (["rollback", "web"], "web: rolled back, revision 9\n"),
    (["restart", "web"], "web: restarts, revision 9\n"),
    (["pause", "web"], "web: deployment 9 is paused\n"),
    (["resume", "web"], "web: deployment 9 is running\n"),
    (["promote", "web"], "web: deployment 9 is running\n"),
]


@pytest.mark.parametrize(("arguments", "expected"), COMMANDS)
def test_commands_print_their_result(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, arguments: list[str], expected: str
) -> None:
    """Results go to standard output, plain in a pipe, and nothing to standard error."""
    assert run(monkeypatch, DEPLOYMENT, *arguments) == 0
    printed = capsys.readouterr()
    assert "\n".join(line.rstrip() for line in printed.out.split("\n")) == expected
    assert printed.err == ""


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A spec in a file."""
    path = tmp_path / "web.json"
    path.write_text(json.dumps(SPEC))
    return str(path)


def run(monkeypatch: pytest.MonkeyPatch, deployment: dict[str, Any], *arguments: str) -> int:
    """A command against a cluster whose deployment stands so."""
    def script(seen: Seen) -> Says:
        if seen.path.startswith("/api/v1/apps/web/deployments/"):
            return Says(200, deployment)
        return answer(seen)

    with nodes(script) as (node,):
        monkeypatch.setenv("ORCHESTRY_URL", node.url)
        return main(list(arguments))


def test_apply_shows_the_plan_and_does_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, file: str
) -> None:
    """The plan is progress, what was done the result."""
    assert run(monkeypatch, DEPLOYMENT, "apply", file, "--wait") == 0
    printed = capsys.readouterr()
    assert printed.out == (
        "web: updated, revision 9\n"
        "web: 450 requests meanwhile, 1 failed, 2 retried; p95 14 ms, before 12.5 ms\n")
    assert printed.err == PLAN + "web: 1/3 new replicas, done (web-1 starts)\n"


def test_a_dry_run_is_the_plan_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, file: str
) -> None:
    """Nothing else is asked for."""
    assert run(monkeypatch, DEPLOYMENT, "apply", file, "--dry-run") == 0
    assert capsys.readouterr().out == PLAN


def test_json_has_the_outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, file: str
) -> None:
    """One document of all files."""
    assert run(monkeypatch, DEPLOYMENT, "apply", file, "--wait", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["status"], found["outcome"]) == ("updated", "done")


@pytest.mark.parametrize("command", [["apply"], ["rollback", "web"], ["restart", "web"]])
@pytest.mark.parametrize("phase", ["failed", "superseded"])
def test_a_deployment_that_is_not_done_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, file: str, command: list[str], phase: str
) -> None:
    """With its reason and where to look."""
    arguments = [*command, file] if command == ["apply"] else command
    over = {**DEPLOYMENT, "phase": phase, "reason": "web-1: status 500"}
    assert run(monkeypatch, over, *arguments, "--wait") == 1
    said = capsys.readouterr().err
    how = {"failed": "has failed", "superseded": "was superseded"}[phase]
    assert f"Deployment 9 of web {how}: web-1: status 500" in said
    assert "`orchestry deploys web`" in said


def test_waiting_has_an_end(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured, file: str
) -> None:
    """Exit code 5, and the deployment goes on."""
    running = {**DEPLOYMENT, "phase": "running", "ended_at": None, "replicas": [
        {"name": "web-1", "role": "new", "health": "starting", "reason": "status 500"}]}
    assert run(monkeypatch, running, "restart", "web", "--wait", "--timeout", "1") == 5
    said = capsys.readouterr().err
    assert "web: 1/3 new replicas, running (web-1 is starting: status 500)" in said
    assert "it goes on" in said


def test_there_is_nothing_to_pause(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The cluster's own words."""
    def refuse(seen: Seen) -> Says:
        return error(409, "CONFLICT", "No deployment of application 'web' is under way")

    with nodes(refuse) as (node,):
        monkeypatch.setenv("ORCHESTRY_URL", node.url)
        assert main(["pause", "web"]) == 1
    assert "No deployment of application 'web' is under way" in capsys.readouterr().err


def test_a_bar_for_terminals() -> None:
    """As wide as there is room."""
    assert describe(DEPLOYMENT, "web", 6).startswith("web: [##----] 1/3 new replicas")
    assert ANSWERS[("GET", "/api/v1/apps/web/deployments/9")]["phase"] == "done"
