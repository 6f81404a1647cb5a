"""Throughput of the ingress beside plain nginx with a static upstream, to the same replicas."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.report import Figure, spread
from cluster.ingress.base import Peer, Route
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.ingress_parts import ask, free_port, static_upstreams, table, until

REPLICAS = 4
CONNECTIONS = 64
LOAD_S = 6
HOST = "shop.localhost"


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Both in turn, the same settings but for the routing."""
    ratios, costs = [], []
    home = Path(folder) / "ingress"
    home.mkdir()
    with (
        static_upstreams(home, REPLICAS) as ports, _ours(home, ports) as ours,
        _plain(home, ours, ports) as plain_port,
    ):
        for port in (ours.port, plain_port):
            _load(port, 1)
        for number in range(rounds):
            pair = {}
            order = (ours.port, plain_port) if number % 2 else (plain_port, ours.port)
            for port in order:
                pair[port] = _load(port, LOAD_S)
            ratios.append(pair[ours.port] / pair[plain_port])
            costs.append((pair[ours.port], pair[plain_port]))
    per_s = [statistics.median(values) for values in zip(*costs, strict=True)]
    return [Figure(
        "ingress / plain nginx", statistics.median(ratios), "x", ">= 0.9",
        statistics.median(ratios) >= 0.9,
        f"{spread(ratios)}; {per_s[0]:,.0f}/s and {per_s[1]:,.0f}/s",
    )]


@contextmanager
def _ours(home: Path, ports: list[int]) -> Iterator[LocalNginx]:
    nginx = LocalNginx(home / "ours", free_port(), workers=2)
    nginx.start()
    try:
        peers = tuple(Peer(f"r{number}", "127.0.0.1", port) for number, port in enumerate(ports))
        NginxIngress("n", nginx.endpoint).push(table(1, Route("shop", (HOST,), "/", peers)))
        until(lambda: ask(nginx.port, HOST).status == 200, "the ingress serves")
        yield nginx
    finally:
        nginx.stop(grace_s=1)


@contextmanager
def _plain(home: Path, ours: LocalNginx, ports: list[int]) -> Iterator[int]:
    """The very configuration of the ingress, with the Lua parts taken out."""
    port = free_port()
    text = next((home / "ours").rglob("nginx.conf")).read_text()
    text = re.sub(r"\n[^\n]*_by_lua_block [^\n]*", "", text)
    text = re.sub(r"\n[^\n]*(load_module|lua_shared_dict|lua_package_path)[^\n]*", "", text)
    servers = "".join(f"server 127.0.0.1:{one};" for one in ports)
    text = text.replace("server 0.0.0.1;", servers)
    text = re.sub(r'listen "unix:[^"]*"[^;]*;', f"listen 127.0.0.1:{free_port()};", text)
    text = re.sub(rf'listen "[^"]*:{ours.port}"', f'listen "127.0.0.1:{port}"', text)
    text = text.replace(str(home / "ours"), str(home / "plain"))
    shutil.copytree(home / "ours", home / "plain", ignore=shutil.ignore_patterns("*.sock"))
    config = home / "plain.conf"
    config.write_text(text)
    process = subprocess.Popen(
        ["nginx", "-p", str(home / "plain"), "-c", str(config), "-e", str(home / "plain.log")],
        stderr=subprocess.PIPE, env={**os.environ})
    try:
        until(lambda: _answers(port), "plain nginx serves")
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _answers(port: int) -> bool:
    try:
        return ask(port, HOST).status == 200
    except OSError:
        return False


def _load(port: int, seconds: int) -> float:
    """Answers per second; a failed one ends the measurement."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Host: {HOST}",
         f"http://127.0.0.1:{port}/"],
        capture_output=True, text=True, check=True,
    ).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        raise RuntimeError(done)
    found = re.search(r"Requests/sec:\s*([0-9.]+)", done)
    if found is None:
        raise RuntimeError(done)
    return float(found[1])
