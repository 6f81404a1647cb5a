"""The package of the Node client as users get it: packed, installed, typed, its page run."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.files import ROOT
from tests.live import LiveCluster

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

SDK = ROOT / "sdk" / "node"
BLOCK = re.compile(r"^```javascript\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TYPED_BLOCK = re.compile(r"^```typescript\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SEED_URL = "http://localhost:8000"
# Exact, so that the check means the same on each machine.
TYPESCRIPT = ("typescript@5.9.3", "@types/node@18.19.130")
PROGRAM_S = 120
SPEC = {
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "my-app"},
    "spec": {"image": "web:1", "ports": [{"containerPort": 80}]},
}


def run(folder: Path, *program: str, environ: dict[str, str] | None = None) -> str:
    """What a program prints; it must succeed."""
    done = subprocess.run(
        program, cwd=folder, env={**os.environ, **(environ or {})}, text=True,
        capture_output=True, timeout=PROGRAM_S, check=False)
    assert done.returncode == 0, f"{program}\n{done.stdout}{done.stderr}"
    return done.stdout


def npm(folder: Path, *arguments: str) -> str:
    """npm, without what it would tell its makers."""
    return run(folder, "npm", *arguments, "--no-audit", "--no-fund", "--no-update-notifier")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user's, with the packed client and nothing else installed."""
    folder = tmp_path_factory.mktemp("user")
    (packed,) = json.loads(npm(SDK, "pack", "--json", "--pack-destination", str(folder)))
    (folder / "package.json").write_text(json.dumps({"name": "user", "private": True}))
    npm(folder, "install", "--offline", f"./{packed['filename']}")
    return folder


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveCluster]:
    """One controller without Docker, where the images of specs need not exist."""
    folder = tmp_path_factory.mktemp("cluster")
    with LiveCluster(folder, size=1, engine="fake", ingress=False) as live:
        yield live


def test_the_package_holds_what_it_needs_and_no_more(installed: Path) -> None:
    """Code, types, page and license; no tests; nothing else was installed."""
    package = installed / "node_modules" / "orchestry-client"
    held = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    modules = {
        str(path.relative_to(SDK)) for path in (SDK / "src").rglob("*") if path.is_file()}
    assert held == modules | {
        "index.js", "index.mjs", "index.d.ts", "index.d.mts", "package.json", "README.md",
        "LICENSE"}
    assert (package / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    visible = [path for path in (installed / "node_modules").iterdir() if path.name[0] != "."]
    assert visible == [package]


def page() -> list[str]:
    """The programs of the client's page, but for that of tests/acceptance/test_exec.py."""
    found = BLOCK.findall((SDK / "README.md").read_text())
    return [code for code in found if "execApp" not in code]


def program(blocks: list[str], url: str) -> str:
    """Blocks of the page as one program; the first has the address."""
    assert SEED_URL in blocks[0]
    first, rest = blocks[0].replace(SEED_URL, url), "\n".join(blocks[1:])
    require, _, body = first.partition("\n")
    return f"{require}\n(async () => {{\n{body}\n{rest}\n}})();\n"


def test_the_page_runs_as_written(installed: Path, cluster: LiveCluster) -> None:
    """All its blocks, with only the address changed, as CommonJS and as an ES module."""
    (installed / "app.json").write_text(json.dumps(SPEC))
    url = cluster.url(cluster.ids[0])
    wanted = ["App is running with 3 replicas", "Application registered", "APP_NOT_FOUND 404"]
    (installed / "page.js").write_text(program(page(), url))
    assert run(installed, "node", "page.js").splitlines() == wanted
    assert cluster.write("DELETE", "/api/v1/apps/my-app?force=true")[0] == 200
    require = "const Orchestry = require('orchestry-client');"
    assert page()[0].startswith(require)
    module = page()[0].replace(SEED_URL, url).replace(
        require, "import Orchestry, { NotFound, Orchestry as Same } from 'orchestry-client';"
    ).replace("require('./app.json')", json.dumps(SPEC))
    checks = "if (Same !== Orchestry || Orchestry.NotFound !== NotFound) throw new Error();\n"
    (installed / "page.mjs").write_text(module + page()[2] + checks)
    assert run(installed, "node", "page.mjs").splitlines() == [wanted[0], wanted[2]]


def test_the_types_are_right(installed: Path) -> None:
    """TypeScript takes right uses from both kinds of modules, and refuses wrong ones."""
    npm(installed, "install", "--no-save", *TYPESCRIPT)
    sources = sorted((SDK / "acceptance" / "types").iterdir())
    assert len(sources) == 2
    typed = installed / "typed"
    typed.mkdir()
    (typed / "package.json").write_text(json.dumps({"type": "module"}))
    for source in sources:
        (typed / source.name).write_text(source.read_text())
    (shown,) = TYPED_BLOCK.findall((SDK / "README.md").read_text())
    (typed / "page.ts").write_text(shown)
    run(installed, "node_modules/.bin/tsc", "--noEmit", "--strict", "--target", "es2022",
        "--module", "node16", "typed/page.ts", *(f"typed/{source.name}" for source in sources))
