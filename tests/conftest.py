"""Fixtures for every test."""

from hypothesis import settings

from tests import live

live.PRELOADED = True  # the benchmark starts its controllers from nothing
pytest_plugins = ["tests.docker_daemon"]

# How long an example takes is a matter of the machine, not of what it shows.
settings.register_profile("orchestry", deadline=None, print_blob=True)
settings.load_profile("orchestry")
