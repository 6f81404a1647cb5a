"""No page has a code block of which nobody knows whether it is right."""

from __future__ import annotations

import re

import pytest

from tests.architecture.files import ROOT
from tests.page_table import KINDS, Entry, fences, read_pages, table

PAGES = read_pages()
HOW = "every code block has a line in tests/pages.toml that says how it is known to be right"


def test_every_page_with_code_is_in_the_table() -> None:
    """And none that is not there."""
    assert "README.md" in PAGES
    assert sorted(table()) == [page for page in PAGES if fences(page)]


@pytest.mark.parametrize("page", [page for page in PAGES if fences(page)])
def test_every_block_is_in_the_table(page: str) -> None:
    """In the order of the page; else the line after the last one that fits is wrong."""
    blocks, lines = fences(page), table().get(page, [])
    fits = [
        (line["begins"] if block.startswith(line["begins"]) else f"not {block[:40]!r}")
        for line, block in zip(lines, blocks, strict=False)]
    assert fits == [line["begins"] for line in lines], HOW
    assert len(blocks) == len(lines), f"{HOW}: {blocks[len(lines):]}"


@pytest.mark.parametrize("page", sorted(table()))
def test_how_is_one_of_the_ways(page: str) -> None:
    """A test that exists, a way that is known, or a reason."""
    for line in table()[page]:
        entry = Entry(page, **line)
        assert bool(entry.why) == (entry.by == "shown"), line
        assert bool(entry.of) == (entry.by in ("answer", "file")), line
        if entry.by not in KINDS:
            file, _, test = entry.by.partition("::")
            assert re.search(rf"^def {re.escape(test)}\(", (ROOT / file).read_text(), re.M), line
