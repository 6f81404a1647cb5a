"""Fixtures for every test."""

import signal

import pytest
from hypothesis import HealthCheck, settings

from tests import live

live.PRELOADED = True  # the benchmark starts its controllers from nothing
pytest_plugins = ["tests.docker_daemon"]

# How long an example takes is a matter of the machine, not of what it shows.
settings.register_profile(
    "orchestry", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("orchestry")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell gives it to what it runs in the background; commands under test would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SLOW = (
    "acceptance/test_schemathesis", "acceptance/test_restarts", "acceptance/test_dev",
    "acceptance/test_images", "acceptance/test_cli_contract", "acceptance/test_backup",
    "acceptance/test_cluster", "faults/test_disks_and_clocks", "acceptance/test_runs",
    "faults/test_history", "acceptance/test_raft_processes", "acceptance/test_docker_faults",
    "acceptance/test_volumes", "acceptance/test_exec", "acceptance/test_node",
    "acceptance/test_deploys", "acceptance/test_secret_traces", "acceptance/test_chart_tls",
    "acceptance/test_members", "acceptance/test_config", "faults/test_kills",
    "faults/test_partitions", "acceptance/test_docker_logs", "acceptance/test_node_sdk",
    "acceptance/test_readme", "acceptance/test_canary", "acceptance/test_faults",
    "acceptance/test_followed", "acceptance/test_upgrade", "faults/test_docker_hosts",
    "acceptance/test_api_balancer", "acceptance/test_older_cli", "acceptance/test_streams",
    "acceptance/test_autoscaling", "acceptance/test_access", "acceptance/test_tls",
    "acceptance/test_logs",
)
"""Files whose tests take long, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no worker does the last of it while others idle."""
    ranks = {name: rank for rank, name in enumerate(SLOW)}
    items.sort(key=lambda item: ranks.get(
        f"{item.path.parent.name}/{item.path.stem}", len(ranks)))
