"""The older command line, `orchestry` 1.0.1 as it was published, drives a cluster of ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.architecture.files import ROOT
from tests.live import LiveCluster, app_spec, until

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

VERSION = "1.0.1"
INSTALL_S = 250
COMMAND_S = 60
WAIT_S = 90.0


@pytest.fixture(scope="module")
def program() -> Path:
    """Its executable, in a virtual environment of its own that later runs find again."""
    home = ROOT / ".pytest_cache" / "older-cli" / f"{VERSION}-{sys.version_info.minor}"
    done = home / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True,
                       timeout=INSTALL_S)
        subprocess.run(
            [home / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check",
             f"orchestry=={VERSION}"], check=True, timeout=INSTALL_S)
        done.touch()
    return home / "bin" / "orchestry"


class Older:
    """The older command line, configured for one controller by its own file."""

    def __init__(self, program: Path, home: Path, port: int) -> None:
        self._program = program
        self._home = home
        folder = home / "orchestry"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.yaml").write_text(yaml.safe_dump({"host": "127.0.0.1", "port": port}))

    def __call__(self, *arguments: str) -> str:
        """What it prints; it must succeed."""
        environ = {**os.environ, "XDG_CONFIG_HOME": str(self._home), "HOME": str(self._home)}
        done = subprocess.run(
            [self._program, *arguments], cwd=self._home, env=environ, text=True,
            capture_output=True, timeout=COMMAND_S, check=False)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def document(self, *arguments: str) -> Any:
        """The JSON that it prints, after its own words."""
        text = self(*arguments)
        return json.JSONDecoder().raw_decode(text, text.index("{"))[0]


def test_every_command_through_a_follower(
    program: Path, cluster: LiveCluster, test_app_image: str, tmp_path: Path
) -> None:
    """Register, up, status, scale, list, logs, metrics, spec, events, cluster, down, delete."""
    leader = cluster.led()
    follower = next(node for node in cluster.ids if node != leader)
    older = Older(program, tmp_path, cluster.api_ports[follower])
    spec = {**app_spec("shop", test_app_image), "scaling": {
        "mode": "manual", "minReplicas": 2, "maxReplicas": 5}}
    file = tmp_path / "shop.yml"
    file.write_text(yaml.safe_dump(spec))
    assert older.document("register", str(file))["app"] == "shop"
    assert older.document("up", "shop") == {"status": "started", "app": "shop", "replicas": 2}

    def ready() -> bool:
        found = older.document("status", "shop")
        return bool(found["ready_replicas"] == found["replicas"] == len(found["instances"]) == 2)

    until("the follower knows", ready, WAIT_S)
    text = older("scale", "shop", "3")
    assert "(manual mode)" in text
    assert '"status": "scaled"' in text
    until("three in the list", lambda: [
        (row["name"], row["replicas"]) for row in older.document("list")["apps"]
    ] == [("shop", 3)], WAIT_S)
    assert "(3 container(s))" in until("lines", lambda: older("logs", "shop", "-n", "5"), WAIT_S)
    until("all three run", lambda: older.document("metrics")["apps"] == {
        "total": 1, "running": 1}, WAIT_S)
    assert older.document("metrics", "--name", "shop")["app"] == "shop"
    assert yaml.safe_load(older("spec", "shop", "--raw")) == spec
    assert yaml.safe_load(older("spec", "shop"))["metadata"]["name"] == "shop"
    assert "shop" in {event["app"] for event in older.document("events")["events"]}
    assert older.document("cluster", "status")["leader_id"] == leader
    assert older.document("cluster", "leader")["leader_id"] == leader
    assert older.document("cluster", "health")["status"] == "healthy"
    assert "Running" in older("info")
    assert older.document("down", "shop")["status"] == "stopped"
    assert older.document("delete", "shop", "--force")["status"] == "deleted"
    until("no app", lambda: older.document("list") == {"apps": []}, WAIT_S)
