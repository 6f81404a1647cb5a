"""The dependency rules of setup.cfg hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.architecture.files import ROOT


def test_import_rules_are_kept() -> None:
    """api -> cluster -> orchestry, one door per third party, and a core without I/O."""
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout
