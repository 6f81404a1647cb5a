"""tools/run_tests.py: what fails again fails, what passes each time is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / "tools" / "run_tests.py"
DEADLINE_S = 60.0
PLAIN = """
from pathlib import Path

def passes(name, when):
    # Whether this run of it is one of these.
    marks = Path(__file__).with_suffix("." + name)
    with marks.open("a") as file:
        file.write(".")
    return len(marks.read_text()) in when

"""


def start(folder: Path, *tests: str) -> subprocess.Popen[str]:
    """The tool, on one file of tests."""
    (folder / "test_it.py").write_text(PLAIN + "\n".join(tests))
    return subprocess.Popen(
        [sys.executable, str(TOOL), "notes", "-q", "test_it.py"],
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # they take seconds to load
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def run(folder: Path, *tests: str) -> tuple[int, str, str]:
    """Exit code, what it noted, what it printed."""
    with start(folder, *tests) as process:
        shown, _ = process.communicate(timeout=DEADLINE_S)
    notes = folder / "notes"
    return process.returncode, notes.read_text() if notes.exists() else "", shown


def case(name: str, *when: int) -> str:
    """A test that passes at these runs of it."""
    return f"def test_{name}():\n    assert passes({name!r}, {when})\n"


def runs(folder: Path, name: str) -> int:
    """How often it was run."""
    return len((folder / f"test_it.{name}").read_text())


def test_what_passes_each_time_is_told(tmp_path: Path) -> None:
    """And what had passed is not run again."""
    code, notes, shown = run(tmp_path, case("good", 1), case("odd", 2, 3, 4))
    assert code == 0, shown
    assert notes == "  test_it.py::test_odd: failed once, then passed 3 of 3 times alone\n"
    assert "1 failed, 1 passed" in shown
    assert (runs(tmp_path, "good"), runs(tmp_path, "odd")) == (1, 4)


@pytest.mark.parametrize("when", [(), (2, 3)])
def test_what_fails_again_fails(tmp_path: Path, when: tuple[int, ...]) -> None:
    """However late."""
    code, notes, shown = run(tmp_path, case("bad", *when))
    assert (code, notes) == (1, ""), shown


def test_two_are_judged_together_and_three_are_not_run_again(tmp_path: Path) -> None:
    """Three have something in common."""
    code, notes, _ = run(tmp_path, case("a", 2, 3, 4), case("b", 2, 3, 4))
    assert (code, notes.count("\n")) == (0, 2)
    code, _, _ = run(tmp_path, *(case(name, 2, 3, 4) for name in ("c", "d", "e")))
    assert (code, runs(tmp_path, "c")) == (1, 1)


@pytest.mark.parametrize(("text", "code"), [
    ("import nothing_of_this_name", 2), ("", 5),
    ("def test_good():\n    assert passes('g', (1,))", 0),
])
def test_other_ends_are_those_of_pytest(tmp_path: Path, text: str, code: int) -> None:
    """A file that cannot be read, no test at all, and all is well."""
    assert run(tmp_path, text)[:2] == (code, "")


def test_it_waits_for_what_is_interrupted(tmp_path: Path) -> None:
    """Ctrl-C, which goes to both."""
    slow = """
def test_slow():
    import time
    Path("begun").touch()
    try:
        time.sleep(60)
    finally:
        Path("ended").touch()
"""
    with start(tmp_path, slow) as process:
        deadline_s = time.monotonic() + DEADLINE_S
        while not (tmp_path / "begun").exists():
            assert time.monotonic() < deadline_s
            time.sleep(0.02)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        os.kill(int(child), signal.SIGINT)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert (tmp_path / "ended").exists()
