"""What is built is what is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.architecture.files import PACKAGES, ROOT, sources


def test_wheel_holds_every_module_and_its_data(tmp_path: Path) -> None:
    """Installed from the wheel, nothing is missing: code, types, Lua files, the demo."""
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=ignore)
    for file in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tree)
    code = "from setuptools import build_meta; build_meta.build_wheel('..')"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=120,
        check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    suffixes = (".py", ".pyi", ".typed", ".lua", ".yaml", ".cgi", ".sh", ".html", ".js", ".css", "")
    needed = {
        str(path.relative_to(ROOT)) for path in sources(*suffixes, folders=PACKAGES)
        if path.is_file()
    }
    assert needed - held == set()
