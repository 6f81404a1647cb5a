"""What setup.cfg asks for is what requirements/ pins."""

from __future__ import annotations

import configparser
import re

from tests.architecture.files import ROOT

PIN = re.compile(r"^([a-z0-9.-]+)==\S+", re.MULTILINE)
NAME = re.compile(r"^[A-Za-z0-9._-]+")


def pinned(name: str) -> set[str]:
    """Names pinned in one file of requirements."""
    return set(PIN.findall((ROOT / "requirements" / f"{name}.txt").read_text()))


def asked_for(text: str) -> set[str]:
    """Names in a list of setup.cfg."""
    found = (NAME.match(line.strip()) for line in text.splitlines() if line.strip())
    return {item.group().lower().replace("_", "-") for item in found if item}


def test_every_requirement_is_pinned() -> None:
    """`make requirements` was run after the last change of setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    needed = asked_for(setup["options"]["install_requires"]) | asked_for(extras["controller"])
    assert needed - pinned("controller") == set()
    tested = needed | asked_for(extras["async"]) | asked_for(extras["test"])
    assert tested - pinned("test") == set()


def test_pins_carry_hashes_and_no_address() -> None:
    """What is installed is what was tested, from whichever index."""
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        assert "://" not in text
        assert all("--hash=sha256:" in part for part in re.split(PIN, text)[2::2])
