"""What is known of a command that Docker does not know any more."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

import pytest

from cluster.engine.base import EngineError
from cluster.engine.docker_api import ApiRefusal, Upgraded
from cluster.engine.docker_exec import DockerExecution
from cluster.engine.execution import ExecState

GONE = ApiRefusal("rejected", "no such thing", 404)


class Daemon:
    """Answers as it is told."""

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self._answers = answers

    def call(self, method: str, *_: Any) -> Any:
        """One call."""
        found = self._answers[method]
        if isinstance(found, Exception):
            raise found
        return found


def state(exec_inspect: Any, inspect_container: Any) -> ExecState:
    """How a command does by these answers."""
    with socket.socket() as sock:
        daemon: Any = Daemon(
            {"exec_inspect": exec_inspect, "inspect_container": inspect_container})
        return DockerExecution(daemon, "c", "e", Upgraded(sock, b"", lambda: None)).state()


def test_a_forgotten_command_has_no_exit_code_and_its_replica_is_not_gone() -> None:
    """As after a restart of a daemon that lets containers live."""
    runs = {"State": {"Running": True}}
    assert state({"Running": False, "ExitCode": 3}, runs) == ExecState(3, replica_runs=True)
    assert state({"Running": False, "ExitCode": None}, runs).exit_code is None
    assert state(GONE, runs) == ExecState(None, replica_runs=True)
    with pytest.raises(EngineError) as gone:
        state(GONE, GONE)
    assert gone.value.fault == "gone"
    with pytest.raises(EngineError, match="busy") as other:
        state(ApiRefusal("rejected", "busy", 500), runs)
    assert other.value.fault == "rejected"
