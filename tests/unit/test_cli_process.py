"""The command line in its own process: pipes, terminals, signals."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from api import recover
from orchestry.cli.output import printable
from tests.live import until
from tests.unit.stub_answers import APP, APPS, SPEC, answer
from tests.unit.stub_cluster import Says, Seen, StubNode, error, nodes

PROGRAM = "import sys; sys.argv[0] = 'orchestry'; from orchestry.cli import main; sys.exit(main())"
PATIENT = f"from orchestry.cli import session; session.COMPLETION_S = 30.0; {PROGRAM}"
"""Waits for names as long as a busy machine may take."""


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """The command in its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "orchestry.cli", *arguments], text=True, bufsize=1,
        stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, **options,
    )


def test_a_reader_that_goes_away_is_no_error() -> None:
    """`orchestry list | head` leaves no trace on standard error."""
    many = {**APPS, "apps": [{**APP, "name": f"web-{number}"} for number in range(500)]}
    # Whether so much is a whole answer takes longer to say than the command waits for it.
    with nodes(lambda _: Says(200, many, as_is=True)) as (stub,):
        reading, writing = os.pipe()
        os.close(reading)
        with start("list", "-u", stub.url, stdout=writing) as process:
            os.close(writing)
            _, errors = process.communicate(timeout=60)
    assert errors == ""
    assert process.returncode == 141


@pytest.mark.parametrize("line", [
    "status --watch --json", "status --watch", "status web --watch", "events -f",
    "events -f --json", "logs web -f", "logs web -f --json",
])
def test_who_follows_notices_that_its_reader_is_gone(line: str) -> None:
    """`orchestry status --watch | head -1` ends although nothing changes any more."""
    def script(seen: Seen) -> Says:
        if "/stream" not in seen.path:
            return answer(seen)
        line = {"timestamp": "2026-01-01T00:00:02Z", "container": "web-1", "message": "first"}
        event = {**answer(Seen("GET", "/api/v1/events", {}, b"")).body["events"][0], "id": 9}
        message = json.dumps(line if "logs" in seen.path else event)
        # More is promised than comes, as from a stream in which nothing happens.
        return Says(200, f"data: {message}\n\n".encode(), {
            "Content-Type": "text/event-stream"}, open_s=120)

    reading, writing = os.pipe()
    with nodes(script) as (stub,), start("-u", stub.url, *line.split(), stdout=writing) as process:
        os.close(writing)
        assert os.read(reading, 1000)
        os.close(reading)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, "")


def test_interrupted_wait_says_how_to_go_on() -> None:
    """Ctrl-C ends the wait only: the message names the command that follows it."""
    def slow(seen: Seen) -> Says:
        return Says(200, APP, delay_s=120, as_is=True) if seen.method == "POST" else answer(seen)

    with nodes(slow) as (stub,), start("up", "web", "-u", stub.url) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "web: 2/3 replicas healthy\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output == ""
    assert "the operation goes on" in errors
    assert "orchestry status web --watch" in errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("line", [
    "list", "status --watch", "top", "events -f", "logs web", "run web -- ls", "info",
    "cluster verify", "secret list", "jobs trigger web", "apply -",
])
def test_interrupted_while_the_cluster_hangs(line: str) -> None:
    """Ctrl-C ends a command that waits for an answer, with 130 and without a stack trace."""
    with nodes(lambda _: Says(200, {}, delay_s=120)) as (stub,), \
            start("-u", stub.url, *line.split(), stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(SPEC))
        process.stdin.close()
        process.stdin = None
        until("it asks", lambda: stub.seen, 60)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert "Traceback" not in errors


def test_watch_prints_changes_until_interrupted() -> None:
    """In a pipe `status --watch` prints again only when something changed."""
    healthy = iter([2, 2, 3])
    last = {"healthy": 3}

    def changing(_: Seen) -> Says:
        last["healthy"] = next(healthy, 3)
        return Says(200, {**APP, "replicas": {"desired": 3, **last}, "containers": []})

    with nodes(changing) as (stub,), \
            start("status", "web", "--watch", "-u", stub.url) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(4)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert [line[2] for line in lines] == ["HEALTHY", "2/3", "HEALTHY", "3/3"]
    assert (process.returncode, rest, errors) == (0, "", "")


