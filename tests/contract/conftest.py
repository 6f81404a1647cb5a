"""Fixtures of the contract suites."""

from tests.contract.engine_hosts import docker_host, host

__all__ = ["docker_host", "host"]
