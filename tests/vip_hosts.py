"""Hosts as the cluster's chart describes them: controller, balancer, ingress and keepalived."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from orchestry.chart import load_chart, merged, render_guarded
from tests.architecture.files import ROOT
from tests.faults.clusters import Hosts
from tests.live import call, until

READY_S = 90.0
SETTLED_S = 60.0
PROBE_TIMEOUT_S = 0.3
PROBE_GAP_S = 0.01
TOKEN = "a-token-of-these-tests-" + "t" * 24
API, INGRESS = "api", "ingress"
CONTROLLER, BALANCER, INGRESS_PROCESS, KEEPALIVED = (
    "controller", "balancer", "ingress", "keepalived")
PROGRAMS = (CONTROLLER, BALANCER, INGRESS_PROCESS, KEEPALIVED)
_ENTERED = r"\({}\) Entering ([A-Z]+) STATE"


class VipHosts:
    """Network namespaces that run what `orchestry chart render` wrote for them."""

    def __init__(self, folder: Path, hosts: Hosts) -> None:
        self.folder = folder
        self.hosts = hosts
        self.numbers = range(1, hosts.count + 1)
        self.vips = {API: hosts.address(100), INGRESS: hosts.address(101)}
        self._running: dict[tuple[int, str], subprocess.Popen[bytes]] = {}

    # -- processes -------------------------------------------------------------------------

    def __enter__(self) -> VipHosts:
        try:
            for number in self.numbers:
                self._render(number)
                self.start(number, CONTROLLER)
            for number in self.numbers:
                until(f"controller of host {number} ready", partial(self._ready, number), READY_S)
                self.start(number, BALANCER, INGRESS_PROCESS, KEEPALIVED)
            self.settle()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        # Nothing of theirs outlives the namespaces, so nobody needs to say goodbye.
        for number in self.numbers:
            self.kill(number, *(p for n, p in list(self._running) if n == number))

    def _ready(self, number: int) -> bool:
        url = f"http://{self.hosts.address(number)}:8001/readyz"
        return call("GET", url, timeout_s=2)[0] == 200

    def _render(self, number: int) -> None:
        """The files of one host; folders of its own, since all hosts share one disk here."""
        out = self.folder / f"h{number}"
        values = {
            "hosts": [{"name": f"h{n}", "address": self.hosts.address(n), "controllers": 1}
                      for n in self.numbers],
            "vip": {"enabled": True, **self.vips},
            "secrets": {"cluster": "a-secret-of-these-tests", "ingressToken": "t" * 32},
            "paths": {"programs": str(Path(sys.executable).parent),
                      "config": str(out / f"h{number}"), "data": str(out / "data")},
        }
        chart = load_chart(ROOT / "helm-like/cluster")
        for path, text in render_guarded(chart, merged(chart.values, values)).items():
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).write_text(text)
        (out / "data/balancer").mkdir(parents=True)

    def start(self, number: int, *programs: str) -> None:
        """Start some of a host's programs, by the lines of their systemd units."""
        files = self.folder / f"h{number}" / f"h{number}"
        for program in programs:
            if program == KEEPALIVED:
                # Files of a dead one's process ids are gone after a restart of a machine.
                for file in files.glob("*.pid"):
                    file.unlink()
                pids = [part for flag in ("-p", "-r", "-c") for part in (
                    flag, str(files / f"keepalived{flag}.pid"))]
                command = ["keepalived", "--vrrp", "-n", "-l", "-D",
                           "-f", str(files / "keepalived.conf"), *pids]
                environ: dict[str, str] = {}
            elif program == CONTROLLER:
                command = [sys.executable, "-m", "api.node"]
                environ = _environment(files / f"controller-{number}.env") | _environment(
                    files / "secrets.env") | {
                        "ORCHESTRY_ENGINE": "fake", "ORCHESTRY_BOOTSTRAP_TOKEN": TOKEN,
                        "CLUSTER_LIMITS_MIN_MEMORY": "4Mi",
                        "RATE_LIMIT_PER_MINUTE": "0", "RATE_LIMIT_PER_HOUR": "0"}
            else:
                unit = (files / f"systemd/orchestry-{program}.service").read_text()
                command = shlex.split(re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)[0])
                environ = _environment(files / "secrets.env")
            self._run(number, program, command, environ)

    def _run(
        self, number: int, program: str, command: list[str], environ: dict[str, str]
    ) -> None:
        keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        path = f"{keep.get('PATH', '')}:/usr/sbin:/sbin"
        with self._log(number, program).open("ab") as log:
            self._running[number, program] = subprocess.Popen(
                ["ip", "netns", "exec", self.hosts.name(number), *command],
                env=keep | environ | {"PATH": path}, cwd=ROOT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)

    def _log(self, number: int, program: str) -> Path:
        return self.folder / f"h{number}-{program}.log"

    def kill(self, number: int, *programs: str) -> None:
        """kill -9 of some of a host's programs, each with all its processes."""
        processes = [self._running.pop((number, program)) for program in programs]
        for process in processes:
            _signal(process.pid, signal.SIGKILL)
        if INGRESS_PROCESS in programs:
            self._kill_orphan(number)
        for process in processes:
            process.wait(10)

    def _kill_orphan(self, number: int) -> None:
        """The ingress's nginx, which outlives its supervisor on purpose."""
        file = self.folder / f"h{number}/data/ingress/group"
        if file.exists():
            _signal(int(file.read_text()), signal.SIGKILL)
            file.unlink()

    def lose(self, number: int) -> None:
        """Power off: everything dies at once, and nothing says goodbye."""
        _ip("link", "set", self.hosts.link(number), "down")
        self.kill(number, *PROGRAMS)
        for vip in self.vips:
            if number in self.holders(vip):
                _ip("-n", self.hosts.name(number), "addr", "del", f"{self.vips[vip]}/24",
                    "dev", "eth0")

    def bring(self, number: int) -> None:
        """Power on."""
        _ip("link", "set", self.hosts.link(number), "up")
        self.start(number, *PROGRAMS)

    @contextmanager
    def cut_off(self, number: int) -> Iterator[None]:
        """A host that reaches no other one, but all clients."""
        self.hosts.cut(number, [n for n in self.numbers if n != number])
        try:
            yield
        finally:
            self.hosts.heal(number)

    # -- what is seen ----------------------------------------------------------------------

    def holders(self, vip: str) -> list[int]:
        """The hosts that have a virtual address."""
        return [number for number in self.numbers if f" {self.vips[vip]}/" in _ip(
            "-n", self.hosts.name(number), "-o", "addr", "show", "dev", "eth0")]

    def holder(self, vip: str) -> int:
        """The one host that has a virtual address."""
        (holder,) = self.holders(vip)
        return holder

    def states(self, number: int, vip: str) -> list[str]:
        """What keepalived of a host said of an address: BACKUP, MASTER or FAULT, in order."""
        text = self._log(number, KEEPALIVED).read_text(errors="replace")
        return re.findall(_ENTERED.format(vip), text)

    def answers(self, vip: str) -> bool:
        """Whether an answer comes through a virtual address, by a new connection.

        Of the ingress any will do: there are no applications.
        """
        url = f"http://{self.vips[vip]}:" + ("8000/readyz" if vip == API else "80/")
        with contextlib.suppress(OSError):
            status = call("GET", url, timeout_s=PROBE_TIMEOUT_S)[0]
            return status == 200 or vip == INGRESS
        return False

    def settle(self) -> None:
        """Both addresses answer, each has one holder, and every host could take over."""
        for vip in self.vips:
            until(f"an answer at the address of the {vip}", partial(self.answers, vip), SETTLED_S)
            until(f"one holder of the {vip}", partial(self._is_calm, vip), SETTLED_S)

    def _is_calm(self, vip: str) -> bool:
        states = sorted("".join(self.states(number, vip)[-1:]) for number in self.numbers)
        return (states == [*["BACKUP"] * (len(self.numbers) - 1), "MASTER"]
                and len(self.holders(vip)) == 1)

    def outage_s(self, vip: str, since_s: float) -> float:
        """How long after a moment the first answer came through a virtual address again."""
        until(f"the address of the {vip} answers", lambda: self.answers(vip), SETTLED_S,
              PROBE_GAP_S)
        return time.monotonic() - since_s


def _ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True,
                          timeout=10).stdout


def _environment(path: Path) -> dict[str, str]:
    """An EnvironmentFile, as systemd reads it."""
    lines = (line for line in path.read_text().splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
