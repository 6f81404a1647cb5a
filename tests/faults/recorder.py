"""Clients that write and read without pause, and record what they asked and were answered."""

from __future__ import annotations

import http.client
import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from tests.faults import wanted
from tests.faults.linearizability import NEVER_S, Call
from tests.live import app_spec, until

ATTEMPT_S = 2.0
GIVE_UP_S = 60.0
PAUSE_S = 0.02
CLIENTS = 24
SHARED_APPS = 8
REPLICAS_MAX = 6
FORGETFUL = 0.1
"""The part of writes that are not repeated when their outcome is unknown,"""
FORGOTTEN_MAX = 8
"""as long as it is not too many of one app: each could have happened at any time."""

RETRY = "retry"
UNKNOWN = "unknown"
_KINDS = {"read": 20, "start": 35, "scale": 25, "stop": 3, "register": 17}


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for one operation; `key` is its idempotency key, "" for a read."""

    method: str
    path: str
    body: Any
    key: str


class Connections:
    """One keep-alive connection to each controller; for one thread."""

    def __init__(self) -> None:
        self._open: dict[str, http.client.HTTPConnection] = {}

    def ask(self, url: str, request: Request) -> tuple[int, Any, str]:
        """One attempt: (status, body, Location); OSError when there is no answer."""
        parts = urlsplit(url)
        headers = {"Idempotency-Key": request.key} if request.key else {}
        data = None if request.body is None else json.dumps(request.body)
        if data is not None:
            headers["Content-Type"] = "application/json"
        connection = self._open.get(parts.netloc)
        if connection is None:
            connection = http.client.HTTPConnection(parts.netloc, timeout=ATTEMPT_S)
            self._open[parts.netloc] = connection
        try:
            target = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(request.method, target, body=data, headers=headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, OSError):
                raise
            raise ConnectionError(repr(error)) from error
        return answer.status, json.loads(text), answer.headers.get("Location", "")

    def close(self) -> None:
        """Close all."""
        for connection in self._open.values():
            connection.close()


def request_of(kind: str, app: str, argument: int, key: str) -> Request:
    """The HTTP request of one operation."""
    path = f"/api/v1/apps/{app}"
    if kind == wanted.READ:
        return Request("GET", f"{path}?consistency=linearizable", None, "")
    if kind == wanted.REGISTER:
        return Request("POST", "/api/v1/apps/register", app_spec(app, "x:1"), key)
    body: dict[str, Any] = {"wait": False, "replicas": argument}
    if kind == wanted.SCALE:
        body["timeout"] = 1
    if kind == wanted.STOP:
        body = {"force": True}
    return Request("POST", f"{path}/{kind}", body, key)


def meaning(kind: str, status: int, body: Any) -> Hashable:
    """The answer as the model knows it, RETRY when nothing happened, or UNKNOWN.

    Raises:
        ValueError: an answer that the contract does not allow here.
    """
    code = body.get("code", "")
    if status == 503:
        return RETRY
    if status == 504:
        return UNKNOWN
    if code in (wanted.EXISTS, wanted.MISSING, wanted.SCALING):
        return str(code)
    if kind == wanted.STOP and code == "CONFLICT" and "started meanwhile" in body["details"]:
        return wanted.OK  # it was stopped, and then started by another client
    if status not in (200, 201):
        raise ValueError(f"{kind}: {status} {body}")
    if kind == wanted.READ:
        return (body["revision"], body["replicas"]["desired"])
    if kind == wanted.REGISTER:
        return (body["revision"],)
    return int(body["previous_replicas"]) if kind == wanted.SCALE else wanted.OK


class Recorder:
    """Writes to apps named after `prefix` until it is left; every open write is settled then.

    `history` holds each operation with its times, `acknowledged` each write that got an
    answer, `surprises` the answers that should not be.
    """

    def __init__(
        self, urls: Mapping[str, str], prefix: str, *, seed: int, clients: int = CLIENTS,
        gap_s: float = 0.0,
    ) -> None:
        self.history: list[Call] = []
        self.acknowledged: list[tuple[Call, Request]] = []
        self.surprises: list[str] = []
        self.attempts: Counter[str] = Counter()
        self._urls = list(urls.values())
        self._prefix = prefix
        self._gap_s = gap_s
        self._leader = ""
        self._forgotten: Counter[str] = Counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._names: list[str] = []
        self._threads = [
            threading.Thread(target=self._client, args=(number, random.Random(seed + number)))
            for number in range(clients)
        ]

    def __enter__(self) -> Recorder:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(GIVE_UP_S + 10)
            assert not thread.is_alive(), "a client does not end"

    def writes(self) -> int:
        """Writes that were answered so far."""
        with self._lock:
            return len(self.acknowledged)

    def await_writes(self, count: int, timeout_s: float) -> None:
        """Wait until so many more were answered."""
        enough = self.writes() + count
        until(f"{count} writes more", lambda: self.writes() >= enough, timeout_s, 0.01)

    def registered(self) -> set[str]:
        """Every app whose registration was acknowledged."""
        with self._lock:
            return {
                call.key for call, _ in self.acknowledged
                if call.kind == wanted.REGISTER and call.answer != wanted.EXISTS
            }

    def worst_gap_s(self, begin_s: float, end_s: float) -> float:
        """The longest time without any acknowledged write within a stretch of time."""
        with self._lock:
            moments = sorted(
                call.returned_s for call, _ in self.acknowledged
                if begin_s <= call.returned_s <= end_s)
        edges = [begin_s, *moments, end_s]
        return max(b - a for a, b in itertools.pairwise(edges))

    # -- one client --------------------------------------------------------------------

    def _client(self, number: int, dice: random.Random) -> None:
        connections = Connections()
        try:
            for turn in range(1_000_000):
                if self._stop.is_set():
                    return
                self._operate(connections, dice, f"{number}.{turn}")
                time.sleep(self._gap_s)
        except Exception as error:
            with self._lock:
                self.surprises.append(f"client {number}: {error!r}")
        finally:
            connections.close()

    def _operate(self, connections: Connections, dice: random.Random, name: str) -> None:
        kind = dice.choices(list(_KINDS), list(_KINDS.values()))[0]
        app = f"{self._prefix}-{dice.randrange(SHARED_APPS)}"
        if kind == wanted.REGISTER and dice.random() < 0.8:
            app = f"{self._prefix}-{name.replace('.', '-')}"
            self._names.append(app)
        elif kind == wanted.READ and self._names and dice.random() < 0.3:
            app = dice.choice(self._names)
        argument = dice.randint(0, REPLICAS_MAX) if kind in (wanted.START, wanted.SCALE) else 0
        key = "" if kind == wanted.READ else f"{self._prefix}/{name}/{dice.getrandbits(48):x}"
        request = request_of(kind, app, argument, key)
        begin_s = time.monotonic()
        if kind == wanted.READ:
            answer, _ = self._attempt(connections, dice.choice(self._urls), kind, request)
            if answer in (RETRY, UNKNOWN):
                return  # a read without an answer says nothing
        else:
            answer = self._persist(connections, dice, kind, app, request)
        end_s = NEVER_S if answer is None else time.monotonic()
        call = Call(app, kind, argument, answer, begin_s, end_s, name)
        with self._lock:
            self.history.append(call)
            if key and answer is not None:
                self.acknowledged.append((call, request))

    def _persist(
        self, connections: Connections, dice: random.Random, kind: str, app: str,
        request: Request,
    ) -> Hashable:
        """Repeat a write under its key until it has an answer; None when that was given up."""
        forgetful = dice.random() < FORGETFUL
        deadline_s = time.monotonic() + GIVE_UP_S
        while time.monotonic() < deadline_s:
            url = self._leader or dice.choice(self._urls)
            answer, served_by = self._attempt(connections, url, kind, request)
            if answer not in (RETRY, UNKNOWN):
                self._leader = served_by
                return answer
            self._leader = ""
            if answer == UNKNOWN and forgetful and self._forgets(app):
                return None
            time.sleep(PAUSE_S)
        self.surprises.append(f"{request} had no answer for {GIVE_UP_S} s")
        return None

    def _forgets(self, app: str) -> bool:
        with self._lock:
            self._forgotten[app] += 1
            return self._forgotten[app] <= FORGOTTEN_MAX

    def _attempt(
        self, connections: Connections, base: str, kind: str, request: Request
    ) -> tuple[Hashable, str]:
        """One try, following redirects: the meaning of its answer, and who gave it."""
        url = base + request.path
        for _ in range(3):
            try:
                status, body, location = connections.ask(url, request)
            except ConnectionRefusedError:
                return RETRY, ""
            except OSError as error:
                self.attempts[type(error).__name__] += 1
                return UNKNOWN, ""
            self.attempts[str(status)] += 1
            if status != 307:
                parts = urlsplit(url)
                return meaning(kind, status, body), f"{parts.scheme}://{parts.netloc}"
            url = location
        return RETRY, ""
