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

import docker

from bench.report import Figure, spread
from cluster.engine.docker import DockerEngine
from cluster.ingress.base import Peer, Route
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.images import build_test_app
from tests.ingress_parts import ask, free_port, static_upstreams, table, until

REPLICAS = 4
CONNECTIONS = 64
LOAD_S = 6
HOST = "shop.localhost"


Address = tuple[str, int]


def measure(folder: Path, rounds: int) -> list[Figure]:
    """Both in turn, the same settings but for the routing; to containers, and to bare nginx.

    The latter answers in 5 microseconds, which no app does: it shows the worst case.
    """
    with _containers() as apps:
        figures = [_compare(folder / "apps", rounds, apps, "the app's replicas", ">= 0.9")]
    home = folder / "bare"
    home.mkdir()
    with static_upstreams(home, REPLICAS) as ports:
        bare = [("127.0.0.1", port) for port in ports]
        figures.append(_compare(home / "x", rounds, bare, "replicas that cost nothing", "-"))
    return figures


def _compare(
    home: Path, rounds: int, replicas: list[Address], what: str, goal: str
) -> Figure:
    home.mkdir()
    pairs = []
    with _ours(home, replicas) as ours, _plain(home, ours, replicas) as plain_port:
        for port in (ours.port, plain_port):
            _load(port, 1)
        for number in range(rounds):
            order = (ours.port, plain_port) if number % 2 else (plain_port, ours.port)
            rates = {port: _load(port, LOAD_S) for port in order}
            pairs.append((rates[ours.port], rates[plain_port]))
            print(f"   {pairs[-1][0]:,.0f}/s and {pairs[-1][1]:,.0f}/s", flush=True)
    ratios = [one / other for one, other in pairs]
    per_s = [statistics.median(values) for values in zip(*pairs, strict=True)]
    ratio = statistics.median(ratios)
    return Figure(
        f"ingress / plain nginx, {what}", ratio, "x", goal, goal == "-" or ratio >= 0.9,
        f"{spread(ratios)}; {per_s[0]:,.0f}/s and {per_s[1]:,.0f}/s",
    )


@contextmanager
def _containers() -> Iterator[list[Address]]:
    """Replicas of the test app, each in a container of its own."""
    engine = DockerEngine()
    api = docker.from_env().api
    made: list[str] = []
    try:
        image = build_test_app(engine)
        for _ in range(REPLICAS):
            made.append(str(api.create_container(image)["Id"]))
            api.start(made[-1])
        networks = [api.inspect_container(one)["NetworkSettings"] for one in made]
        addresses = [str(found["Networks"]["bridge"]["IPAddress"]) for found in networks]
        yield [(address, 8080) for address in addresses]
    finally:
        for one in made:
            api.remove_container(one, force=True)
        api.close()
        engine.close()


@contextmanager
def _ours(home: Path, replicas: list[Address]) -> Iterator[LocalNginx]:
    nginx = LocalNginx(home / "ours", free_port(), workers=2)
    nginx.start()
    try:
        peers = tuple(Peer(f"r{n}", *address) for n, address in enumerate(replicas))
        NginxIngress("n", nginx.endpoint).push(table(1, Route("shop", (HOST,), "/", peers)))
        until(lambda: ask(nginx.port, HOST).status == 200, "the ingress serves")
        yield nginx
    finally:
        nginx.stop(grace_s=1)


@contextmanager
def _plain(home: Path, ours: LocalNginx, replicas: list[Address]) -> Iterator[int]:
    """The very configuration of the ingress, with the Lua parts taken out."""
    here = free_port()
    text = next((home / "ours").rglob("nginx.conf")).read_text()
    text = re.sub(r"set_by_lua_block \$peers [^\n]*", "set $peers orchestry_kept;", text)
    text = re.sub(r"\n[^\n]*(_by_lua_block |if \(\$peers)[^\n]*", "", text)
    text = re.sub(r"\n[^\n]*(load_module|lua_shared_dict|lua_package_path)[^\n]*", "", text)
    servers = "".join(f"server {address}:{port};" for address, port in replicas)
    text = text.replace("server 0.0.0.1;", servers)
    text = re.sub(r'listen "unix:[^"]*"[^;]*;', f"listen 127.0.0.1:{free_port()};", text)
    text = re.sub(rf'listen "[^"]*:{ours.port}"', f'listen "127.0.0.1:{here}"', text)
    text = text.replace(str(home / "ours"), str(home / "plain"))
    shutil.copytree(home / "ours", home / "plain", ignore=shutil.ignore_patterns("*.sock"))
    config = home / "plain.conf"
    config.write_text(text)
    process = subprocess.Popen(
        ["nginx", "-p", str(home / "plain"), "-c", str(config), "-e", str(home / "plain.log")],
        stderr=subprocess.PIPE, env={**os.environ})
    try:
        until(lambda: _answers(here), "plain nginx serves")
        yield here
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
