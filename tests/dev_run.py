"""`orchestry dev` as a process, for acceptance tests."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live import call, until
from tests.ports import WORKERS_MAX

UP_S = 120.0
DOWN_S = 60.0
CONTROLLERS = 3


def free_block() -> int:
    """The first of ten ports in a row that are free, as are those 1000 above.

    Below the range from which the system takes ports for outgoing connections; tests that run
    side by side have different ones.
    """
    turn = int(os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw") or 0) % WORKERS_MAX
    for _ in range(200):
        # The upper half of each two thousand is for those 1000 above.
        first = random.randrange(20_000, 30_000, 2_000) + 10 * random.randrange(
            turn, 100, WORKERS_MAX)
        ports = [first + more for more in range(10)] + [first + 1000 + more for more in range(3)]
        try:
            for port in ports:
                with socket.create_server(("127.0.0.1", port)):
                    pass
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


class DevRun:
    """One data folder and its ports, on which `orchestry dev` is started and stopped."""

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder / "data"
        self.port = free_block()
        self.ingress_port = self.port + 5
        self.urls = [f"http://127.0.0.1:{self.port + more}" for more in range(CONTROLLERS)]
        self.out, self.err = folder / "out", folder / "err"
        self.process: subprocess.Popen[bytes] | None = None
        self._environ = {**os.environ, **(environ or {})}

    def command(self, *more: str) -> list[str]:
        """The command line."""
        return [
            sys.executable, "-m", "api.dev", "--data-dir", str(self.folder),
            "--port", str(self.port), "--ingress-port", str(self.ingress_port), *more]

    def start(self, *more: str) -> str:
        """Start it, wait until it says that all is up, and return what it printed."""
        with self.out.open("wb") as out, self.err.open("ab") as err:
            self.process = subprocess.Popen(
                self.command(*more), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                env=self._environ, start_new_session=True)

        def up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.story()
            return "Ctrl-C stops all" in self.out.read_text()

        until("orchestry dev is up", up, UP_S)
        return self.out.read_text()

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, where it is expected to refuse."""
        return subprocess.run(
            self.command(*more), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env=self._environ, timeout=UP_S, check=False)

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(DOWN_S)

    def story(self) -> str:
        """The end of all that it said."""
        return (self.out.read_text() + self.err.read_text(errors="replace"))[-4000:]

    def leader(self) -> str:
        """Id of the leader, or "" while there is none."""
        for url in self.urls:
            try:
                status, body, _ = call("GET", f"{url}/cluster/leader", timeout_s=2)
            except OSError:
                continue
            if status == 200:
                return str(body["leader_id"])
        return ""

    def epoch(self) -> int:
        """Of the last leadership that any controller knows of; each one has a greater one."""
        found = 0
        for url in self.urls:
            with contextlib.suppress(OSError):
                found = max(found, call("GET", f"{url}/cluster/status")[1]["term"])
        return found

    def apps(self) -> dict[str, Any]:
        """The apps that the first controller knows, by name."""
        _, body, _ = call("GET", f"{self.urls[0]}/api/v1/apps")
        return {app["name"]: app for app in body["apps"]}

    def pid(self, name: str) -> int:
        """Number of a process that it started, by name."""
        return int((self.folder / "pids" / f"{name}.pid").read_text().split()[0])

    def cluster_id(self) -> str:
        """Id of the cluster in the folder."""
        file = self.folder / "nodes" / "controller-1" / "node.json"
        return str(json.loads(file.read_text())["cluster_id"]) if file.exists() else ""

    def clean_up(self) -> None:
        """Leave nothing behind: processes, containers, volumes, network."""
        from cluster.engine.docker import DockerEngine

        if self.process is not None and self.process.poll() is None:
            try:
                self.stop(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        cluster_id = self.cluster_id()
        if cluster_id:
            engine = DockerEngine(timeout_s=30)
            try:
                engine.purge(cluster_id)
            finally:
                engine.close()
