"""The Python SDK: `Client`, `AsyncClient` and what they raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestry.client.blocking import Client
from orchestry.client.errors import (
    ApiError,
    ClientError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NoLeader,
    NotFound,
    NotReachable,
    RateLimited,
    TimedOut,
)

if TYPE_CHECKING:
    from orchestry.client.asynchronous import AsyncClient as AsyncClient

__all__ = [
    "ApiError",
    "Client",
    "ClientError",
    "Conflict",
    "Forbidden",
    "InvalidRequest",
    "NoLeader",
    "NotFound",
    "NotReachable",
    "RateLimited",
    "TimedOut",
]


def __getattr__(name: str) -> object:
    # Its library is an extra, and takes a while to load.
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from orchestry.client.asynchronous import AsyncClient

    return AsyncClient
