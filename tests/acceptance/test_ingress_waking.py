"""An app at zero through a real nginx: requests are held, counted, and served or refused."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from cluster.ingress.base import Route
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.ingress_parts import DEADLINE_S, ask, one_route, replicas, table, until

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]

HOST = "shop.localhost"
ASLEEP = replace(one_route(), wakes=True)
HELD_MAX = 100


@pytest.fixture
def ingress(ingress: NginxIngress) -> NginxIngress:
    """It has an app at zero."""
    ingress.push(table(1, ASLEEP))
    return ingress


def holds(ingress: NginxIngress, count: int) -> None:
    """Wait until so many requests are held."""
    until(lambda: ingress.stats().waiting.get("shop", 0) == count, f"{count} are held")


def test_a_request_is_held_until_there_is_a_replica(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """Whatever its method, with its body, and on both workers; then it is counted no more."""
    with replicas("r") as (replica,), ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, nginx.port, HOST, f"/{number}") for number in range(4)]
        asked += [
            pool.submit(ask, nginx.port, HOST, "/post", method="POST", body=b"x" * 100_000)
            for _ in range(4)
        ]
        holds(ingress, 8)
        assert not any(one.done() for one in asked)
        ingress.push(table(2, replace(ASLEEP, peers=(replica.peer,))))
        assert [one.result(DEADLINE_S).status for one in asked] == [200] * 8
        assert sorted(len(seen.body) for seen in replica.seen) == [0] * 4 + [100_000] * 4
    holds(ingress, 0)
    assert ingress.stats().waiting == {}


def test_a_held_request_ends_in_time(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """Nobody waits for ever: 503 says when to come again."""
    ingress.push(table(2, replace(ASLEEP, wake_timeout_s=0.5)))
    began_s = time.monotonic()
    answer = ask(nginx.port, HOST)
    assert time.monotonic() - began_s >= 0.4
    assert answer.status == 503
    assert answer.error()["code"] == "NO_HEALTHY_REPLICA"
    assert answer.headers["Retry-After"] == "1"
    holds(ingress, 0)


@pytest.mark.parametrize(("route", "status"), [
    (None, 404), (replace(ASLEEP, wakes=False), 503),
])
def test_a_held_request_is_told_when_its_app_is_gone(
    nginx: LocalNginx, ingress: NginxIngress, route: Route | None, status: int
) -> None:
    """Deleted, or stopped: at once."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(ask, nginx.port, HOST)
        holds(ingress, 1)
        ingress.push(table(2, *([route] if route is not None else [])))
        assert asked.result(DEADLINE_S).status == status


def test_no_more_than_a_bounded_number_is_held(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """The next one is refused at once, and other apps are not held up."""
    ingress.push(table(2, ASLEEP, replace(one_route(app="other"), wakes=True)))
    request = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    connections = []
    try:
        for _ in range(HELD_MAX):
            connection = socket.create_connection(("127.0.0.1", nginx.port), timeout=DEADLINE_S)
            connection.sendall(request)
            connections.append(connection)
        holds(ingress, HELD_MAX)
        assert ask(nginx.port, HOST).status == 503
        thread = threading.Thread(target=ask, args=(nginx.port, "other.localhost"), daemon=True)
        thread.start()
        until(lambda: ingress.stats().waiting.get("other") == 1, "another app's is held")
        ingress.push(table(3))
        thread.join(DEADLINE_S)
        assert not thread.is_alive()
    finally:
        for connection in connections:
            connection.close()
    holds(ingress, 0)


def test_a_running_app_is_not_held(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """A route that may wake serves at once while it has a replica."""
    with replicas("r") as (replica,):
        ingress.push(table(2, replace(ASLEEP, peers=(replica.peer,))))
        assert ask(nginx.port, HOST).text == "r"
        assert ingress.stats().waiting == {}
