"""tests/pages.toml: every code block of the pages, and how it is known to be right."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.architecture.files import ROOT, name, pages

FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
KINDS = {"run", "file", "spec", "answer", "routes", "settings", "shown"}
OUTSIDE = ("CHANGELOG.md", "changes/", "docs/adr/")
"""What nobody reads to do something."""


@dataclass(frozen=True)
class Entry:
    """A line of the table, with the block that it is about; `code` "" where there is none."""

    page: str
    begins: str
    by: str
    code: str = ""
    of: str = ""
    why: str = ""
    lines: int | None = None
    prints: str = ""
    before: str = ""
    after: str = ""
    change: Mapping[str, str] = field(default_factory=dict)


def read_pages() -> list[str]:
    """The pages by which people do something."""
    return [page for page in map(name, pages()) if not page.startswith(OUTSIDE)]


def fences(page: str) -> list[str]:
    """The text of all code blocks of a page, whatever their language."""
    return [match.group(3) for match in FENCE.finditer((ROOT / page).read_text())]


def table() -> dict[str, list[dict[str, Any]]]:
    """The lines as they stand."""
    return tomllib.loads((ROOT / "tests" / "pages.toml").read_text())


def entries(*ways: str) -> list[Entry]:
    """The blocks that are known to be right in one of these ways."""
    return [
        Entry(page, **line, code=code)
        for page, lines in table().items()
        for line, code in zip(lines, fences(page), strict=True) if line["by"] in ways
    ]
