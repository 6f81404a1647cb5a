"""Traffic through the ingress that counts every answer."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self


def ask(connection: http.client.HTTPConnection, host: str, path: str) -> tuple[str, str]:
    """Status, or the kind of the error, and the begin of the body."""
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return str(answer.status), answer.read().decode(errors="replace")[:64]
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return type(error).__name__, ""


class _Clients:
    """Threads that ask until they are left; `answers` counts statuses and errors."""

    PATIENCE_S = 30.0

    def __init__(self, clients: int) -> None:
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._client, daemon=True) for _ in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * self.PATIENCE_S)

    def failures(self) -> dict[str, int]:
        """Everything but a 200."""
        with self._lock:
            return {what: n for what, n in self.answers.items() if what != "200"}

    def total(self) -> int:
        """Requests so far."""
        with self._lock:
            return sum(self.answers.values())

    def _client(self) -> None:
        raise NotImplementedError


class Traffic(_Clients):
    """Keep-alive clients that ask without pause; `served_by` counts the bodies.

    A connection that nginx closes between two requests is opened anew, as every HTTP
    client does; an error within a request counts.
    """

    def __init__(self, port: int, host: str, *, path: str = "/id", clients: int = 4,
                 gap_s: float = 0.002) -> None:
        super().__init__(clients)
        self.served_by: Counter[str] = Counter()
        self._port, self._host, self._path, self._gap_s = port, host, path, gap_s

    def _client(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=self.PATIENCE_S)
        try:
            while not self._stop.is_set():
                what, body = ask(connection, self._host, self._path)
                with self._lock:
                    self.answers[what] += 1
                    if what == "200":
                        self.served_by[body] += 1
                time.sleep(self._gap_s)
        finally:
            connection.close()


class Shaped(_Clients):
    """Requests at a rate that follows `shape` (seconds since the begin -> requests a second).

    The load does not wait for answers, as that of many users does not; what finds no client
    free within a second counts as `not sent`. `first_s` tells when each body came first.
    """

    TICK_S = 0.01
    IDLE_S = 30.0

    def __init__(
        self, port: int, host: str, path: str, shape: Callable[[float], float], *,
        clients: int = 48,
    ) -> None:
        super().__init__(clients)
        self.first_s: dict[str, float] = {}
        self._port, self._host, self._path, self._shape = port, host, path, shape
        self._due: queue.Queue[float] = queue.Queue()
        self._threads.append(threading.Thread(target=self._pace, daemon=True))
        self.began_s = 0.0

    def __enter__(self) -> Self:
        self.began_s = time.monotonic()
        return super().__enter__()

    def _pace(self) -> None:
        owed = 0.0
        last_s = self.began_s
        while not self._stop.wait(self.TICK_S):
            now_s = time.monotonic()
            owed += self._shape(now_s - self.began_s) * (now_s - last_s)
            last_s = now_s
            while owed >= 1:
                owed -= 1
                self._due.put(now_s)

    def _client(self) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=self.PATIENCE_S)
        used_s = time.monotonic()
        while not self._stop.is_set():
            try:
                due_s = self._due.get(timeout=0.1)
            except queue.Empty:
                continue
            if time.monotonic() - used_s > self.IDLE_S:
                connection.close()  # before nginx does, as every HTTP client has to
            used_s = time.monotonic()
            if used_s - due_s > 1:
                what = "not sent"
            else:
                what, body = ask(connection, self._host, self._path)
                if what == "200":
                    self.first_s.setdefault(body, time.monotonic())
            with self._lock:
                self.answers[what] += 1
        connection.close()
