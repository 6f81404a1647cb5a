"""Run pytest; judge a lone failure by running it again, alone, and tell it either way.

    python tools/run_tests.py NOTES PYTEST_ARGUMENT...

A rule that is broken stays broken: what fails for a fault of the code fails again, and then the
step fails. What passes each time is *unsteady*: the step goes on, its first failure stays in the
output, and a line about it is added to the file NOTES, for the end of the report.
More than `MOST` failures are never run again. See docs/adr/0042-unsteady-tests.md.

Exit code: pytest's own, or 0 when all that failed is unsteady.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

MOST = 2
"""Tests of one step: more have something in common."""
TIMES = 3
"""All of them have to pass."""
ENOUGH_S = 60.0
"""No further time begins after this: a long test passes once, a short one three times."""
SOME_FAILED = 1
"""Pytest's code for tests that ran, and of which some failed."""


def main(arguments: Sequence[str]) -> int:
    """Run, and judge."""
    # Ctrl-C is for pytest, which ends what it started before it ends.
    signal.signal(signal.SIGINT, lambda *_: None)
    notes, options = Path(arguments[0]), arguments[1:]
    with tempfile.TemporaryDirectory() as cache:
        code = _pytest(cache, options)
        failed = _failed(Path(cache)) if code == SOME_FAILED else ()
    if not 0 < len(failed) <= MOST:
        return code
    print(f"\n-- failed: {', '.join(failed)}\n-- run again, alone:", flush=True)
    times = _passes_alone(failed)
    if not times:
        return code
    with notes.open("a") as report:
        report.writelines(f"  {name}: failed once, then passed {times} of {times} times alone\n"
                          for name in failed)
    return 0


def _pytest(cache: str, options: Sequence[str]) -> int:
    """Each test has its own deadline (setup.cfg)."""
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *options]
    return subprocess.Popen(command).wait()


def _failed(cache: Path) -> tuple[str, ...]:
    try:
        return tuple(json.loads((cache / "v/cache/lastfailed").read_text()))
    except (OSError, ValueError):
        return ()


def _passes_alone(tests: Sequence[str]) -> int:
    """How often they passed, one after the other; 0 when they failed once."""
    begun_s = time.monotonic()
    for times in range(1, TIMES + 1):
        with tempfile.TemporaryDirectory() as cache:
            if _pytest(cache, ["-q", *tests]) != 0:
                return 0
        if time.monotonic() - begun_s > ENOUGH_S:
            return times
    return TIMES


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
