"""The generated pages are what their generators write today."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["cli", "configuration", "errors"])
def test_page_is_current(name: str) -> None:
    """docs/<name>.md equals what tools/gen_<name>.py writes."""
    made = runpy.run_path(str(ROOT / "tools" / f"gen_{name}.py"))
    page = (ROOT / "docs" / f"{name}.md").read_text()
    assert page == made["page"](), f"run `python tools/gen_{name}.py`"
