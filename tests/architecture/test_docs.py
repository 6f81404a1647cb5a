"""The pages of the project are whole."""

from __future__ import annotations

import re

from tests.architecture.files import ROOT, name, pages

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FRAGMENT = re.compile(r"[a-z0-9-]+\.(added|changed|fixed|removed)\.md")
BLOCK = re.compile(r"^```(\w*)", re.MULTILINE)
NAMED_TEST = re.compile(r"`(tests/[a-z0-9_/]+(?:\.py)?)(?:::([a-z0-9_]+))?`")
LANGUAGES = {"javascript", "typescript", "shell", "python", "yaml", "text", "json", ""}


def test_links_lead_somewhere() -> None:
    """Every relative link of every page names a file that is there."""
    dead = []
    for page in pages():
        for target in LINK.findall(page.read_text()):
            path = target.partition("#")[0]
            if path and "://" not in path and not (page.parent / path).exists():
                dead.append(f"{name(page)} -> {target}")
    assert not dead


def test_every_decision_is_in_the_index() -> None:
    """docs/adr/README.md links all decisions, and their numbers are unique."""
    index = (ROOT / "docs/adr/README.md").read_text()
    decisions = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    assert decisions
    assert [item for item in decisions if f"({item})" not in index] == []
    numbers = [item[:4] for item in decisions]
    assert len(numbers) == len(set(numbers))


def test_every_page_of_docs_is_linked() -> None:
    """A page that nobody links is a page that nobody reads."""
    texts = {page: page.read_text() for page in pages()}
    lonely = [
        name(page) for page in (ROOT / "docs").rglob("*.md")
        if not any(page.name in text for other, text in texts.items() if other != page)
    ]
    assert not lonely


def test_change_fragments_have_their_form() -> None:
    """changes/<slug>.<added|changed|fixed|removed>.md, one or more sentences each."""
    fragments = [path for path in (ROOT / "changes").iterdir() if path.name != "README.md"]
    wrong = [path.name for path in fragments if not FRAGMENT.fullmatch(path.name)]
    assert not wrong
    assert all(path.read_text().rstrip().endswith(".") for path in fragments)


def test_code_blocks_name_their_language() -> None:
    """The test that runs the README's blocks knows what each one is."""
    wrong = {
        name(page): found
        for page in pages()
        if (found := set(BLOCK.findall(page.read_text())) - LANGUAGES)
    }
    assert not wrong


def test_the_tests_that_a_page_names_exist() -> None:
    """`tests/file.py::test_name` in a page leads somewhere."""
    missing, seen = [], 0
    for page in pages():
        for path, test in NAMED_TEST.findall(page.read_text()):
            seen += 1
            file = ROOT / path
            if not file.exists() or (test and f"def {test}(" not in file.read_text()):
                missing.append(f"{name(page)}: {path}::{test}")
    assert seen
    assert not missing
