"""A real PostgreSQL server of one's own, on loopback, that can be killed and come back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ports import free_ports

START_S = 60.0
ENDED_S = 30.0


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(found[-1]) if found else shutil.which(name)
    assert path, f"PostgreSQL is missing: {name}"
    return path


def _runs(pid: int) -> bool:
    """Whether a process has not ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


class Postgres:
    """One server; it refuses root, so it runs as the user postgres when we are root."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.url = f"postgresql://orchestry@127.0.0.1:{port}/orchestry"
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def init(self) -> None:
        """Make the data folder and an empty database."""
        self.folder.mkdir(parents=True)
        if self._user:
            shutil.chown(self.folder, self._user)
        self._run(_program("initdb"), "-D", str(self.folder / "data"), "-U", "orchestry",
                  "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C")
        self.start()
        self._run(_program("createdb"), "-h", "127.0.0.1", "-p", str(self.port), "-U",
                  "orchestry", "orchestry")

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, user=self._user, cwd=self.folder, capture_output=True,
                              text=True, check=False, timeout=60, env={"PATH": os.environ["PATH"]})
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start, and wait until it listens."""
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [_program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
                 "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                 "-c", "max_connections=50"],
                user=self._user, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True)
        until_s = time.monotonic() + START_S
        while time.monotonic() < until_s:
            ready = subprocess.run(
                [_program("pg_isready"), "-h", "127.0.0.1", "-p", str(self.port), "-q"],
                check=False, timeout=10)
            if ready.returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "server.log").read_text())

    def kill(self) -> None:
        """kill -9 of the server and all its processes, which are gone then."""
        children = self._children()
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(ENDED_S)
        self._process = None
        # The next server refuses to start while one of them has the shared memory.
        until_s = time.monotonic() + ENDED_S
        while any(map(_runs, children)):
            assert time.monotonic() < until_s, f"{children} do not end"
            time.sleep(0.02)

    def freeze(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self._process is not None
        # The server's children are sessions of their own: children first, then the parent.
        for pid in (*self._children(), self._process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def _children(self) -> list[int]:
        assert self._process is not None
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self._process.pid)],
                                capture_output=True, text=True, check=False, timeout=10)
        return [int(word) for word in listed.stdout.split()]

    def stop(self) -> None:
        """End, if it runs."""
        if self._process is not None:
            self.kill()


@contextmanager
def postgres(folder: Path) -> Iterator[Postgres]:
    """A server with an empty database, gone at the end; its log stays in `folder`."""
    for parent in folder.parents:  # pytest's folders are for root only
        if parent != Path("/tmp") and os.geteuid() == 0 and str(parent).startswith("/tmp/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    server = Postgres(folder, free_ports(1)[0])
    try:
        server.init()
        yield server
    finally:
        server.stop()
