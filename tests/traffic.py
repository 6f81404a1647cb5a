"""Traffic through the ingress that counts every answer."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from types import TracebackType


class Traffic:
    """Keep-alive clients that ask without pause; `answers` counts statuses and errors.

    A connection that nginx closes between two requests is opened anew, as every HTTP
    client does; an error within a request counts.
    """

    def __init__(self, port: int, host: str, *, path: str = "/id", clients: int = 4,
                 gap_s: float = 0.002) -> None:
        self.answers: Counter[str] = Counter()
        self.served_by: Counter[str] = Counter()
        self._port, self._host, self._path, self._gap_s = port, host, path, gap_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._client, daemon=True) for _ in range(clients)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(10)

    def failures(self) -> dict[str, int]:
        """Everything but a 200."""
        with self._lock:
            return {what: n for what, n in self.answers.items() if what != "200"}

    def total(self) -> int:
        """Requests so far."""
        with self._lock:
            return sum(self.answers.values())

    def _client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            while not self._stop.is_set():
                what, body = self._ask(connection)
                with self._lock:
                    self.answers[what] += 1
                    if what == "200":
                        self.served_by[body] += 1
                time.sleep(self._gap_s)
        finally:
            connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> tuple[str, str]:
        try:
            connection.request("GET", self._path, headers={"Host": self._host})
            answer = connection.getresponse()
            return str(answer.status), answer.read().decode(errors="replace")[:64]
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__, ""
