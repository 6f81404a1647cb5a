"""The Lua half of the ingress; runs inside nginx."""

from __future__ import annotations

from importlib import resources

PACKAGE = "orchestry_ingress"


def sources() -> dict[str, str]:
    """Every Lua file: its path below nginx's Lua folder, and its text."""
    return {
        f"{PACKAGE}/{file.name}": file.read_text()
        for file in resources.files(__name__).iterdir()
        if file.name.endswith(".lua")
    }