def test_watch_gives_a_document_a_line() -> None:
    """With --json: one for each change, also when the cluster is lost and found."""
    healthy = iter([2, 2, None, 3])

    def changing(_: Seen) -> Says:
        count = next(healthy, 3)
        if count is None:
            return error(503, "DOCKER_ERROR", "no engine")
        return Says(200, {**APP, "replicas": {"desired": 3, "healthy": count}})

    with nodes(changing) as (stub,), \
            start("status", "web", "--watch", "--json", "-u", stub.url) as process:
        assert process.stdout is not None
        found = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert [one.get("code") or one["replicas"]["healthy"] for one in found] == [
        2, "DOCKER_ERROR", 3]
    assert (process.returncode, rest, errors) == (0, "", "")


def test_colours_and_questions_in_a_terminal() -> None:
    """A terminal gets colours within its width, unless they are unwanted, and is asked."""
    with nodes(answer) as (stub,):
        for extra, colored in (([], True), (["--no-color"], False)):
            code, text = in_terminal("list", "-u", stub.url, *extra)
            assert code == 0
            assert ("\x1b[32mrunning" in text) is colored
            assert max(len(printable(line)) for line in text.splitlines()) <= 80
        code, text = in_terminal("delete", "web", "-u", stub.url, typed="n\n")
        assert code == 1
        assert "Delete web, its containers and its volumes?" in text
        code, text = in_terminal("delete", "web", "-u", stub.url, typed="y\n")
        assert code == 0
        assert "web: deleted, containers: 3, volumes: 1" in text


def test_what_goes_with_a_release_is_said_before() -> None:
    """Its apps that are still there, and their volumes; a dry run says it too."""
    row = {"app": "front", "status": "running", "replicas": 1, "healthy": 1}
    volume = {"name": "orchestry-front-data", "app": "front", "goes_with_app": True}
    left = {**volume, "name": "orchestry-front-old", "goes_with_app": False}
    applied = {"release": "shop", "revision": 2, "dry_run": True, "changes": [
        {"app": "front", "change": "removed", "diff": []}]}

    def script(seen: Seen) -> Says:
        if seen.path == "/api/v1/apps/front/volumes":
            return Says(200, {"volumes": [volume, left], "total": 2})
        if "/rollback" in seen.path:
            return Says(200, applied)
        return Says(200, {"apps": ["back", "front"], "status": [
            {**row, "app": "back", "status": "missing"}, row]})

    going = "volumes orchestry-front-data (1 of an earlier app of this name stay)"
    with nodes(script) as (stub,):
        code, text = in_terminal("chart", "uninstall", "shop", "-u", stub.url, typed="n\n")
        assert code == 1
        assert f"Uninstall shop with front and its {going}?" in " ".join(text.split())
        code, text = in_terminal(
            "chart", "uninstall", "shop", "--keep-data", "-u", stub.url, typed="n\n")
        assert "Uninstall shop with front?" in text
        code, text = in_terminal("chart", "rollback", "shop", "--dry-run", "-u", stub.url)
        assert code == 0
        assert f"with front: its {going}" in " ".join(text.split())
    assert not [seen for seen in stub.seen if seen.method == "DELETE"]


def in_terminal(*arguments: str, typed: str = "") -> tuple[int, str]:
    """Run the command in a pseudo-terminal of 80 columns; its exit code and all it showed."""
    master, slave = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    environment.pop("NO_COLOR", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "orchestry.cli", *arguments],
        stdin=slave, stdout=slave, stderr=slave, env=environment,
    )
    os.close(slave)
    os.write(master, typed.encode())
    shown = b""
    try:
        while part := os.read(master, 65536):
            shown += part
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(master)
    return process.wait(60), shown.decode()


NAMES = {
    "/api/v1/apps": {"apps": [{"name": "web"}, {"name": "plain"}, {"name": "we ird"}]},
    "/api/v1/jobs": {"jobs": [{"name": "weekly"}]},
    "/api/v1/secrets": {"secrets": [{"name": "db"}]},
    "/api/v1/registries": {"registries": [{"host": "registry.example:5000"}]},
    "/api/v1/volumes": {"volumes": [{"name": "left", "orphaned": True},
                                    {"name": "used", "orphaned": False}]},
    "/api/v1/releases": {"releases": [{"release": "front"}]},
    "/api/v1/tokens": {"tokens": [{"id": "t1"}]},
    "/cluster/members": {"members": [{"node_id": "c1"}, {"node_id": "c2"}]},
}


