"""Fixtures for every test."""

import signal

import pytest
from hypothesis import settings

from tests import live

live.PRELOADED = True  # the benchmark starts its controllers from nothing
pytest_plugins = ["tests.docker_daemon"]

# How long an example takes is a matter of the machine, not of what it shows.
settings.register_profile("orchestry", deadline=None, print_blob=True)
settings.load_profile("orchestry")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell gives it to what it runs in the background; commands under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = (
    "acceptance/test_schemathesis", "acceptance/test_backup", "acceptance/test_members",
    "acceptance/test_cluster", "faults/test_disks_and_clocks", "acceptance/test_dev",
    "acceptance/test_node_sdk", "acceptance/test_restarts", "faults/test_docker_hosts",
    "faults/test_kills", "faults/test_partitions", "acceptance/test_canary",
    "acceptance/test_images", "acceptance/test_deploys", "acceptance/test_volumes",
    "acceptance/test_runs", "acceptance/test_exec",
    "acceptance/test_raft_processes", "acceptance/test_docker_faults", "acceptance/test_config",
    "acceptance/test_faults", "faults/test_history", "acceptance/test_readme",
    "acceptance/test_upgrade", "acceptance/test_autoscaling",
    "acceptance/test_node", "acceptance/test_followed", "acceptance/test_streams",
    "acceptance/test_tls", "acceptance/test_logs", "acceptance/test_access",
)
"""Files whose tests take long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker does the last of it while others idle."""
    ranks = {name: rank for rank, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(
        f"{item.path.parent.name}/{item.path.stem}", len(ranks)))
