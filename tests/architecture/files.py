"""The files that the architecture tests read."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("orchestry", "cluster", "api")
FOLDERS = (*PACKAGES, "tests", "bench", "tools", "sdk")


def sources(*suffixes: str, folders: tuple[str, ...] = FOLDERS) -> list[Path]:
    """All source files with one of the suffixes, in a fixed order."""
    return sorted(
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in suffixes and not {"__pycache__", "node_modules"} & set(path.parts)
    )


def pages() -> list[Path]:
    """All Markdown pages of the project."""
    folders = ("docs", "changes", "helm-like", "sdk")
    return sorted([
        *ROOT.glob("*.md"),
        *(path for folder in folders for path in (ROOT / folder).rglob("*.md")),
    ])


def name(path: Path) -> str:
    """A path as people write it."""
    return str(path.relative_to(ROOT))
