"""Fixtures for every test."""

pytest_plugins = ["tests.docker_daemon"]
