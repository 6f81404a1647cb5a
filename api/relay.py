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
from api.controller import Controller
from api.here import here
from cluster.history.http import connect
from cluster.live.relay_mark import HEADER, RelayMark
from cluster.tls.identity import Identity

TIMEOUT_S = 2.0
BYTES_MAX = 64 * 1024**2
KEPT_S = 1.0
ASK_S = 0.25
SILENT_S = 5.0
"""After a question without an answer nobody asks again for so long."""
PARALLEL_MAX = 8
TOPIC = "measurements"
HEARD_S = 2.5
"""The leader measures each 2 s by default; who hears nothing for longer asks."""

_places = threading.BoundedSemaphore(PARALLEL_MAX)


def relayed() -> Response | None:
    """The leader's answer to this very request; None when this node has to answer itself.

    That is so on the leader, without one, when it does not answer in time, and for a request
    that was relayed already: two nodes that disagree about the leader would ask each other for
    ever. Whoever says so without being a controller gets this node's own answer, too.
    """
    url = None if request.headers.get(HEADER) else _leader_url(here().controller)
    if url is None:
        return None
    query = f"?{request.query_string.decode('latin-1')}" if request.query_string else ""
    found = fetch(f"{url}{request.path}{query}", dict(request.headers), here().mark,
                  here().controller.identity)
    if found is None:
        return None
    status, content_type, body = found
    return Response(body, status, content_type=content_type)


def from_leader(path: str) -> dict[str, Any] | None:
    """The leader's answer to GET `path`, for the request that is served now.

    None on the leader, for a request that was relayed already, and when there is no answer.
    """
    url = None if request.headers.get(HEADER) else _leader_url(here().controller)
    found = None if url is None else fetch(
        f"{url}{path}", dict(request.headers), here().mark, here().controller.identity)
    if found is None or found[0] != 200:
        return None
    try:
        told = orjson.loads(found[2])
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _leader_url(controller: Controller) -> str | None:
    leader = controller.log.leader_id()
    if leader is None or leader == controller.id:
        return None
    info = controller.log.state().controllers.get(leader)
    return info.api_url if info is not None else None


def fetch(
    url: str, headers: Mapping[str, str], mark: RelayMark, identity: Identity, *,
    timeout_s: float = TIMEOUT_S,
) -> tuple[int, str, bytes] | None:
    """Status, content type and body of a GET at another controller; None when it fails."""
    parts = urlsplit(url)
    if not parts.hostname or not _places.acquire(timeout=timeout_s):
        return None
    connection = connect(parts, timeout_s, identity.for_call)
    try:
        target = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
        sent = {**mark.headers(parts.path), "Accept": headers.get("Accept", "*/*")}
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
    With Redis the leader tells them by itself, and is asked only when it does not.
    """

    def __init__(self, controller: Controller, mark: RelayMark) -> None:
        self._controller = controller
        self._mark = mark
        self._lock = threading.Lock()
        self._apps: Mapping[str, Mapping[str, Any]] = {}
        self._until_s = 0.0

    def share(self) -> None:
        """Tell the other controllers after each round, and listen to them."""
        bus = self._controller.bus
        if bus is None:
            return

        def publish() -> None:
            bus.publish(TOPIC, orjson.dumps({
                "node": self._controller.id, "apps": measured.latest(self._controller)}))

        bus.subscribe(TOPIC, self.heard)
        self._controller.telemetry.after_round(publish)

    def heard(self, payload: bytes) -> None:
        """What a controller tells; only the leader is believed."""
        told = orjson.loads(payload)
        if told["node"] == self._controller.log.leader_id():
            self._apps, self._until_s = told["apps"], time.monotonic() + HEARD_S

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
                if time.monotonic() < self._until_s:
                    return self._apps  # the leader has told them meanwhile
                self._apps = found if found is not None else {}
                kept_s = KEPT_S if found is not None else SILENT_S
                self._until_s = time.monotonic() + kept_s
            return self._apps
        finally:
            self._lock.release()

    def _ask(self) -> Mapping[str, Mapping[str, Any]] | None:
        url = _leader_url(self._controller)
        if url is None:
            return measured.latest(self._controller)
        found = fetch(f"{url}/cluster/measurements", {}, self._mark, self._controller.identity,
                      timeout_s=ASK_S)
        if found is None or found[0] != 200:
            return None
        try:
            apps = orjson.loads(found[2])["apps"]
        except (ValueError, KeyError, TypeError):
            return None
        return apps if isinstance(apps, dict) else None
