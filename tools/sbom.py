"""Print the software bill of materials of an image: CycloneDX 1.5 as JSON.

tools/sbom.py requirements/controller.txt [--debian /var/lib/dpkg/status /etc/os-release]

It names the pinned requirements and, with `--debian`, the packages that are installed.
Requirements whose marker doesn't hold for this Python and system are left out.
The same files give the same text: it carries neither a time nor a random number.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from packaging.markers import Marker

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+?))?\s*\\?$", re.MULTILINE)
FIELD = re.compile(r"^(Package|Status|Version|Architecture): (.*)$", re.MULTILINE)
RELEASE = re.compile(r'^(ID|VERSION_ID)="?([^"\n]*)"?$', re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(text: str) -> list[dict[str, object]]:
    """One entry for each pin that holds here."""
    found: list[dict[str, object]] = []
    pins = list(PIN.finditer(text))
    for number, pin in enumerate(pins, 1):
        name, version, marker = pin.groups()
        if marker and not Marker(marker).evaluate():
            continue
        block = text[pin.end():pins[number].start() if number < len(pins) else len(text)]
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        found.append({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            # An archive's digest names one of the files that the pin allows.
            "properties": [
                {"name": "orchestry:sha256", "value": digest} for digest in HASH.findall(block)
            ],
        })
    return found


def debian(status: str, release: str) -> list[dict[str, object]]:
    """One entry for each package that dpkg's status file has as installed."""
    found: list[dict[str, object]] = []
    told = dict(RELEASE.findall(release))
    distro = f"{told.get('ID', 'debian')}-{told.get('VERSION_ID', '')}"
    for block in status.split("\n\n"):
        fields = dict(FIELD.findall(block))
        if fields.get("Status") != "install ok installed":
            continue
        name, version = fields["Package"], fields["Version"]
        purl = f"pkg:deb/debian/{name}@{version}?arch={fields['Architecture']}&distro={distro}"
        purl = purl.replace("+", "%2B")
        found.append({"type": "library", "bom-ref": purl, "name": name, "version": version,
                      "purl": purl})
    return found


def bill(parts: list[dict[str, object]]) -> dict[str, object]:
    """The whole document, its components in the order of their names."""
    by_ref = {part["bom-ref"]: part for part in parts}
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "components": [by_ref[ref] for ref in sorted(by_ref, key=str)],
    }


def main() -> None:
    """Print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("requirements", nargs="+", type=Path)
    parser.add_argument("--debian", nargs=2, type=Path, metavar=("STATUS", "RELEASE"))
    asked = parser.parse_args()
    parts = [part for file in asked.requirements for part in components(file.read_text())]
    if asked.debian:
        parts += debian(*(file.read_text() for file in asked.debian))
    print(json.dumps(bill(parts), indent=1))


if __name__ == "__main__":
    main()
