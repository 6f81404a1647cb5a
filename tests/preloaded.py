"""Controllers that are forked from a process which has imported everything already.

Most of what a controller does while it starts is to import; a build starts hundreds of them.
What is forked is a controller like any other: a process of its own session, with its own
environment and log. How one starts from nothing is shown by the tests that run
`orchestry node` itself, by the benchmark, and by the images.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

POLL_S = 0.01
_lock = Lock()
_nursery: tuple[socket.socket, subprocess.Popen[bytes]] | None = None


class Forked:
    """One controller, with what tests use of `subprocess.Popen`."""

    def __init__(
        self, command: Sequence[str], environ: Mapping[str, str], log: Path, host: str = "",
    ) -> None:
        """`command` is a module and the arguments of its `main`, `host` a network namespace."""
        self.pid: int = _ask({
            "command": command, "environ": dict(environ), "log": str(log), "host": host})
        self.returncode: int | None = None
        self._polling = Lock()

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        with self._polling:  # one who asks after its end was told would ask of a stranger
            if self.returncode is None:
                self.returncode = _ask({"poll": self.pid})
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        deadline_s = time.monotonic() + (timeout or 1e9)
        while (found := self.poll()) is None:
            if time.monotonic() > deadline_s:
                raise subprocess.TimeoutExpired("api.node", timeout or 0)
            time.sleep(POLL_S)
        return found

    def send_signal(self, number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _ask(question: dict[str, Any]) -> Any:
    """Of the process with the imports, which lives as long as this one."""
    global _nursery
    with _lock:
        if _nursery is None:
            ours, theirs = socket.socketpair()
            with theirs:
                _nursery = ours, subprocess.Popen(
                    [sys.executable, "-m", "tests.preloaded"], stdin=theirs.fileno(),
                    cwd=Path(__file__).parents[1], start_new_session=True)
        _nursery[0].sendall(json.dumps(question).encode() + b"\n")
        with _nursery[0].makefile("rb", buffering=0) as lines:
            answer = lines.readline()
    if not answer:
        raise AssertionError("the process that controllers are forked from has died")
    return json.loads(answer)


def _serve(tests: socket.socket) -> None:
    """Fork and watch until the tests end; controllers that run then stay, as always."""
    with tests.makefile("rb") as lines:
        for line in lines:
            question = json.loads(line)
            answer = (_ended(question["poll"]) if "poll" in question
                      else _fork(question, tests))
            tests.sendall(json.dumps(answer).encode() + b"\n")


def _ended(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _fork(question: dict[str, Any], tests: socket.socket) -> int:
    """The number of the new process, which leads a group of its own from now on."""
    leads, led = os.pipe()
    pid = os.fork()
    if pid:
        os.close(led)
        with open(leads, "rb") as end:
            end.read()
        return pid
    code = 1
    try:
        os.setsid()
        os.close(leads)
        os.close(led)
        tests.close()
        log = os.open(question["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(log, 1)
        os.dup2(log, 2)
        if question["host"]:
            _enter(question["host"])
        os.environ.clear()
        os.environ.update(question["environ"])
        module, *arguments = question["command"]
        code = import_module(module).main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _enter(host: str) -> None:
    """Go on in a network namespace that has a name."""
    there = os.open(f"/run/netns/{host}", os.O_RDONLY)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(there, 0):
            raise OSError(ctypes.get_errno(), f"cannot enter {host}")
    finally:
        os.close(there)


if __name__ == "__main__":
    for name in ("alembic.autogenerate", "psycopg2", "api.node", "api.server",
                 "cluster.controller"):
        import_module(name)
    connection = socket.socket(fileno=os.dup(0))
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)
    _serve(connection)
