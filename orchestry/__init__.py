"""Orchestry: the Python SDK and the words shared by SDK, controllers and API."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestry.client import AsyncClient as AsyncClient
    from orchestry.client import Client
    from orchestry.errors import OrchestryError
    from orchestry.spec.model import AppSpec

__version__ = "1.0.0"

__all__ = ["AppSpec", "Client", "OrchestryError", "__version__"]

# Found on first use: the HTTP library takes six times longer to load than all of the rest.
_HOMES = {
    "AppSpec": "orchestry.spec.model",
    "AsyncClient": "orchestry.client.asynchronous",
    "Client": "orchestry.client",
    "OrchestryError": "orchestry.errors",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
