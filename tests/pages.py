"""Pages whose code runs as written, in its order, and prints what they show."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.files import ROOT
from tests.dev_run import DevRun

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCK_TIMEOUT_S = 120


@dataclass(frozen=True)
class Block:
    """A code block and the output that follows it, "" when none does."""

    language: str
    code: str
    output: str


def blocks(page: str) -> list[Block]:
    """Shell and Python blocks of a page, without `make up`, which a fixture does."""
    found = []
    text = (ROOT / page).read_text()
    matches = list(BLOCK.finditer(text))
    for match, following in zip(matches, [*matches[1:], None], strict=True):
        language, code = match.groups()
        if language not in ("shell", "python") or code == "make up\n":
            continue
        shown = following is not None and following.group(1) == "text" and not text[
            match.end():following.start()].strip()
        found.append(Block(language, code, following.group(2) if shown and following else ""))
    return found


def shape(line: str) -> str:
    """A line without what differs from run to run: numbers, ids, widths of columns."""
    line = re.sub(r"(?<=\.)[0-9a-f]{8}\b|\b[0-9a-f]{12}\b", "ID", line)
    line = re.sub(r"controller-\d", "CONTROLLER", line)
    line = re.sub(r"\d+(\.\d+)*", "N", line)
    return re.sub(r"[\s─-]+", " ", line).strip()


def work_through(page: str, run: DevRun, folder: Path, environ: dict[str, str]) -> None:
    """In one folder, one block after the other, as a reader does, on the ports of `run`."""
    clone = folder / "clone"
    (clone / ".venv").mkdir(parents=True)
    (clone / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    (clone / ".orchestry").symlink_to(run.folder)
    ports = {str(8001 + more): str(run.port + more) for more in range(3)}
    ports["8080/"] = f"{run.ingress_port}/"
    environ = {**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT), **environ}
    for block in blocks(page):
        code = block.code
        for shown, real in ports.items():
            code = code.replace(f":{shown}", f":{real}")
        program = [sys.executable, "-c", code]
        if block.language == "shell":
            program = ["bash", "-euo", "pipefail", "-c", f"PATH=$PWD/.venv/bin:$PATH\n{code}"]
        status, stdout, stderr = _run(program, clone, environ)
        assert status == 0, f"{code}\n{stdout}{stderr}\n{run.story()}"
        printed = {shape(line) for line in stdout.splitlines()}
        missing = [line for line in block.output.splitlines() if shape(line) not in printed]
        assert not missing, f"{code}\nprinted:\n{stdout}\nshown, not printed: {missing}"


def _run(program: list[str], folder: Path, environ: dict[str, str]) -> tuple[int, str, str]:
    """Run a block; what it leaves running in the background ends with it."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(
            program, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            start_new_session=True)
        try:
            code = process.wait(BLOCK_TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()
