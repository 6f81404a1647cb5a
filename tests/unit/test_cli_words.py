"""What somebody reads who sees the command for the first time."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from orchestry.cli import main
from tests.unit.stub_answers import ANSWERS
from tests.unit.stub_cluster import Says, StubNode, error, nodes

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(("line", "said", "next_step"), [
    ("statsu", "No such command 'statsu'. Did you mean `status`?", "See `orchestry --help`."),
    ("xyzzy", "No such command 'xyzzy'.", "See `orchestry --help`."),
    ("scale web three", "Invalid value for 'N': 'three' is not a whole number.",
     "See `orchestry scale --help`."),
    ("delete web", "deleting web needs a confirmation; give --force",
     "See `orchestry delete --help`."),
])
def test_a_wrong_line_is_told_in_the_words_of_its_user(
    line: str, said: str, next_step: str, node: StubNode, capsys: Captured
) -> None:
    """What was probably meant, and the page of the very command."""
    assert main(line.split()) == 2
    assert capsys.readouterr().err == f"Error: {said}\nNext: {next_step}\n"


@pytest.mark.parametrize(("code", "status", "next_step"), [
    ("APP_ALREADY_EXISTS", 409, "Update it with `orchestry apply FILE`, or choose another name."),
    ("CONFLICT", 409, "Do as it says above, or look at `orchestry status NAME`, and try again."),
    ("VALIDATION_ERROR", 400, "Correct what is listed above."),
    ("NOT_FOUND", 404, "See what there is: most commands have a `list` beside them."),
])
def test_the_next_step_is_one_of_the_command_line(
    code: str, status: int, next_step: str, capsys: Captured
) -> None:
    """The catalogue speaks to programs, which see the name of a key of JSON."""
    with nodes(lambda _: error(status, code, "why")) as (stub,):
        assert main(["restart", "web", "-u", stub.url]) != 0
    assert f"Next: {next_step}\n" in capsys.readouterr().err


@pytest.mark.parametrize(("line", "key", "said"), [
    ("jobs list", "jobs", "No jobs."), ("secret list", "secrets", "No secrets."),
    ("volumes list", "volumes", "No volumes."), ("token list", "tokens", "No tokens."),
    ("registry list", "registries", "No logins."), ("chart list", "releases", "No releases."),
    ("events", "events", "No events."),
])
def test_an_empty_table_says_so(line: str, key: str, said: str, capsys: Captured) -> None:
    """On standard error, so that a program reads the head of the table and no rows."""
    with nodes(lambda _: Says(200, {key: []})) as (stub,):
        assert main([*line.split(), "-u", stub.url]) == 0
        printed = capsys.readouterr()
        assert printed.err.startswith(said)
        assert len(printed.out.splitlines()) == 1
        assert main([*line.split(), "-u", stub.url, "--quiet"]) == 0
        assert capsys.readouterr().err == ""


def test_lines_of_a_table_end_with_their_last_word(node: StubNode, capsys: Captured) -> None:
    """No blanks behind them where programs read."""
    for line in ("list", "status web", "cluster status", "autoscale web", "top --once", "metrics"):
        assert main(line.split()) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed
        assert [one for one in printed if one != one.rstrip()] == []


def test_what_is_unchanged_is_said_once(node: StubNode, tmp_path: Path, capsys: Captured) -> None:
    """The plan of a file that changes nothing is its result."""
    file = tmp_path / "web.yml"
    file.write_text("apiVersion: v1\nkind: App\nmetadata: {name: web}\n"
                    "spec: {image: a, ports: [{containerPort: 80}]}\n")
    same = {"app_name": "web", "status": "unchanged", "revision": 9, "deployment": None}
    with nodes(lambda _: Says(200, same)) as (stub,):
        assert main(["apply", str(file), "-u", stub.url]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("web: unchanged, revision 9\n", "")


def test_nothing_is_no_secret(
    node: StubNode, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """A pipe whose first half failed sets none."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["secret", "set", "db"]) == 1
    assert "Standard input is empty" in capsys.readouterr().err
    assert node.seen == []


def test_a_schedule_is_told_in_words(capsys: Captured) -> None:
    """One entry after the other, in the cell of its key."""
    entry = {"cron": "0 8 * * *", "timezone": "Europe/Berlin", "min_replicas": 2,
             "max_replicas": 5, "duration_seconds": 3600}
    said = ANSWERS["GET", "/api/v1/apps/web/scaling"]
    body = {**said, "policy": {**said["policy"], "schedule": [entry, entry]}}
    with nodes(lambda _: Says(200, body)) as (stub,):
        assert main(["autoscale", "web", "-u", stub.url]) == 0
    told = "0 8 * * * Europe/Berlin for 3600 s: 2 to 5"
    assert f"schedule                      {told}, {told}" in capsys.readouterr().out
