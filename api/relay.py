"""Relay: reads of what only the leader knows, answered by any node."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from flask import Response, request

from api import measured
from api.here import here
from cluster.live.relay_mark import HEADER

TIMEOUT_S = 2.0
BYTES_MAX = 64 * 1024**2
KEPT_S = 1.0
ASK_S = 0.25
SILENT_S = 5.0
"""After a question without an answer nobody asks again for so long."""
PARALLEL_MAX = 8

_places = threading.BoundedSemaphore(PARALLEL_MAX)


def relayed() -> Response | None:
    """The leader's answer to this very request; None when this node has to answer itself.

    That is so on the leader, without one, when it does not answer in time, and for a request
    that was relayed already: two nodes that disagree about the leader would ask each other for
    ever. Whoever says so without being a controller gets this node's own answer, too.
    """
    url = _leader_url()
    if url is None:
        return None
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    found = fetch(f"{url}{request.path}{query}", dict(request.headers))
    if found is None:
        return None
    status, content_type, body = found
    return Response(body, status, content_type=content_type)


def _leader_url() -> str | None:
    if request.headers.get(HEADER):
        return None
    controller = here().controller
    leader = controller.log.leader_id()
    if leader is None or leader == controller.id:
        return None
    info = controller.log.state().controllers.get(leader)
    return info.api_url if info is not None else None


def fetch(
    url: str, headers: Mapping[str, str], *, timeout_s: float = TIMEOUT_S
) -> tuple[int, str, bytes] | None:
    """Status, content type and body of a GET at another controller; None when it fails."""
    parts = urlsplit(url)
    if not parts.hostname or not _places.acquire(timeout=timeout_s):
        return None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout_s)
    try:
        target = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
        sent = {**here().mark.headers(parts.path), "Accept": headers.get("Accept", "*/*")}
        if "Authorization" in headers:
            sent["Authorization"] = headers["Authorization"]
        connection.request("GET", target, headers=sent)
        response = connection.getresponse()
        body = response.read(BYTES_MAX + 1)
        if len(body) > BYTES_MAX:
            return None
        return response.status, response.getheader("Content-Type", ""), body
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
        _places.release()


class Latest:
    """The current measurements of all apps: the leader's own, elsewhere asked of it each second.

    A reader waits for one such question at most, 0.25 s; without an answer all is unknown.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._apps: Mapping[str, Mapping[str, Any]] = {}
        self._until_s = 0.0

    def of(self, app: str) -> Mapping[str, Any] | None:
        """The `metrics` of one app's status; None when it was not measured lately."""
        return self.all().get(app)

    def all(self) -> Mapping[str, Mapping[str, Any]]:
        """Those of all apps that were measured lately."""
        now_s = time.monotonic()
        if now_s < self._until_s:
            return self._apps
        if not self._lock.acquire(blocking=False):
            return self._apps  # somebody else asks just now
        try:
            if now_s >= self._until_s:
                found = self._ask()
                self._apps = found if found is not None else {}
                kept_s = KEPT_S if found is not None else SILENT_S
                self._until_s = time.monotonic() + kept_s
            return self._apps
        finally:
            self._lock.release()

    def _ask(self) -> Mapping[str, Mapping[str, Any]] | None:
        url = _leader_url()
        if url is None:
            return measured.latest()
        found = fetch(f"{url}/cluster/measurements", {}, timeout_s=ASK_S)
        if found is None or found[0] != 200:
            return None
        try:
            apps = orjson.loads(found[2])["apps"]
        except (ValueError, KeyError, TypeError):
            return None
        return apps if isinstance(apps, dict) else None
