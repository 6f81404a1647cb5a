"""The compose file means the same to docker-compose 1.29 and to docker compose v2."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.images.compose import ROOT, tools

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

LIMIT_S = 120


def read(tool: list[str], env_file: Path) -> Any:
    """The compose file as a tool resolves it; whatever it finds wrong is an error."""
    done = subprocess.run(
        [*tool, "-p", "same", "--env-file", str(env_file), "-f",
         str(ROOT / "docker-compose.cluster.yml"), "config"],
        capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr.lower(), done.stderr
    return yaml.safe_load(done.stdout)


def plain(service: dict[str, Any]) -> dict[str, Any]:
    """What a service is, in the words of neither tool."""
    ports = [(str(one["published"]), one["target"]) if isinstance(one, dict)
             else (one.split(":")[0], int(one.split(":")[1].partition("/")[0]))
             for one in service.get("ports", [])]
    volumes = [(one["source"], one["target"]) if isinstance(one, dict)
               else tuple(one.split(":")[:2]) for one in service.get("volumes", [])]
    networks = {name: (options or {}).get("ipv4_address", "")
                for name, options in service["networks"].items()}
    waits = {name: options["condition"]
             for name, options in service.get("depends_on", {}).items()}
    kept = {name: service.get(name) for name in (
        "image", "command", "cap_drop", "read_only", "restart", "security_opt", "pids_limit",
        "group_add", "logging", "tmpfs", "entrypoint", "user")}
    environment = {name: str(value) for name, value in service.get("environment", {}).items()}
    return {**kept, "ports": ports, "volumes": volumes, "networks": networks, "waits": waits,
            "environment": environment, "check": service.get("healthcheck", {}).get("test"),
            "cpus": float(service["cpus"])}


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    """What `make secrets` writes."""
    made = tmp_path / "env"
    subprocess.run([str(ROOT / "tools" / "secrets.sh"), str(made)], check=True,
                   capture_output=True, timeout=LIMIT_S,
                   env={"PATH": "/usr/bin:/bin", "PUBLIC_HOST": "10.0.0.1",
                        "DOCKER_SOCKET": "/var/run/docker.sock"})
    return made


def test_both_tools_read_the_same(env_file: Path) -> None:
    """Without a word of warning, service by service."""
    found = {name: read(tool, env_file) for name, tool in tools().items()}
    services = {name: {service: plain(one) for service, one in document["services"].items()}
                for name, document in found.items()}
    assert services["1"] == services["2"]
    assert {"controller-1", "controller-2", "controller-3", "api", "ingress", "postgres",
            "redis"} == set(services["2"])
    for document in found.values():
        assert set(document["networks"]) == {"control", "apps"}


def test_both_tools_refuse_what_is_not_set(tmp_path: Path) -> None:
    """Without secrets neither of them starts anything, and both say what to run."""
    empty = tmp_path / "env"
    empty.write_text("")
    for tool in tools().values():
        with pytest.raises(AssertionError, match="run make secrets"):
            read(tool, empty)
