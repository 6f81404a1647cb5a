"""The bill of materials: what the pins say, for this system, always the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from cluster.ingress.image import context
from tests.schemas import cyclonedx

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


STATUS = """\
Package: libstdc++6
Status: install ok installed
Architecture: amd64
Version: 12.2.0-14+deb12u1
Description: GNU Standard C++ Library v3
 Version: this is none

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1:2.3

Package: libpq5
Status: install ok installed
Architecture: amd64
Version: 1:15.13-0+deb12u1
"""


def bill(*arguments: Path | str) -> str:
    """What the tool prints."""
    return subprocess.run([sys.executable, str(TOOL), *map(str, arguments)], check=True,
                          capture_output=True, text=True, timeout=120).stdout


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


def test_debians_packages_are_told_where_they_are_given(tmp_path: Path) -> None:
    """What is installed, by its package URL; the whole is as CycloneDX wants it."""
    pins, status, release = (tmp_path / name for name in ("pins.txt", "status", "os-release"))
    pins.write_text(PINS)
    status.write_text(STATUS)
    release.write_text('NAME="Debian"\nID=debian\nVERSION_ID="12"\n')
    found = json.loads(bill(pins, "--debian", status, release))
    cyclonedx().validate(found)
    assert [part["purl"] for part in found["components"]][:2] == [
        "pkg:deb/debian/libpq5@1:15.13-0%2Bdeb12u1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12"]
    assert [part["version"] for part in found["components"]][:2] == [
        "1:15.13-0+deb12u1", "12.2.0-14+deb12u1"]
    assert len(found["components"]) == 4


def test_the_ingress_tells_its_packages_the_same_way(tmp_path: Path) -> None:
    """Its image has no Python: the shell of its Dockerfile, on this machine's packages."""
    text = context("base")["Dockerfile"].decode().replace("\\\n", "")
    line = next(line for line in text.splitlines() if "dpkg-query" in line)
    command = line[line.index("{ printf"):line.index(">/usr/share/orchestry/sbom.json")]
    told = subprocess.run(
        ["sh", "-euc", f". /etc/os-release; {command}"], check=True, capture_output=True,
        text=True, timeout=120).stdout
    found = json.loads(told)
    cyclonedx().validate(found)
    (tmp_path / "pins.txt").write_text("")
    same = json.loads(bill(
        tmp_path / "pins.txt", "--debian", "/var/lib/dpkg/status", "/etc/os-release"))
    assert sorted(found["components"], key=lambda part: str(part["purl"])) == same["components"]


def test_the_schema_is_one_that_refuses(tmp_path: Path) -> None:
    """The check can fail."""
    (tmp_path / "pins.txt").write_text(PINS)
    found = json.loads(bill(tmp_path / "pins.txt"))
    assert cyclonedx().is_valid(found)
    del found["components"][0]["name"]
    assert not cyclonedx().is_valid(found)
