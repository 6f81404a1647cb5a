"""The README's code runs as written, in its order, and prints what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.dev_run import DevRun
from tests.pages import blocks, work_through

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]


def test_make_up_runs_the_demo() -> None:
    """The command of the first block is the one that the other tests run on other ports."""
    recipe = (ROOT / "Makefile").read_text().partition("\nup:")[2].partition("\n\n")[0]
    assert "tools/bootstrap.sh up" in recipe
    assert "orchestry dev --demo --data-dir $(DATA)" in recipe
    for page in ("README.md", "docs/tutorial.md"):
        assert "```shell\nmake up\n```" in (ROOT / page).read_text()


def test_every_block_runs_and_prints_what_the_page_shows(run: DevRun, tmp_path: Path) -> None:
    """In one folder, one after the other, as a reader does."""
    assert [block.language for block in blocks("README.md")] == [
        "shell", "shell", "python", "shell", "shell"]
    run.start("--demo")
    work_through("README.md", run, tmp_path, {"ORCHESTRY_URL": ",".join(run.urls)})
    assert run.stop() == 0, run.story()


@pytest.mark.long
def test_the_tutorial_runs_and_ends_where_it_began(run: DevRun, tmp_path: Path) -> None:
    """Its cluster has a name, its app is scaled by load, and nothing of it is left."""
    assert len(blocks("docs/tutorial.md")) == 10
    run.start("--demo")
    home = tmp_path / "home"
    work_through("docs/tutorial.md", run, tmp_path, {
        "XDG_CONFIG_HOME": str(home), "ORCHESTRY_URL": "", "ORCHESTRY_TOKEN": ""})
    assert run.stop() == 0, run.story()
