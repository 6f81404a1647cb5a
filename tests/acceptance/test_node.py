"""`orchestry node` as a process: settings, ports, data folders, exit codes, rude clients."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live import call, until, until_free
from tests.ports import free_ports

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

END_S = 60.0
COMMAND = [sys.executable, "-m", "orchestry.cli", "node"]


def environment(folder: Path, port: int, raft_port: int, **more: str) -> dict[str, str]:
    """Settings of one controller that needs no Docker, and nothing else of ours."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return plain | {
        "ORCHESTRY_ENGINE": "fake", "ORCHESTRY_PORT": str(port),
        "ORCHESTRY_DATA_DIR": str(folder), "CLUSTER_RAFT_PORT": str(raft_port),
    } | more


def gone(variables: dict[str, str]) -> None:
    """Wait until a killed node's ports are free: its worker dies a moment later."""
    until_free(int(variables["ORCHESTRY_PORT"]), int(variables["CLUSTER_RAFT_PORT"]),
               timeout_s=END_S)


def ended(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A node that is expected to end by itself."""
    return subprocess.run(
        [*COMMAND, *arguments], env=variables, capture_output=True, text=True, timeout=END_S,
        check=False,
    )


@contextmanager
def running(variables: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A node that answers; killed at the end if the test has not stopped it, with its worker."""
    process = subprocess.Popen(
        COMMAND, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{variables['ORCHESTRY_PORT']}/readyz"
        until("the node is ready", lambda: call("GET", url)[0] == 200, END_S)
        yield process
    finally:
        process.kill()
        process.wait(END_S)
        gone(variables)


def test_print_config_shows_values_and_sources(tmp_path: Path) -> None:
    """Environment beats file beats default, each with its source, and the secret is masked."""
    file = tmp_path / "node.yaml"
    file.write_text("CONTROLLER_NODE_ID: from-file\nORCHESTRY_PORT: 8123\n")
    variables = environment(tmp_path / "data", 8124, 8125, CLUSTER_SECRET="not to be shown")
    done = ended(variables, "--config", str(file), "--print-config", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (rows["ORCHESTRY_PORT"]["value"], rows["ORCHESTRY_PORT"]["source"]) == (
        "8124", "environment")
    assert (rows["CONTROLLER_NODE_ID"]["value"], rows["CONTROLLER_NODE_ID"]["source"]) == (
        "from-file", str(file))
    assert rows["CLUSTER_LEASE_TTL"]["source"] == "default"
    assert all(row["doc"] for row in rows.values())
    table = ended(variables, "--print-config").stdout
    assert set(rows) == {line.split()[0] for line in table.splitlines()}
    assert "not to be shown" not in done.stdout + table
    assert not (tmp_path / "data").exists()


def test_wrong_settings_end_with_2_and_all_faults(tmp_path: Path) -> None:
    """Every fault is one line that names setting and source; nothing is started."""
    file = tmp_path / "node.yaml"
    file.write_text("CLUSTER_NAME: blue\n")
    variables = environment(
        tmp_path / "data", 8124, 8125, ORCHESTRY_LOG_LEVEL="loud", CLUSTER_TYPO="1")
    done = ended(variables, "--config", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    for name, source in (
        ("ORCHESTRY_LOG_LEVEL", "environment"), ("CLUSTER_TYPO", "environment"),
        ("CLUSTER_NAME", str(file)),
    ):
        assert any(f"{name} ({source})" in line for line in lines), (name, lines)
    assert not (tmp_path / "data").exists()


def test_missing_file_and_unknown_option(tmp_path: Path) -> None:
    """A file that is not there and an option that is none end with 2, without a trace."""
    variables = environment(tmp_path / "data", 8124, 8125)
    missing = ended(variables, "--config", str(tmp_path / "none.yaml"))
    assert missing.returncode == 2
    assert "none.yaml" in missing.stderr
    unknown = ended(variables, "--bogus")
    assert unknown.returncode == 2
    assert "--bogus" in unknown.stderr
    assert "Traceback" not in missing.stderr + unknown.stderr


def test_secret_is_mandatory_off_loopback(tmp_path: Path) -> None:
    """A peer that is not on this machine needs the shared secret; the message says so."""
    variables = environment(
        tmp_path / "data", 8124, 8125, CLUSTER_PEERS="controller-1=192.0.2.1:8125,"
        "controller-2=192.0.2.2:8125,controller-3=192.0.2.3:8125")
    done = ended(variables)
    assert done.returncode == 2
    assert "CLUSTER_SECRET" in done.stderr


@pytest.mark.parametrize("which", ["ORCHESTRY_PORT", "CLUSTER_RAFT_PORT"])
def test_port_taken(which: str, tmp_path: Path) -> None:
    """A port that somebody else holds ends the node with 1 and one line that says what to set."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port, raft_port = free_ports(2)
        variables = environment(
            tmp_path, port, raft_port, CLUSTER_PEERS="controller-2=127.0.0.1:1")
        variables[which] = str(taken.getsockname()[1])
        done = ended(variables)
    assert done.returncode == 1, done.stderr
    assert which in done.stderr
    assert variables[which] in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "Traceback" not in done.stderr


def test_data_folder_of_another_node(tmp_path: Path) -> None:
    """A folder remembers its node; another id on it is refused, its own goes on."""
    port, raft_port = free_ports(2)
    variables = environment(tmp_path, port, raft_port)
    with running(variables) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_S) == 0
    done = ended({**variables, "CONTROLLER_NODE_ID": "other"})
    assert done.returncode == 1, done.stderr
    assert "controller-1" in done.stderr
    assert "ORCHESTRY_DATA_DIR" in done.stderr
    assert "Traceback" not in done.stderr
    with running(variables) as process:
        in_use = ended({**variables, "ORCHESTRY_PORT": str(free_ports(1)[0]),
                        "CLUSTER_RAFT_PORT": str(free_ports(1)[0])})
        assert process.poll() is None
    assert in_use.returncode == 1, in_use.stderr
    assert str(tmp_path) in in_use.stderr
    assert "Traceback" not in in_use.stderr


def test_one_node_keeps_its_state(tmp_path: Path) -> None:
    """What was registered is there after a clean stop, and after kill -9."""
    port, raft_port = free_ports(2)
    variables = environment(tmp_path, port, raft_port)
    url = f"http://127.0.0.1:{port}/api/v1/apps"
    spec = {"apiVersion": "v1", "kind": "App", "metadata": {"name": "kept"},
            "spec": {"type": "http", "image": "x", "ports": [{"containerPort": 80}]}}
    with running(variables):
        assert call("POST", f"{url}/register", spec)[0] == 201
    with running(variables) as process:
        assert [app["name"] for app in call("GET", url)[1]["apps"]] == ["kept"]
        process.send_signal(signal.SIGINT)
        assert process.wait(END_S) == 0
    with running(variables):
        status, body, _ = call("GET", f"http://127.0.0.1:{port}/cluster/health")
        assert (status, body["clustering"], body["is_leader"]) == (200, "disabled", True)
        assert call("GET", url)[1]["total"] == 1
