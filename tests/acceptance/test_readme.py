"""The README's code runs as written, in its order, and prints what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.dev_run import DevRun

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx]

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK_TIMEOUT_S = 120


@dataclass(frozen=True)
class Block:
    """A code block and the output that follows it, "" when none does."""

    language: str
    code: str
    output: str


def blocks() -> list[Block]:
    """Shell and Python blocks of the README, without `make up`, which the fixture does."""
    found = []
    text = (ROOT / "README.md").read_text()
    matches = list(BLOCK.finditer(text))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        language, code = match.groups()
        if language not in ("shell", "python") or code == "make up\n":
            continue
        shown = following is not None and following.group(1) == "text" and not text[
            match.end():following.start()].strip()
        found.append(Block(language, code, following.group(2) if shown and following else ""))
    return found


@pytest.fixture
def run(tmp_path: Path, docker_socket: str) -> Iterator[DevRun]:
    """What `make up` runs, on ports of this test's own."""
    run = DevRun(tmp_path, {"DOCKER_HOST": docker_socket})
    yield run
    run.clean_up()


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, ids, widths of columns."""
    line = re.sub(r"(?<=\.)[0-9a-f]{8}\b|\b[0-9a-f]{12}\b", "ID", line)
    line = re.sub(r"controller-\d", "CONTROLLER", line)
    line = re.sub(r"\d+(\.\d+)*", "N", line)
    return re.sub(r"[\s─-]+", " ", line).strip()


def test_make_up_runs_the_demo() -> None:
    """The command of the first block is the one that the other tests run on other ports."""
    recipe = (ROOT / "Makefile").read_text().partition("\nup:")[2].partition("\n\n")[0]
    assert "tools/bootstrap.sh up" in recipe
    assert "orchestry dev --demo --data-dir $(DATA)" in recipe
    assert "```shell\nmake up\n```" in (ROOT / "README.md").read_text()


def test_every_block_runs_and_prints_what_the_page_shows(run: DevRun, tmp_path: Path) -> None:
    """In one folder, one after the other, as a reader does."""
    run.start("--demo")
    folder = tmp_path / "clone"
    (folder / ".venv").mkdir(parents=True)
    (folder / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (folder / ".orchestry").symlink_to(run.folder)
    urls = ",".join(run.urls)
    environ = {**os.environ, "ORCHESTRY_URL": urls, "COLUMNS": "80"}
    ports = {str(8001 + more): str(run.port + more) for more in range(3)}
    ports["8080/"] = f"{run.ingress_port}/"
    assert [block.language for block in blocks()] == [
        "shell", "shell", "python", "shell", "shell"]
    for block in blocks():
        code = block.code
        for shown, real in ports.items():
            code = code.replace(f":{shown}", f":{real}")
        program = [sys.executable, "-c", code]
        if block.language == "shell":
            program = ["bash", "-euo", "pipefail", "-c", f"PATH=$PWD/.venv/bin:$PATH\n{code}"]
        done = subprocess.run(
            program, cwd=folder, env=environ, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=BLOCK_TIMEOUT_S, check=False)
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}\n{run.story()}"
        printed = {shape(line) for line in done.stdout.splitlines()}
        missing = [line for line in block.output.splitlines() if shape(line) not in printed]
        assert not missing, f"{code}\nprinted:\n{done.stdout}\nshown, not printed: {missing}"
    assert run.stop() == 0, run.story()
