"""`orchestry exec` in a process of its own, over a real socket and in a real terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.api.process import Process, ready
from tests.terminal import Terminal

WAIT_S = 30.0


@pytest.fixture(scope="module")
def node() -> Iterator[Process]:
    """One process whose replicas have containers, and which allows commands in them."""
    with ready(ENGINE="fake") as found:
        assert found.call("PUT", "/api/v1/config", {"exec": {"enabled": True}})[0] == 200
        yield found


def words_of(node: Process, *words: str) -> list[str]:
    """The command line."""
    return [sys.executable, "-m", "orchestry.cli", "exec", "-u", f"http://127.0.0.1:{node.port}",
            *words]


def run(node: Process, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """What came of it."""
    return subprocess.run(
        words_of(node, *words), input=given, capture_output=True, timeout=WAIT_S, check=False)


def test_it_is_as_if_the_command_was_run_here(node: Process) -> None:
    """Output, errors and exit code are those of the command, byte by byte."""
    done = run(node, "app-0", "--", "sh", "-c", "echo out; echo wrong >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"out\n", b"wrong\n")
    done = run(node, "app-0", "--replica", "2", "-i", "--", "cat", given=b"\0\xff\r\n" * 50_000)
    assert (done.returncode, done.stdout) == (0, b"\0\xff\r\n" * 50_000)
    done = run(node, "app-0", "--", "cat", given=b"not passed on")
    assert (done.returncode, done.stdout) == (0, b"")


def test_json_is_one_document(node: Process) -> None:
    """With the exit code of the command, also in the document."""
    done = run(node, "--json", "app-0", "-i", "--", "cat", given=b"in")
    assert json.loads(done.stdout) == {
        "app_name": "app-0", "replica": "app-0-1", "exit_code": 0, "stdout": "in", "stderr": "",
        "truncated": False, "reason": None}
    done = run(node, "--json", "app-0", "--", "false")
    assert (done.returncode, json.loads(done.stdout)["exit_code"]) == (1, 1)


@pytest.mark.parametrize(("words", "code", "text"), [
    (("none", "--", "true"), 4, "none"),
    (("app-0", "-r", "9", "--", "true"), 4, "app-0-1, app-0-2"),
    (("app-0",), 2, "COMMAND"),
    (("app-0", "-it", "--", "sh"), 2, "terminal"),
    (("app-0", "--json", "-t", "--", "sh"), 2, "-t"),
])
def test_what_makes_no_sense_is_told(
    node: Process, words: tuple[str, ...], code: int, text: str
) -> None:
    """With the exit codes of all commands, and what to do."""
    done = run(node, *words)
    assert done.returncode == code
    assert text in done.stderr.decode()
    assert "Next:" in done.stderr.decode()


def test_it_is_refused_while_it_is_off() -> None:
    """6, and how it is switched on."""
    with ready(ENGINE="fake") as node:
        done = run(node, "app-0", "--", "true")
        assert done.returncode == 6
        assert b"orchestry cluster config set exec.enabled=true" in done.stderr


def test_a_shell_in_a_terminal(node: Process) -> None:
    """Keys go through as they are, the size follows, and the terminal is as it was afterwards."""
    with Terminal(words_of(node, "app-0", "-it", "--", "sh"), os.environ, columns=93) as terminal:
        before = terminal.modes()
        terminal.until_raw(WAIT_S)
        terminal.type("stty size\r")
        terminal.expect(r"24 93\r\n", WAIT_S)
        terminal.resize(41, 120)
        deadline_s = time.monotonic() + WAIT_S
        while "41 120\r\n" not in terminal.text:
            assert time.monotonic() < deadline_s, terminal.text
            terminal.type("stty size\r")
            terminal.look(0.2)
        terminal.type("exit 4\r")
        assert terminal.end(WAIT_S) == 4
        assert terminal.modes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_is_restored_whatever_ends_the_command(
    node: Process, number: signal.Signals
) -> None:
    """Signals too."""
    with Terminal(words_of(node, "app-0", "-it", "--", "sh"), os.environ) as terminal:
        before = terminal.modes()
        terminal.until_raw(WAIT_S)
        terminal.signal(number)
        assert terminal.end(WAIT_S) == 128 + number
        assert terminal.modes() == before


def test_a_controller_that_dies_ends_it_clearly() -> None:
    """5, since the command may go on; at once, and with the terminal as it was."""
    with ready(ENGINE="fake") as node:
        assert node.call("PUT", "/api/v1/config", {"exec": {"enabled": True}})[0] == 200
        with Terminal(words_of(node, "app-0", "-it", "--", "sh"), os.environ) as terminal:
            before = terminal.modes()
            terminal.until_raw(WAIT_S)
            node.process.kill()
            assert terminal.end(WAIT_S) == 5
            assert "may go on" in terminal.text
            assert terminal.modes() == before


def test_ctrl_c_without_a_terminal_leaves_the_command(node: Process) -> None:
    """130, as for every command."""
    process = subprocess.Popen(
        words_of(node, "app-0", "--", "sh", "-c", "echo begun; sleep 60"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_S)
    assert process.returncode == 130
