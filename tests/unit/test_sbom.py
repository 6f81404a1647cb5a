"""The bill of materials: what the pins say, for this system, always the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOL = ROOT / "tools" / "sbom.py"
DIGEST = "0" * 64
PINS = f"""\
flask-openapi==5.0.0 \\
    --hash=sha256:{DIGEST} \\
    --hash=sha256:{"1" * 64}
    # via orchestry (setup.cfg)
pywin32==312 ; sys_platform == 'win32' \\
    --hash=sha256:{DIGEST}
Annotated_Types==0.8.0 ; python_version >= '3.0' \\
    --hash=sha256:{DIGEST}
"""


def bill(*files: Path) -> str:
    """What the tool prints."""
    return subprocess.run([sys.executable, str(TOOL), *map(str, files)], check=True,
                          capture_output=True, text=True, timeout=30).stdout


def test_pins_become_components(tmp_path: Path) -> None:
    """Name, version, package URL and digests; pins for other systems are left out."""
    file = tmp_path / "pins.txt"
    file.write_text(PINS)
    found = json.loads(bill(file))
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert [part["purl"] for part in found["components"]] == [
        "pkg:pypi/annotated-types@0.8.0", "pkg:pypi/flask-openapi@5.0.0"]
    assert [len(part["properties"]) for part in found["components"]] == [1, 2]
    assert bill(file, file) == bill(file)


def test_the_projects_own_pins_are_all_told() -> None:
    """Each pin that holds here is a component, and nothing else is."""
    files = [ROOT / "requirements" / f"{name}.txt" for name in ("controller", "postgres")]
    names = {part["name"] for part in json.loads(bill(*files))["components"]}
    pinned = {line.partition("==")[0] for file in files
              for line in file.read_text().splitlines() if "==" in line.partition(" ")[0]}
    assert names <= pinned
    assert pinned - names <= {"pywin32", "async-timeout", "cffi", "pycparser", "colorama"}
    assert {"flask", "psycopg2", "pysyncobj"} <= names
