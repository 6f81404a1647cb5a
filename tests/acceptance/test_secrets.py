"""A secret in a real controller: its value is in no file, log or answer, and outlives restarts."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_node import COMMAND, END_S, environment, gone
from tests.live import call, until
from tests.ports import free_ports

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]

PLAIN = "pa55-never-to-be-seen"
FORMS = tuple(text.encode() for text in (
    PLAIN, base64.b64encode(PLAIN.encode()).decode()[:-4], PLAIN.encode().hex()))
SPEC: dict[str, Any] = {
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "shop"},
    "spec": {"image": "shop:1", "ports": [{"containerPort": 80}], "environment": [
        {"name": "DB", "source": "secret", "key": "shop-db"}]},
}


@contextmanager
def logging_to(log: Path, variables: dict[str, str]) -> Iterator[None]:
    """A node that answers and leads; killed at the end."""
    url = f"http://127.0.0.1:{variables['ORCHESTRY_PORT']}/cluster/health"
    with log.open("ab") as out, subprocess.Popen(
        COMMAND, env=variables, stdout=out, stderr=out, stdin=subprocess.DEVNULL
    ) as process:
        try:
            until("the node leads", lambda: call("GET", url)[0] == 200, END_S)
            yield
        finally:
            process.kill()
            process.wait(END_S)
            gone(variables)


def part_of(api: str) -> tuple[str, str]:
    """Status and reason of the part `secrets`."""
    part = call("GET", f"{api}/health")[1]["components"]["secrets"]
    return part["status"], part["detail"] or ""


def test_the_value_is_nowhere_and_outlives_a_restart(tmp_path: Path) -> None:
    """Journal, snapshot, history, actions, backup, logs, events, answers; and a missing key."""
    port, raft_port = free_ports(2)
    api, log, folder = f"http://127.0.0.1:{port}", tmp_path / "log", tmp_path / "data"
    variables = environment(folder, port, raft_port, ORCHESTRY_LOG_LEVEL="debug")
    keyed = variables | {"ORCHESTRY_SECRETS_KEY": "ab" * 32}
    answers: list[Any] = []

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        found = call(method, f"{api}{path}", body)
        answers.append(found)
        return found[0], found[1]

    with logging_to(log, keyed):
        assert ask("PUT", "/api/v1/secrets/shop-db", {"value": PLAIN})[0] == 200
        assert ask("PUT", "/api/v1/secrets/-wrong", {"value": PLAIN})[0] == 400
        assert ask("POST", "/api/v1/apps/register", SPEC)[0] == 201
        assert ask("POST", "/api/v1/apps/shop/start", {"wait": False})[0] == 200
        until("the replica is there", lambda: len(
            ask("GET", "/api/v1/apps/shop")[1]["containers"]) == 1, END_S)
        assert ask("PUT", "/api/v1/secrets/shop-db", {"value": f"{PLAIN}2"})[1][
            "apps_restarted"] == 1
        for path in ("/api/v1/secrets", "/api/v1/secrets/shop-db", "/api/v1/apps/shop/spec",
                     "/api/v1/events", "/cluster/actions", "/health"):
            assert ask("GET", path)[0] == 200
        done = subprocess.run(
            [*COMMAND[:-1], "cluster", "backup", str(tmp_path / "backup"), "--url", api],
            env=variables, capture_output=True, timeout=END_S, check=True)
        answers.append(done.stdout)
    with logging_to(log, variables):
        until("it is degraded", lambda: part_of(api)[0] == "degraded", END_S)
        assert "ORCHESTRY_SECRETS_KEY" in part_of(api)[1]
        assert ask("PUT", "/api/v1/secrets/shop-db", {"value": PLAIN})[0] == 409
    with logging_to(log, keyed):
        assert part_of(api)[0] == "healthy"
        assert ask("GET", "/api/v1/secrets/shop-db")[1]["version"] == 2
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"log", "backup"} < {path.name for path in files}
    assert len(files) > 4
    assert any(b"SetSecret" in path.read_bytes() for path in files)
    assert [path for path in files if any(form in path.read_bytes() for form in FORMS)] == []
    assert not any(form in repr(answers).encode() for form in FORMS)
