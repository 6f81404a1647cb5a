"""Print the software bill of materials of pinned requirements: CycloneDX 1.5 as JSON.

tools/sbom.py requirements/controller.txt requirements/postgres.txt

Requirements whose marker doesn't hold for this Python and system are left out.
The same files give the same text: it carries neither a time nor a random number.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from packaging.markers import Marker

PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?:\s*;\s*([^\\\n]+?))?\s*\\?$", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")


def components(text: str) -> list[dict[str, object]]:
    """One entry for each pin that holds here."""
    found: list[dict[str, object]] = []
    pins = list(PIN.finditer(text))
    for pin, following in zip(pins, [*pins[1:], None], strict=True):
        name, version, marker = pin.groups()
        if marker and not Marker(marker).evaluate():
            continue
        block = text[pin.end():following.start() if following else len(text)]
        purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
        found.append({
            "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
            # An archive's digest names one of the files that the pin allows.
            "properties": [
                {"name": "orchestry:sha256", "value": digest} for digest in HASH.findall(block)
            ],
        })
    return found


def bill(texts: list[str]) -> dict[str, object]:
    """The whole document, its components in the order of their names."""
    by_ref = {part["bom-ref"]: part for text in texts for part in components(text)}
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "components": [by_ref[ref] for ref in sorted(by_ref, key=str)],
    }


if __name__ == "__main__":
    print(json.dumps(bill([Path(name).read_text() for name in sys.argv[1:]]), indent=1))
