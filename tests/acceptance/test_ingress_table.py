"""The pushed table of a real nginx: faults, size, changes under load, counters."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.ingress.base import IngressError, Peer, PeerStats, Route, Share
from cluster.ingress.client import NginxIngress
from cluster.ingress.local import LocalNginx
from tests.ingress_parts import (
    DEADLINE_S,
    Replica,
    ask,
    counters,
    many,
    one_route,
    replicas,
    static_upstreams,
    table,
    until,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.beside]


def test_counters_lose_nothing(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """Every request is in one bucket, bytes and failures add up, also under parallel load."""
    with replicas("r") as (replica,), ThreadPoolExecutor(8) as pool:
        ingress.push(table(1, one_route(replica.peer)))
        paths = ["/status/500" if i % 4 == 0 else "/" for i in range(200)]
        answers = list(pool.map(lambda path: ask(nginx.port, "shop.localhost", path), paths))
        assert len(answers) == 200
        until(lambda: _told(counters(ingress, "r")) == (200, 50, 0), "all are counted")
        count = counters(ingress, "r")
        assert count.app == "shop"
        assert sum(count.latency_counts) == 200
        assert count.bytes_sent > 200 * 50
        assert len(count.latency_counts) == len(ingress.stats().latency_bounds_ms) + 1


def _told(count: PeerStats) -> tuple[int, int, int]:
    return count.requests, count.errors, count.in_flight


def test_a_removed_replica_drains(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """Its request goes on, shows in the counters, and nothing new arrives."""
    with replicas("old", "new") as (old, new), ThreadPoolExecutor(1) as pool:
        ingress.push(table(1, one_route(old.peer)))
        slow = pool.submit(ask, nginx.port, "shop.localhost", "/slow")
        until(lambda: len(old.seen) == 1, "the request is in flight")
        ingress.push(table(2, one_route(new.peer)))
        until(lambda: counters(ingress, "old").in_flight == 1, "it is counted in")
        assert all(ask(nginx.port, "shop.localhost").text == "new" for _ in range(10))
        old.release.set()
        assert slow.result().text == "old"
        until(lambda: counters(ingress, "old").in_flight == 0, "it has drained")


def test_no_request_fails_while_the_table_changes(
    nginx: LocalNginx, ingress: NginxIngress, tmp_path: Path
) -> None:
    """150 changes, 50 a second, under 16 keep-alive clients: not one error."""
    with static_upstreams(tmp_path, 6) as ports:
        peers = [Peer(f"r{i}", "127.0.0.1", port) for i, port in enumerate(ports)]
        ingress.push(table(1, one_route(*peers)))
        load = subprocess.Popen(
            ["wrk", "-t1", "-c16", "-d200s", "--timeout", "60s", "-H", "Host: shop.localhost",
             f"http://127.0.0.1:{nginx.port}/"],
            stdout=subprocess.PIPE, text=True)
        version = 1

        def changed() -> bool:
            nonlocal version
            version += 1
            out = version % len(peers)
            ingress.push(table(version, one_route(*(peers[:out] + peers[out + 1:]))))
            assert load.poll() is None, "the load has ended"
            return version > 150 and sum(
                peer.requests for peer in ingress.stats().peers) > 1000

        try:
            until(changed, "150 changes and 1,000 requests")
            load.send_signal(signal.SIGINT)  # now it tells
            report = load.communicate(timeout=DEADLINE_S)[0]
        finally:
            load.kill()
            load.wait()
        assert "Socket errors" not in report
        assert "Non-2xx" not in report
        assert re.search(r"\d{4,} requests in", report), report


def test_twenty_thousand_routes_fit(nginx: LocalNginx, ingress: NginxIngress) -> None:
    """The largest table that is allowed for is taken and served."""
    with replicas("r") as (replica,):
        roomy = NginxIngress("n", nginx.endpoint, timeout_s=DEADLINE_S)
        for version in (1, 2, 3):
            roomy.push(table(version, *(
                one_route(replica.peer, app=f"a{i}") for i in range(20_000))))
        assert ask(nginx.port, "a19999.localhost").text == "r"
        assert ask(nginx.port, "a0.localhost").text == "r"
        assert ask(nginx.port, "a20000.localhost").status == 404


@pytest.mark.parametrize(("body", "fault"), [
    (b"", "empty"),
    (b"{", "not a JSON object"),
    (b"[]", "cluster_id"),
    (b"[" * 10_000, "not a JSON object"),
    (b'{"cluster_id":"c1","epoch":1.5,"version":1,"routes":[]}', "epoch"),
    (b'{"cluster_id":"c1","epoch":1,"version":-1,"routes":[]}', "version"),
    (b'{"cluster_id":"c 1","epoch":1,"version":1,"routes":[]}', "cluster_id"),
    (b'{"cluster_id":"c1","epoch":1,"version":9,"routes":{"a":1}}', "routes is not a list"),
    (b'{"cluster_id":"c1","epoch":1,"version":9,"routes":[7]}', "routes[0] is not"),
])
def test_a_bad_table_is_refused(
    nginx: LocalNginx, ingress: NginxIngress, body: bytes, fault: str
) -> None:
    """The old one stays, and the answer names the fault."""
    before = ingress.push(table(5, one_route()))
    answer = _post_table(nginx, body)
    assert answer[0] == 400
    assert fault in answer[1]["details"]
    assert ingress.state() == before


@pytest.mark.parametrize(("peer", "fault"), [
    ({"address": "unix:/var/run/docker.sock"}, "address"),
    ({"address": "256.0.0.1"}, "address"),
    ({"address": "10.0.0.1; evil"}, "address"),
    ({"address": "example.com"}, "address"),
    ({"port": 0}, "port"),
    ({"port": 65536}, "port"),
    ({"port": "80"}, "port"),
    ({"port": 80.5}, "port"),
    ({"weight": 0}, "weight"),
    ({"id": "a|b"}, "id"),
])
def test_a_bad_peer_is_refused(
    nginx: LocalNginx, ingress: NginxIngress, peer: dict[str, object], fault: str
) -> None:
    """What the balancer connects to is an address and a port, nothing else."""
    whole = {"id": "r", "address": "10.0.0.1", "port": 80, "weight": 1} | peer
    route = {"app": "shop", "hosts": ["shop.localhost"], "path": "/", "peers": [whole]}
    body = {"cluster_id": "c1", "epoch": 1, "version": 9, "routes": [route]}
    status, answer = _post_table(nginx, json.dumps(body).encode())
    assert status == 400
    assert answer["details"].startswith(f"routes[0].peers[0].{fault} ")


def test_the_admin_listener_bounds_bodies_and_knows_its_calls(nginx: LocalNginx) -> None:
    """Too large is 413, unknown is 404, both in the error body."""
    status, answer = _post_table(nginx, b" " * (8 * 1024**2 + 1))
    assert (status, answer["code"]) == (413, "PAYLOAD_TOO_LARGE")
    status, answer = _post_table(nginx, b"{}", path="/elsewhere")
    assert (status, answer["code"]) == (404, "NOT_FOUND")
    assert (nginx.directory.stat().st_mode & 0o077) == 0


def _post_table(
    nginx: LocalNginx, body: bytes, path: str = "/table"
) -> tuple[int, dict[str, str]]:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(nginx.endpoint.removeprefix("unix:"))
        client.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):  # refused by its length, and answered
            client.sendall(body)
        received = b""
        while part := client.recv(65536):
            received += part
    head, _, text = received.partition(b"\r\n\r\n")
    answer = json.loads(text)
    assert isinstance(answer, dict)
    return int(head.split()[1]), answer


def shared(*shares: tuple[int, list[Replica]]) -> Route:
    """A route whose replicas get so many percent of the requests."""
    route = one_route(*(replica.peer for _, some in shares for replica in some))
    return replace(route, shares=tuple(
        Share(weight, tuple(replica.name for replica in some)) for weight, some in shares))


def test_shares_are_exact_whatever_the_replicas_do(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """Of 1,000 requests that percentage, give or take one for each worker.

    However many replicas share it, and while one of them is busy with a slow one.
    """
    with replicas("new", "old-1", "old-2", "old-3", "gone") as (new, *rest, gone):
        with ThreadPoolExecutor(1) as pool:
            for version, weight in enumerate((10, 33, 0, 100), 1):
                ingress.push(table(version, shared((weight, [new]), (100 - weight, rest),
                                                   (0, [gone]))))
                before = len(new.seen)
                slow = None
                if weight == 33:
                    slow = pool.submit(ask, nginx.port, "shop.localhost", "/slow")
                assert many(nginx.port, "shop.localhost", 1_000) == {200: 1_000}
                for one in (new, *rest):
                    one.release.set()
                if slow is not None:
                    assert slow.result().status == 200
                assert abs(len(new.seen) - before - 10 * weight) <= 3
        assert gone.seen == []


def test_a_share_without_peers_goes_to_the_others(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """Whether they are not there, refuse connections or are all that there is."""
    with replicas("new", "old") as (new, old):
        ingress.push(table(1, shared((50, []), (50, [old]))))
        assert {ask(nginx.port, "shop.localhost").text for _ in range(20)} == {"old"}
        ingress.push(table(2, shared((50, []), (0, [old]))))
        assert {ask(nginx.port, "shop.localhost").text for _ in range(20)} == {"old"}
        ingress.push(table(3, shared((50, [new]), (50, [old]))))
        new.close()
        answers = [ask(nginx.port, "shop.localhost") for _ in range(40)]
        assert {answer.text for answer in answers} == {"old"}
        until(lambda: (counters(ingress, "new").retried or 0) >= 1, "the tries are counted")
        until(lambda: counters(ingress, "old").requests == 80, "all are counted")
        assert counters(ingress, "new").requests == 0


@pytest.mark.parametrize("share", [
    {"weight": 101, "peers": []}, {"weight": 1.5, "peers": []}, {"peers": []}, {"weight": 1}, 7,
    {"weight": 1, "peers": [7]},
])
def test_a_bad_share_is_refused(ingress: NginxIngress, share: object) -> None:
    """With its place; the table that was held stays."""
    ingress.push(table(1))
    body = json.dumps({"cluster_id": "c1", "epoch": 1, "version": 2, "routes": [
        {"app": "shop", "path": "/", "hosts": [], "peers": [], "shares": [share]}]}).encode()
    with pytest.raises(IngressError, match=r"routes\[0\]\.shares\[0\]"):
        ingress._call("POST", "/table", body)
    assert ingress.state().version == 1


def test_requests_that_find_no_replica_are_counted(
    nginx: LocalNginx, ingress: NginxIngress
) -> None:
    """By app, and as no peer's."""
    ingress.push(table(1, one_route()))
    assert {ask(nginx.port, "shop.localhost").status for _ in range(3)} == {503}
    found = ingress.stats()
    assert dict(found.refused) == {"shop": 3}
    assert found.peers == ()