@pytest.mark.parametrize(("words", "last", "found"), [
    ("up", "w", "web,we ird"), ("status", "", "web,plain,we ird"), ("deploys", "p", "plain"),
    ("run", "p", "plain"), ("logs", "pl", "plain"), ("jobs trigger", "", "weekly"),
    ("jobs history", "x", ""), ("secret rm", "", "db"), ("secret set", "d", "db"),
    ("registry logout", "", "registry.example:5000"), ("volumes rm", "", "left"),
    ("volumes list --app", "p", "plain"), ("chart upgrade", "", "front"),
    ("chart uninstall", "f", "front"), ("token revoke", "", "t1"),
    ("cluster remove", "", "c1,c2"), ("cluster transfer --to", "c2", "c2"),
    ("jobs", "tr", "trigger"), ("cluster config", "un", "unset"), ("", "regi", "register,registry"),
    ("jobs list", "--j", "--json"),
])
def test_completion_knows_the_names(words: str, last: str, found: str) -> None:
    """A real shell, with the script of ours, completes commands, options, and names of things."""
    with nodes(lambda seen: Says(200, NAMES[seen.path])) as (stub,):
        script = f"""
            orchestry() {{ '{sys.executable}' -c "$PATIENT" "$@"; }}
            env() {{ while [[ $1 == *=* ]]; do local -x "$1"; shift; done; "$@"; }}
            eval "$(_ORCHESTRY_COMPLETE=bash_source orchestry)"
            COMP_WORDS=(orchestry {words} '{last}') COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
            _orchestry_completion orchestry
            IFS=,; echo "${{COMPREPLY[*]}}"
        """
        done = subprocess.run(
            ["bash", "-euc", script], text=True, capture_output=True, timeout=60, check=True,
            env={**os.environ, "ORCHESTRY_URL": stub.url, "PATIENT": PATIENT})
    assert (done.stdout.strip(), done.stderr) == (found, "")


@pytest.mark.parametrize("words", ["--url {} status", "status -u {}"])
def test_completion_asks_the_cluster_of_the_line(words: str) -> None:
    """Not the one of the environment."""
    with nodes(lambda seen: Says(200, NAMES[seen.path])) as (stub,):
        line = f"orchestry {words.format(stub.url)} p"
        done = subprocess.run(
            [sys.executable, "-c", PATIENT], text=True, capture_output=True, timeout=60, check=True,
            env={**os.environ, "ORCHESTRY_URL": "http://127.0.0.1:9",
                 "_ORCHESTRY_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "4"})
    assert done.stdout == "plain,plain\n"


def test_recovery_says_in_json_too_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is another program, to which the same holds."""
    assert recover.main(["--data-dir", str(tmp_path / "none"), "--json"]) == 1
    output, errors = capsys.readouterr()
    assert json.loads(output)["error"] in errors


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_there_for_each_shell(shell: str) -> None:
    """The line of the page prints a script for it; zsh and fish get the help with each name."""
    environment = {**os.environ, "_ORCHESTRY_COMPLETE": f"{shell}_source"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, text=True,
                          capture_output=True, timeout=60, check=False)
    assert f"_ORCHESTRY_COMPLETE={shell}_complete" in done.stdout
    environment = {**os.environ, "_ORCHESTRY_COMPLETE": f"{shell}_complete",
                   "COMP_WORDS": "orchestry job", "COMP_CWORD": "job" if shell == "fish" else "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, text=True,
                          capture_output=True, timeout=60, check=False)
    assert "jobs" in done.stdout
    assert ("List jobs and their runs" in done.stdout) is (shell != "bash")


def test_start_up_is_quick() -> None:
    """`--help` loads no HTTP, table or YAML library."""
    code = ("import sys; from orchestry.cli import main; main(['--help']);"
            "print(sorted({'requests', 'rich', 'yaml'} & set(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                          timeout=60, check=True)
    assert done.stdout.endswith("[]\n")


def test_node_hands_over_to_the_controller(tmp_path: Path) -> None:
    """`node` becomes the controller's program, also beside a folder that is called api."""
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "node.py").write_text("print('stranger')")
    (tmp_path / "api" / "__init__.py").touch()
    with start("node", "--config", "missing.yaml", "--print-config", cwd=tmp_path) as process:
        output, errors = process.communicate(timeout=60)
    assert "stranger" not in output
    assert "Traceback" not in errors
    assert process.returncode == 2
    assert "missing.yaml" in errors


@pytest.mark.parametrize(("redirections", "code", "text"), [
    ("<&- >&- 2>&-", 0, ""),
    ("> /dev/full", 1, "No space left on device"),
    ("", 0, ""),
])
def test_unusable_streams(node: StubNode, redirections: str, code: int, text: str) -> None:
    """Closed or full streams and an odd locale end without a stack trace."""
    line = f"'{sys.executable}' -m orchestry.cli list {redirections}"
    done = subprocess.run(
        ["sh", "-c", line], text=True, capture_output=True, timeout=60, check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("Error:") == bool(code)
