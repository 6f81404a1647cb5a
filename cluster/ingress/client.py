"""NginxIngress: the Ingress protocol over an ingress's admin listener."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any
from urllib.parse import urlsplit

from cluster.ingress.base import IngressError, IngressState, IngressStats, PeerStats, Table
from cluster.ingress.nginx import TABLE_LIMIT_BYTES

NOBODY = "-"
"""In the place of a peer: requests that found none."""
ANSWER_LIMIT_BYTES = 32 * 1024**2


class NginxIngress:
    """One ingress at `unix:/path` or `http://[token@]address:port`.

    Each call has its own connection (0.1 ms), so it may be used from any thread. `timeout_s`
    bounds every single read and write; ValueError tells a bad endpoint. `token` is for a
    socket, whose endpoint has no place for one.
    """

    def __init__(
        self, name: str, endpoint: str, *, timeout_s: float = 1.0, token: str = ""
    ) -> None:
        self.name = name
        self._timeout_s = timeout_s
        self._socket_path = ""
        self._host, self._port, self._token = "localhost", 0, token
        if endpoint.startswith("unix:/"):
            self._socket_path = endpoint.removeprefix("unix:")
            return
        url = urlsplit(endpoint)
        if url.scheme != "http" or not url.hostname or not url.port or url.path.strip("/"):
            raise ValueError(f"ingress endpoint {name!r} must be unix:/PATH or http://HOST:PORT")
        self._host, self._port, self._token = url.hostname, url.port, url.username or ""

    def push(self, table: Table) -> IngressState:
        """Replace the table; IngressError(stale=True) when a newer one is there."""
        body = json.dumps(_table_json(table), separators=(",", ":")).encode()
        if len(body) > TABLE_LIMIT_BYTES:
            raise IngressError(f"the table has {len(body)} bytes, more than {TABLE_LIMIT_BYTES}")
        return _state(self._call("POST", "/table", body))

    def state(self) -> IngressState:
        """What it holds now; epoch and version are 0 when it holds nothing."""
        return _state(self._call("GET", "/state"))

    def stats(self, *, wait_ms: int = 0) -> IngressStats:
        """All counters."""
        return _stats(self._call("GET", f"/stats?wait_ms={wait_ms}"))

    def _call(self, method: str, path: str, body: bytes | None = None) -> dict[str, Any]:
        connection = self._connection()
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            text = response.read(ANSWER_LIMIT_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise IngressError(
                f"ingress {self.name} does not answer: {error or type(error).__name__}"
            ) from error
        finally:
            connection.close()
        return self._parsed(response.status, text)

    def _parsed(self, status: int, text: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise IngressError(f"ingress {self.name} answered {status} without a JSON object")
        if status != 200:
            raise IngressError(
                f"ingress {self.name}: {answer.get('error')}: {answer.get('details')}",
                stale=answer.get("code") == "STALE_EPOCH",
            )
        return answer

    def _connection(self) -> http.client.HTTPConnection:
        if self._socket_path:
            return _UnixConnection(self._socket_path, self._timeout_s)
        return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._timeout_s = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._timeout_s)
        self.sock.connect(self._path)


def _table_json(table: Table) -> dict[str, object]:
    return {
        "cluster_id": table.cluster_id,
        "epoch": table.epoch,
        "version": table.version,
        "routes": [
            {
                "app": route.app,
                "hosts": route.hosts,
                "path": route.path,
                "peers": [
                    {"id": p.id, "address": p.address, "port": p.port, "weight": p.weight}
                    for p in route.peers
                ],
                **({"wakes": True, "wake_timeout_s": route.wake_timeout_s}
                   if route.wakes else {}),
                **({"shares": [{"weight": s.weight, "peers": s.peers} for s in route.shares]}
                   if route.shares else {}),
            }
            for route in table.routes
        ],
        "https": {
            "certificates": [
                {"hosts": one.hosts, "chain": one.chain, "key": one.key}
                for one in table.https.certificates
            ],
            "redirect_port": table.https.redirect_port,
            "hsts_s": table.https.hsts_s,
            "acme": table.https.acme,
            "challenges": [
                {"token": token, "answer": answer} for token, answer in table.https.challenges
            ],
        },
    }


def _state(answer: dict[str, Any]) -> IngressState:
    boot_id, epoch, version = answer.get("boot_id"), answer.get("epoch"), answer.get("version")
    if not (isinstance(boot_id, str) and isinstance(epoch, int) and isinstance(version, int)):
        raise IngressError("the ingress's state lacks boot_id, epoch or version")
    after_s = answer.get("counted_after_s")
    if not isinstance(after_s, int | float):
        return IngressState(boot_id, epoch, version)
    return IngressState(boot_id, epoch, version, float(after_s))


def _stats(answer: dict[str, Any]) -> IngressStats:
    try:
        peers = tuple(
            PeerStats(
                app, peer_id, int(counts["requests"]), int(counts["errors"]),
                int(counts["in_flight"]), int(counts["bytes_sent"]),
                tuple(int(n) for n in counts["latency_counts"]),
                int(counts["retried"]) if "retried" in counts else None,
            )
            for app, by_peer in answer["apps"].items()
            for peer_id, counts in by_peer.items() if peer_id != NOBODY
        )
        refused = {str(app): int(by_peer[NOBODY]["requests"])
                   for app, by_peer in answer["apps"].items() if NOBODY in by_peer}
        bounds = tuple(float(bound) for bound in answer["latency_bounds_ms"])
        waiting = {str(app): int(count) for app, count in answer.get("waiting", {}).items()}
        settled = answer.get("settled")
        return IngressStats(
            str(answer["boot_id"]), bounds, peers, waiting, refused,
            None if settled is None else (int(settled["epoch"]), int(settled["version"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IngressError(f"the ingress's counters are not readable: {error!r}") from error
