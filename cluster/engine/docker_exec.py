"""Commands in containers by Docker's API: created, started on a connection of their own, looked at.

Docker ends no command because its client has gone: only its input ends.
"""

from __future__ import annotations

import time

from cluster.engine.base import gone
from cluster.engine.docker_api import ApiRefusal, DockerApi, Upgraded
from cluster.engine.execution import ExecOrder, ExecState, Size

RESIZE_TRIES = 10
RESIZE_GAP_S = 0.05
"""A terminal has a size only once its process has begun, which nothing tells."""


def execute(api: DockerApi, container_id: str, order: ExecOrder) -> DockerExecution:
    """Begin a command in a container; raises EngineError, `gone` without the container."""
    terminal = order.terminal is not None
    try:
        made = api.call(
            "exec_create", container_id, list(order.command), stdin=order.stdin, tty=terminal)
        exec_id = str(made["Id"])
        upgraded = api.upgraded(f"/exec/{exec_id}/start", {"Detach": False, "Tty": terminal})
    except ApiRefusal as error:
        raise gone(container_id) if error.status == 404 else error from error
    found = DockerExecution(api, container_id, exec_id, upgraded)
    if order.terminal is not None:
        try:
            found.resize(order.terminal)
        except BaseException:
            upgraded.sock.close()
            found.close()
            raise
    return found


class DockerExecution:
    """One command; thread-safe, but for `sock`."""

    def __init__(
        self, api: DockerApi, container_id: str, exec_id: str, upgraded: Upgraded
    ) -> None:
        self.sock = upgraded.sock
        self.first = upgraded.first
        self._close = upgraded.close
        self._api = api
        self._container_id = container_id
        self._exec_id = exec_id

    def resize(self, size: Size) -> None:
        """Give its terminal another size."""
        for tries in range(RESIZE_TRIES):
            try:
                self._api.call("exec_resize", self._exec_id, height=size.rows, width=size.columns)
                return
            except ApiRefusal:
                if tries and self.state().exit_code is not None:
                    return
            time.sleep(RESIZE_GAP_S)

    def state(self) -> ExecState:
        """How it does."""
        found = {"Running": True}
        try:
            found = self._api.call("exec_inspect", self._exec_id)
        except ApiRefusal as error:
            if error.status != 404:
                raise
            # A daemon that was restarted has forgotten it, and its container may run on.
        try:
            container = self._api.call("inspect_container", self._container_id)
        except ApiRefusal as error:
            raise gone(self._container_id) if error.status == 404 else error from error
        code = None if found["Running"] else found["ExitCode"]
        return ExecState(code, bool(container["State"]["Running"]))

    def close(self) -> None:
        """Let go of the connection."""
        self._close()
