"""A Docker daemon for the tests: the one that runs, one started for the run, or a private one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from cluster.engine.base import EngineError
from cluster.engine.docker import DockerEngine
from tests.images import build_test_app, shell

TOOL = Path(__file__).parents[1] / "tools" / "dockerd.sh"
PID_FILE = Path(os.environ.get("ORCHESTRY_DOCKERD_DIR", "/var/tmp/orchestry-dockerd")) / "pid"
DEADLINE_S = 90
DAEMONS_MAX = 16

_had_pid_file = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Remember whether a daemon of ours ran before the tests."""
    config.stash[_had_pid_file] = PID_FILE.exists()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the daemon that this run started; xdist's workers leave that to their parent."""
    if hasattr(config, "workerinput") or config.stash[_had_pid_file]:
        return
    subprocess.run([str(TOOL), "stop"], check=False, timeout=DEADLINE_S)


@pytest.fixture(scope="session")
def docker_socket() -> str:
    """The URL of a Docker daemon that answers."""
    started = subprocess.run(
        [str(TOOL), "start"], check=False, timeout=DEADLINE_S, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    assert started.returncode == 0, started.stderr
    return os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


@pytest.fixture(scope="session")
def test_app_image(docker_socket: str) -> Iterator[str]:
    """The tag of the test app's image, built when it is missing."""
    engine = DockerEngine(base_url=docker_socket, timeout_s=30)
    try:
        yield build_test_app(engine)
    finally:
        engine.close()


@pytest.fixture(scope="module")
def engine(docker_socket: str) -> Iterator[DockerEngine]:
    """That daemon, to look behind a cluster's back."""
    found = DockerEngine(base_url=docker_socket, timeout_s=30)
    yield found
    found.close()


@pytest.fixture(scope="session")
def test_shell_image(docker_socket: str, test_app_image: str) -> Iterator[str]:
    """The tag of the test app's image with the programs of busybox, built when it is missing."""
    engine = DockerEngine(base_url=docker_socket, timeout_s=30)
    try:
        yield shell.build(engine, test_app_image)
    finally:
        engine.close()


class PrivateDaemon:
    """A dockerd of its own, on its own data, socket and address range, to be ill-treated.

    A free number N is found by the creation of the bridge; the addresses are 10.212.N.0/24 and
    16 networks from 10.213.16 N on.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self._options = options
        self.url = f"unix://{folder}/docker.sock"
        self._number = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def _bridge(self) -> str:
        """With `--bridge none` it would remove the docker0 of the host's own daemon."""
        return f"orcd{self._number}"

    def _make_bridge(self) -> None:
        for self._number in range(1, DAEMONS_MAX):
            made = subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"],
                                  check=False, capture_output=True, timeout=DEADLINE_S)
            if made.returncode == 0:
                subprocess.run(["ip", "address", "add", f"10.212.{self._number}.1/24", "dev",
                                self._bridge], check=True, timeout=DEADLINE_S)
                return
        raise AssertionError(made.stderr.decode())

    def start(self) -> None:
        """Start it and wait until it answers."""
        pool: list[str] = []
        if not self._number:
            self._make_bridge()
            # At a second start a daemon with a pool would remove the docker0 of the host's own.
            pool = ["--default-address-pool", f"base=10.213.{16 * self._number}.0/20,size=24"]
        # Left behind by kill(): a number that lives on as a zombie would be waited for.
        (self.folder / "pid").unlink(missing_ok=True)
        (self.folder / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    "dockerd", "--data-root", f"{self.folder}/data",
                    "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid",
                    "--host", self.url, "--bridge", self._bridge, "--iptables=false",
                    *pool, *self._options,
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        engine = DockerEngine(base_url=self.url, timeout_s=5)
        deadline_s = time.monotonic() + DEADLINE_S
        try:
            while True:
                try:
                    engine.info()
                    return
                except EngineError:
                    assert self._process.poll() is None, (self.folder / "log").read_text()
                    assert time.monotonic() < deadline_s, "the private dockerd is not ready"
                time.sleep(0.1)
        finally:
            engine.close()

    def freeze(self) -> None:
        """SIGSTOP: it accepts connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: its containers and their shims live on."""
        self._signal(signal.SIGKILL)
        self._wait()

    def stop(self) -> None:
        """End it and its containers; a daemon already gone is fine."""
        if self._process is not None:
            self.thaw()
            self._signal(signal.SIGTERM)
            self._wait()
        self._clear_up()

    def _clear_up(self) -> None:
        """End what the daemon left behind: containers, their shims, mounts and bridges."""
        socket = f"{self.folder}/exec/containerd/containerd.sock".encode()
        shims = {
            process.name for process in Path("/proc").glob("[0-9]*")
            if socket in _read(process / "cmdline").split(b"\0")
        }
        # A container's first process outlives its shim, so both have to be ended.
        ours = shims | {
            process.name for process in Path("/proc").glob("[0-9]*")
            if _read(process / "stat").rpartition(b")")[2].split()[1:2]
            in [[shim.encode()] for shim in shims]
        }
        for pid in ours:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        networks = _read(self.folder / "data" / "network" / "files" / "local-kv.db")
        bridges = [
            link.name for link in Path("/sys/class/net").glob("br-*")
            if link.name.removeprefix("br-").encode() in networks
        ]
        for bridge in (self._bridge, *bridges):
            subprocess.run(["ip", "link", "delete", bridge], check=False, timeout=DEADLINE_S)
        mounts = Path("/proc/self/mounts").read_text().splitlines()
        for mount in reversed([line.split()[1] for line in mounts]):
            if mount.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "--lazy", mount], check=False, timeout=DEADLINE_S)

    def _signal(self, which: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(which)

    def _wait(self) -> None:
        assert self._process is not None
        self._process.wait(timeout=DEADLINE_S)
        self._process = None


def _read(file: Path) -> bytes:
    """A file's content; empty when it, or its process, is gone."""
    try:
        return file.read_bytes()
    except OSError:
        return b""
