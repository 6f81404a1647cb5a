"""Clusters by name, a spec to start from, and the cluster at a glance."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from orchestry.cli import contexts, main
from orchestry.manifest import load_documents
from orchestry.spec.parse import parse_app
from tests.terminal import Terminal
from tests.unit.stub_answers import ANSWERS, answer
from tests.unit.stub_cluster import Says, Seen, free_url, nodes

WAIT_S = 60.0
Captured = pytest.CaptureFixture[str]
EXTRA = {
    "/health": {"status": "healthy", "version": "1.0.0",
                "components": {"docker": {"status": "healthy"}}},
}


def script(seen: Seen) -> Says:
    """A healthy cluster that also tells its health."""
    path = seen.path.partition("?")[0]
    return Says(200, EXTRA[path]) if path in EXTRA else answer(seen)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any environment."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("ORCHESTRY_URL", "ORCHESTRY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_options_beat_the_environment_which_beats_the_context(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """And a context's token goes to its own addresses only."""
    with nodes(script, script, script) as (option, variable, context):
        assert main(["config", "set", "prod", "-u", context.url, "--token", "t0ken"]) == 0
        context.seen.clear()
        assert main(["list"]) == 0
        assert context.seen[0].headers["Authorization"] == "Bearer t0ken"
        monkeypatch.setenv("ORCHESTRY_URL", variable.url)
        assert main(["list"]) == 0
        assert "Authorization" not in variable.seen[0].headers
        assert main(["list", "--url", option.url]) == 0
        assert "Authorization" not in option.seen[0].headers
        monkeypatch.delenv("ORCHESTRY_URL")
        assert main(["list", "--token", "other"]) == 0
        assert context.seen[1].headers["Authorization"] == "Bearer other"
        assert len(context.seen) == 2
    capsys.readouterr()


def test_clusters_are_remembered_used_and_forgotten(home: Path, capsys: Captured) -> None:
    """The first becomes the current one; the file is the user's alone and shows no token here."""
    url = free_url()
    assert main(["config", "set", "one", "-u", url, "--token", "t0ken"]) == 0
    assert main(["config", "set", "two", "-u", "http://127.0.0.1:9", "-q"]) == 0
    assert main(["config", "list"]) == 0
    printed = capsys.readouterr()
    assert "t0ken" not in printed.out
    assert "does not answer" in printed.err
    assert stat.S_IMODE(contexts.path().stat().st_mode) == 0o600
    assert main(["config", "use", "two"]) == 0
    assert contexts.load().current == "two"
    assert main(["config", "set", "one", "--token", ""]) == 0
    assert contexts.load().known["one"] == contexts.Context((url,), None)
    assert main(["config", "rm", "two"]) == 0
    assert contexts.load().current is None
    capsys.readouterr()
    assert main(["config", "use", "two", "--json"]) == 1
    assert "known: one" in json.loads(capsys.readouterr().out)["error"]
    for line in (["config", "set", "x"], ["config", "set", "../x", "-u", url], ["config"],
                 ["config", "set", "x", "-u", "ftp://a"]):
        assert main(line) == 2, line


def test_a_damaged_file_is_said_and_not_overwritten(home: Path, capsys: Captured) -> None:
    """Every command names the file and goes no further; completion stays silent."""
    file = contexts.path()
    file.parent.mkdir(parents=True)
    for text in ("{", '{"contexts": []}', '{"contexts": {"a": 1}, "current": null}'):
        file.write_text(text)
        for line in (["list"], ["config", "list"], ["config", "set", "a", "-u", "http://a:1"]):
            assert main(line) == 1
            printed = capsys.readouterr()
            assert "contexts.json is damaged" in printed.err
            assert "Next: " in printed.err
        assert file.read_text() == text


def test_a_terminal_is_asked(home: Path) -> None:
    """Name, addresses, and the token, which is not shown."""
    with nodes(script) as (stub,), Terminal(
            [sys.executable, "-m", "orchestry.cli", "config"], os.environ) as screen:
        for question, typed in (("Name", "lab"), ("Addresses", stub.url), ("Token", "s3cret")):
            screen.expect(f"{question}.*: ", WAIT_S)
            screen.type(f"{typed}\n")
        screen.expect(stub.url, WAIT_S)
        assert screen.end(WAIT_S) == 0
        assert "s3cret" not in screen.text
    found = contexts.load()
    assert found.current == "lab"
    assert found.known["lab"] == contexts.Context((stub.url,), "s3cret")


def test_a_spec_to_start_from_is_valid(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """Written to a file that is not replaced by accident, or printed; what is wrong is told."""
    monkeypatch.chdir(home)
    assert main(["init", "shop", "--image", "shop:1", "--port", "8080"]) == 0
    (document,) = load_documents(Path("shop.yml").read_text())
    spec = parse_app(document)
    assert (spec.name, spec.image, spec.ports[0].container_port) == ("shop", "shop:1", 8080)
    assert main(["validate", "shop.yml"]) == 0
    assert main(["init", "shop"]) == 2
    assert "give --force" in capsys.readouterr().err
    assert main(["init", "-o", "-"]) == 0
    text = capsys.readouterr().out
    # What is commented out is right, too.
    whole = "\n".join(line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line
                      for line in text.split("\n")[2:])
    (document,) = load_documents(whole)
    assert parse_app(document).name == "my-app"
    assert main(["init", "Not_A_Name", "-o", "-"]) == 2


def test_info_shows_the_cluster_at_a_glance(home: Path, capsys: Captured) -> None:
    """Exit code 3 without a leader, although controllers answer."""
    with nodes(script) as (stub,):
        assert main(["info", "-u", stub.url]) == 0
        lines = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
        assert lines["Leader"].strip() == "c2"
        assert lines["Apps"].strip() == "1 in all: 1 running, 0 stopped, 0 error"
        assert lines["Docker"].strip() == "healthy"
    headless = {**ANSWERS["GET", "/cluster/status"], "leader_id": None}
    with nodes(lambda seen: Says(200, headless) if seen.path == "/cluster/status"
               else script(seen)) as (stub,):
        assert main(["info", "-u", stub.url]) == 3


def test_wrong_usage_is_json_when_asked_for(capsys: Captured) -> None:
    """One document, and the next step on standard error."""
    for line in (["scale", "web", "many"], ["lst"], ["list", "--nothing"], ["up"]):
        assert main([*line, "--json"]) == 2
        printed = capsys.readouterr()
        assert json.loads(printed.out)["code"] == "USAGE"
        assert "Next: See `orchestry" in printed.err
