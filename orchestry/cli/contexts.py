"""Contexts: clusters by name, in a file of the user's.

Each has addresses, maybe a token and a file of CAs; one is current and stands in where neither
options nor environment name a cluster.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import click

NAME_CHARACTERS_MAX = 64
CONTEXTS_MAX = 100


class ContextsError(Exception):
    """The file cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Context:
    """One cluster."""

    urls: tuple[str, ...]
    token: str | None = None
    ca_file: str | None = None


@dataclass(slots=True)
class Contexts:
    """What the file holds."""

    current: str | None = None
    known: dict[str, Context] = field(default_factory=dict)

    def active(self) -> Context | None:
        """The current one."""
        return self.known.get(self.current or "")


def path() -> Path:
    """The file, in the user's folder for configuration."""
    return Path(click.get_app_dir("orchestry")) / "contexts.json"


def load() -> Contexts:
    """What the file holds; nothing when there is none.

    Raises:
        ContextsError: it is not what `save` writes.
    """
    file = path()
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        known = {
            str(name): Context(
                tuple(map(str, row["urls"])), row.get("token"), row.get("ca_file"))
            for name, row in found["contexts"].items()
        }
        current = found["current"]
    except FileNotFoundError:
        return Contexts()
    except OSError as error:
        raise ContextsError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ContextsError(f"{file} is damaged; remove it") from None
    return Contexts(current if current in known else None, known)


def save(contexts: Contexts) -> None:
    """Write the file, whole or not at all, readable by the user alone; raises OSError."""
    import tempfile  # which takes as long to load as most of the rest

    file = path()
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({
        "current": contexts.current,
        "contexts": {
            name: {"urls": one.urls, "token": one.token, "ca_file": one.ca_file}
            for name, one in contexts.known.items()},
    }, indent=2)
    # Made with the rights 0600.
    handle, part = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as target:
            target.write(text + "\n")
        Path(part).replace(file)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
