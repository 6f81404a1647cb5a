"""Completion in real shells, each in a pseudo-terminal as its user sits before it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.live import until
from tests.terminal import Terminal
from tests.unit.stub_answers import APP, APPS
from tests.unit.stub_cluster import Says, StubNode, free_url, nodes
from tests.unit.test_cli_process import PATIENT, PROGRAM

SHELL_S = 30.0
STARTS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}
# As docs/cli.md says, for one session.
TURNS_ON = {
    "bash": 'eval "$(_ORCHESTRY_COMPLETE=bash_source orchestry)"',
    "zsh": ("autoload -U compinit; compinit -u -D; "
            'eval "$(_ORCHESTRY_COMPLETE=zsh_source orchestry)"'),
    "fish": "_ORCHESTRY_COMPLETE=fish_source orchestry | source",
}
# Shells want a terminal that is theirs.
THEIRS = ("import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
          "os.execv(sys.argv[1], sys.argv[1:])")
SILENT_S = 120.0
"""For so long a silent cluster says nothing: who waited for it would not end within SHELL_S."""


@contextmanager
def shell(name: str, folder: Path, url: str, program: str) -> Iterator[Terminal]:
    """The shell, with completion of the program turned on, before its prompt."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    command = bin_folder / "orchestry"
    command.write_text(f"#!{sys.executable}\n{program}\n")
    command.chmod(0o755)
    environ = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(folder), "TERM": "dumb",
        "PYTHONPATH": str(ROOT), "ORCHESTRY_URL": url, "LANG": "C.UTF-8",
        "XDG_CONFIG_HOME": str(folder / "config"), "XDG_DATA_HOME": str(folder / "data"),
    }
    found = shutil.which(STARTS[name][0])
    assert found is not None, f"{name} is missing: run tools/bootstrap.sh"
    words = [sys.executable, "-c", THEIRS, found, *STARTS[name][1:]]
    with Terminal(words, environ) as terminal:
        terminal.type(f"{TURNS_ON[name]}\n")
        terminal.type("echo on=$status\n" if name == "fish" else "echo on=$?\n")
        terminal.expect(r"on=0\r?\n", SHELL_S)
        terminal.until_raw(SHELL_S)  # until then a terminal edits the line, not the shell
        yield terminal
        terminal.type("\x15exit\n")


@pytest.fixture
def cluster() -> Iterator[StubNode]:
    """Three apps, two of which begin alike."""
    names = ("web-front", "web-back", "shop")
    found = {**APPS, "apps": [{**APP, "name": name} for name in names], "total": 3}
    with nodes(lambda _: Says(200, found)) as (stub,):
        yield stub


@pytest.mark.parametrize("name", STARTS)
def test_names_of_apps_are_completed(name: str, tmp_path: Path, cluster: StubNode) -> None:
    """One that is clear is written out, several are shown; commands and options are, too."""
    with shell(name, tmp_path, cluster.url, PATIENT) as terminal:
        terminal.type("orchestry status sh\t")
        terminal.expect("shop", SHELL_S)
        terminal.type("\x15orchestry scale web-\t\t")
        # The second Tab shows them all, but takes the first one in fish.
        terminal.expect("scale web-back" if name == "fish" else
                        r"(?s)web-back.*web-front|web-front.*web-back", SHELL_S)
        terminal.type("\x15orchestry autosc\t")
        terminal.expect("autoscale", SHELL_S)
    assert {seen.path for seen in cluster.seen} == {"/api/v1/apps"}


@pytest.mark.parametrize("name", STARTS)
@pytest.mark.parametrize("dead", ["refused", "silent"])
def test_a_dead_cluster_prints_nothing_and_does_not_hold_up(
    name: str, dead: str, tmp_path: Path
) -> None:
    """The prompt takes what is typed next soon, and nothing stands on the line but that."""
    def hang(_: object) -> Says:
        return Says(200, {}, delay_s=SILENT_S)

    with nodes(hang) as (stub,):
        url = free_url() if dead == "refused" else stub.url
        with shell(name, tmp_path, url, PROGRAM) as terminal:
            at = len(terminal.text)
            terminal.type("orchestry status sh\t")
            terminal.type("\x15echo do''ne\n")
            terminal.expect(r"done\r?\n", SHELL_S)
            said = terminal.text[at:]
            if dead == "silent":
                until("it was asked", lambda: stub.seen, SHELL_S)
            assert {seen.path for seen in stub.seen} == (
                {"/api/v1/apps"} if dead == "silent" else set())
    for word in ("Error", "Next", "Traceback", "answer", "reach"):
        assert word not in said
