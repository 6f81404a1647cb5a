"""connect: clients of Redis that never wait for long; door of `redis`."""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

TIMEOUT_S = 0.2
"""Redis answers within a millisecond or two; what takes longer is taken for lost."""
CONNECTIONS_MAX = 256
"""More than a controller has threads."""


def connect(url: str, *, timeout_s: float = TIMEOUT_S) -> redis.Redis:
    """A client that gives each step `timeout_s`, and each command one try."""
    return redis.Redis.from_url(
        url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0), protocol=2, max_connections=CONNECTIONS_MAX,
        health_check_interval=0,
    )


def key(cluster_id: str, *parts: str) -> str:
    """The name of something of one cluster: several may share a Redis."""
    return ":".join(("orchestry", cluster_id, *parts))


def reason(error: Exception) -> str:
    """Why a command failed, in one short line."""
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
