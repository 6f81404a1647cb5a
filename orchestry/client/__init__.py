"""The Python SDK: `Client` and what it raises."""

from orchestry.client.calls import Client
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
