"""Fixtures of the contract suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contract.engine_hosts import docker_host, host
from tests.redis_server import RedisServer, redis_server

__all__ = ["docker_host", "host"]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis of this module."""
    with redis_server(tmp_path_factory.mktemp("redis")) as found:
        yield found
