"""What the commands print, compared with files: in a terminal, in a narrow one, and in a pipe.

`UPDATE_GOLDEN=1 pytest tests/unit/test_cli_golden.py` writes the files anew; read the
difference before it is committed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.terminal import Terminal
from tests.unit.stub_cluster import StubNode

FOLDER = Path(__file__).parent / "golden"
PROGRAM_S = 60.0
LINES = (
    "list", "status", "status web", "spec web", "health web", "logs web", "events",
    "metrics", "metrics web", "metrics web --plot", "top --once", "top web --once",
    "autoscale web", "autoscale web --max 9", "autoscale web --explain", "cluster status",
    "cluster leader", "cluster health", "scale web 5 --no-wait", "down web --quiet", "list nobody",
    "status nobody", "up --replicas many web", "delete web", "autoscale web --help",
    "deploys web", "revisions web",
)
# One process for all of them; ages of things are not the same tomorrow.
CODE = """
import sys
from orchestry.cli import main, output
output.age.__defaults__ = (output.datetime.fromisoformat("2026-01-01T00:42:00+00:00"),)
for line in sys.argv[1:]:
    print(f"$ orchestry {line}", flush=True)
    sys.stdin = open("/dev/null")
    code = main(line.split())
    sys.stdout.flush()
    sys.stderr.flush()
    print(f"[{code}]", flush=True)
"""


def compare(name: str, shown: str) -> None:
    """With the file; escapes are shown in it."""
    text = "\n".join(
        line.rstrip() for line in shown.replace("\r\n", "\n").replace("\x1b", "␛").split("\n"))
    file = FOLDER / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        FOLDER.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text(), f"see the head of {__file__}"


def environ() -> dict[str, str]:
    """The same on each machine."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ("NO_COLOR", "COLUMNS", "COLORTERM", "FORCE_COLOR", "CI")}
    return {**kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"}


@pytest.mark.parametrize(("name", "columns"), [("terminal", 80), ("narrow", 40)])
def test_in_a_terminal(node: StubNode, name: str, columns: int) -> None:
    """Colours, tables within the width, errors with the next step."""
    with Terminal([sys.executable, "-c", CODE, *LINES], environ(), columns=columns) as screen:
        assert screen.end(PROGRAM_S) == 0
        compare(name, screen.text)


def test_in_a_pipe(node: StubNode) -> None:
    """Plain and whole, however long; both streams in the order in which they were written."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, *LINES], env=environ(), text=True, check=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=PROGRAM_S)
    assert "\x1b" not in done.stdout
    compare("pipe", done.stdout)
