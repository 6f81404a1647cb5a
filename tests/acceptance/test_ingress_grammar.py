"""Whatever a spec may say of hosts and paths: nginx takes it as data, and its file stays."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.ingress.base import Route
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from cluster.state.addresses import addresses
from orchestry.spec import grammar
from orchestry.spec.parse import parse_app
from orchestry.spec.tables import HOSTS_MAX
from tests.bad_input import BASE
from tests.ingress_parts import raw, running_nginx, table

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]
EXAMPLES = 60
WORDS = ("server", "location", "include", "lua", "return", "rewrite", "localhost", "proxy-pass")


def accepts(check: grammar.Grammar, text: str) -> bool:
    """Whether a grammar takes a text."""
    try:
        return check(text) == text
    except ValueError:
        return False


_label = st.one_of(
    st.sampled_from(WORDS), st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True))
HOSTS = st.lists(_label, min_size=1, max_size=6).map(".".join).filter(
    lambda text: accepts(grammar.host, text))
PATHS = st.one_of(
    st.just("/"), st.from_regex(r"(/[A-Za-z0-9._~-]{1,40}){1,8}/?", fullmatch=True),
    st.just("/" + "a" * (grammar.INGRESS_PATH_CHARACTERS_MAX - 1)),
).filter(lambda text: accepts(grammar.ingress_path, text))


@pytest.fixture(scope="module")
def nginx() -> Iterator[LocalNginx]:
    """An ingress without routes."""
    with running_nginx(workers=1) as running:
        yield running


def test_every_address_of_a_spec_is_served_and_is_no_configuration(nginx: LocalNginx) -> None:
    """Each accepted host and path is a route that requests find; nginx.conf is not written."""
    file = nginx.directory / "nginx.conf"
    before, written = file.read_bytes(), file.stat().st_mtime_ns
    ingress, versions = NginxIngress("n", nginx.endpoint), count(1)
    served = 0

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(HOSTS, min_size=1, max_size=4, unique=True), PATHS)
    def run(hosts: list[str], path: str) -> None:
        nonlocal served
        spec = parse_app({**BASE, "spec": {
            **BASE["spec"], "ingress": {"hosts": hosts, "path": path}}})
        assert len(addresses(spec, "localhost")) == len(hosts)
        route = Route(spec.name, spec.ingress.hosts, spec.ingress.path, ())
        ingress.push(table(next(versions), route))
        for host in hosts:
            # Without a replica the route is found, and answers so; anything else is a 404.
            answer = raw(nginx.port, (f"GET {path} HTTP/1.1\r\nHost: {host}\r\n"
                                      "Connection: close\r\n\r\n").encode())
            assert answer.startswith(b"HTTP/1.1 503 "), (host, path, answer[:200])
            served += 1
        beside = f"GET {path} HTTP/1.1\r\nHost: x-{hosts[0]}x\r\nConnection: close\r\n\r\n"
        assert raw(nginx.port, beside.encode()).startswith(b"HTTP/1.1 404 ")

    run()
    assert served >= EXAMPLES
    assert (file.read_bytes(), file.stat().st_mtime_ns) == (before, written)
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    assert program
    check = subprocess.run(
        [program, "-t", "-p", str(nginx.directory), "-c", str(file), "-e", "stderr"],
        capture_output=True, text=True, check=False, timeout=60)
    assert check.returncode == 0, check.stderr


def test_the_largest_app_fits(nginx: LocalNginx) -> None:
    """As many hosts as a spec may have, each as long as it may be: the ingress takes them."""
    label = "a" * grammar.NAME_CHARACTERS_MAX
    hosts = [f"{number:02d}{label[2:]}.{label}.{label}.{label[2:]}" for number in range(HOSTS_MAX)]
    assert len(hosts[0]) == grammar.HOST_CHARACTERS_MAX
    path = "/" + "b" * (grammar.INGRESS_PATH_CHARACTERS_MAX - 1)
    spec = parse_app({**BASE, "spec": {
        **BASE["spec"], "ingress": {"hosts": hosts, "path": path}}})
    ingress = NginxIngress("n", nginx.endpoint)
    state = ingress.push(table(10_000, Route(spec.name, spec.ingress.hosts, path, ())))
    assert state.version == 10_000
    assert Path(nginx.directory).is_dir()
