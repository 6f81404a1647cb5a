"""Docker's event stream as hints, with its own reconnection."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator

from cluster.engine.base import EngineError, EngineEvent
from cluster.engine.docker_api import DockerApi
from cluster.engine.docker_format import cluster_filter, event
from cluster.engine.docker_open import OpenAnswer

BACKOFF_FIRST_S = 0.2
BACKOFF_LAST_S = 5.0
QUEUE_EVENTS = 1000
STOP_POLL_S = 0.25


class EventStream:
    """Reads `/events` in a thread of its own, because only a closed socket ends the read.

    A full queue drops hints: whoever lags that far behind has a resync due anyway.
    """

    def __init__(self, api: DockerApi, cluster_id: str) -> None:
        filters = cluster_filter(cluster_id) | {
            "type": ["container"], "event": ["start", "die", "destroy"],
        }
        self._api = api
        self._params = {"filters": json.dumps(filters)}
        self._queue: queue.Queue[EngineEvent] = queue.Queue(QUEUE_EVENTS)
        self._open = OpenAnswer()
        self._connected: bool | None = None

    def read(self, stop: threading.Event) -> Iterator[EngineEvent]:
        """Yield hints until `stop`; returns within STOP_POLL_S of it."""
        reader = threading.Thread(target=self._run, name="docker-events", daemon=True)
        reader.start()
        try:
            while not stop.is_set():
                with contextlib.suppress(queue.Empty):
                    yield self._queue.get(timeout=STOP_POLL_S)
        finally:
            self._open.close()
            reader.join(STOP_POLL_S)

    def _run(self) -> None:
        backoff_s = BACKOFF_FIRST_S
        while not self._open.closed.is_set():
            with contextlib.suppress(EngineError):
                self._follow()
            backoff_s = BACKOFF_FIRST_S if self._connected else backoff_s
            self._tell(connected=False)
            self._open.closed.wait(backoff_s)
            backoff_s = min(backoff_s * 2, BACKOFF_LAST_S)

    def _follow(self) -> None:
        # A daemon that hangs leaves this stream silent, and so does a quiet cluster: the
        # deadline on every other call is what finds the hang.
        with (
            self._api.stream("GET", "/events", self._params, silence_s=None) as response,
            self._open.reading(response) as goes_on,
        ):
            if not goes_on:
                return
            self._tell(connected=True)
            for line in response.iter_lines(chunk_size=None):
                hint = event(json.loads(line)) if line else None
                if hint:
                    self._put(hint)

    def _tell(self, *, connected: bool) -> None:
        if self._connected != connected:
            self._connected = connected
            self._put(EngineEvent("connected" if connected else "lost"))

    def _put(self, hint: EngineEvent) -> None:
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(hint)
