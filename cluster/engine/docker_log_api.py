"""The log of one container, from Docker's API: its end, and what is written from now on."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from cluster.engine.base import EngineError, LogLine, gone
from cluster.engine.docker_api import ApiRefusal, DockerApi
from cluster.engine.docker_logs import LineReader
from cluster.engine.docker_open import OpenAnswer
from cluster.engine.lines import Newest

SPARE_PIECES = 8
MORE_PIECES = 8
WHOLE_S = 20
QUEUE_CHUNKS = 8
CHUNK_BYTES = 64 * 1024
STOP_POLL_S = 0.25

_Item = list[LogLine] | EngineError | None


_GONE = (404, 409)
"""No container, or one that is being removed, whose log Docker does not show any more."""
_BOTH = {"stdout": "1", "stderr": "1", "timestamps": "1"}


def last_lines(
    api: DockerApi, container_id: str, *, tail: int, since_ns: int
) -> Sequence[LogLine]:
    """The last lines, oldest first.

    Docker counts the pieces of a long line as lines, so some more are asked for; where these
    are not enough, many more, once.

    Raises:
        EngineError: among them `gone`.
    """
    pieces_asked = tail + SPARE_PIECES
    for asked in (pieces_asked, pieces_asked * MORE_PIECES):
        lines, enough = _last_pieces(api, container_id, asked, tail, since_ns)
        if enough:
            return [line for line in lines if line.at_ns >= since_ns]
    # Of the first one the beginning may be missing.
    return [replace(line, truncated=line.truncated or number == 0)
            for number, line in enumerate(lines) if line.at_ns >= since_ns]


def _last_pieces(
    api: DockerApi, container_id: str, asked: int, tail: int, since_ns: int
) -> tuple[Sequence[LogLine], bool]:
    """The last `tail` lines among the last `asked` pieces; False when more would bring more."""
    params = {**_BOTH, "tail": str(asked)}
    if since_ns > 0:
        params["since"] = _since(since_ns)
    deadline_s = time.monotonic() + WHOLE_S
    reader, newest = LineReader(), Newest(tail)
    try:
        with api.stream(
            "GET", f"/containers/{container_id}/logs", params, silence_s=api.timeout_s
        ) as response:
            for chunk in response.iter_content(CHUNK_BYTES):
                if time.monotonic() > deadline_s:
                    raise EngineError("timeout", f"reading the log took more than {WHOLE_S} s")
                newest.add(reader.feed(chunk))
    except ApiRefusal as error:
        raise gone(container_id) if error.status in _GONE else error from error
    newest.add(reader.end())
    lines = newest.lines()
    return lines, len(lines) >= tail or reader.pieces < asked or newest.crowded


def _since(since_ns: int) -> str:
    """A time as Docker takes it; lines of that very time are among those that it sends."""
    return f"{since_ns // 10**9}.{since_ns % 10**9:09d}"


class LogFollow:
    """Reads in a thread of its own, because only a closed socket ends the read.

    A slow consumer holds the reader up, and Docker with it: the container only writes to a file.
    """

    def __init__(
        self, api: DockerApi, container_id: str, since_ns: int, runs: Callable[[], bool]
    ) -> None:
        self._api = api
        self._path = f"/containers/{container_id}/logs"
        self._params = {**_BOTH, "follow": "1"}
        if since_ns > 0:
            self._params["since"] = _since(since_ns)
        self._since_ns = since_ns
        self._runs = runs
        self._queue: queue.Queue[_Item] = queue.Queue(QUEUE_CHUNKS)
        self._open = OpenAnswer()

    def read(self, stop: threading.Event) -> Iterator[LogLine]:
        """Yield lines until the container has ended, or within STOP_POLL_S of `stop`.

        Raises:
            EngineError: the stream broke off.
        """
        reader = threading.Thread(target=self._run, name="docker-logs", daemon=True)
        reader.start()
        try:
            while not stop.is_set():
                try:
                    item = self._queue.get(timeout=STOP_POLL_S)
                except queue.Empty:
                    continue
                if item is None:
                    return
                if isinstance(item, EngineError):
                    raise item
                for line in item:
                    if stop.is_set():
                        return
                    yield line
        finally:
            self._open.close()
            reader.join(STOP_POLL_S)

    def _run(self) -> None:
        try:
            self._follow()
        except ApiRefusal as error:
            self._put(None if error.status in _GONE else error)
        except EngineError as error:
            self._put(error)
        else:
            self._put(None)

    def _follow(self) -> None:
        reader = LineReader()
        with (
            self._api.stream("GET", self._path, self._params, silence_s=None) as response,
            self._open.reading(response) as goes_on,
        ):
            if not goes_on:
                return
            for chunk in response.iter_content(None):
                for start in range(0, len(chunk), CHUNK_BYTES):
                    self._tell(reader.feed(chunk[start:start + CHUNK_BYTES]))
        self._tell(reader.end())
        # A daemon that shuts down ends its streams as a container's end does.
        if not self._open.closed.is_set() and self._runs():
            raise EngineError("unavailable", "the log stream broke off")

    def _tell(self, lines: list[LogLine]) -> None:
        fresh = [line for line in lines if line.at_ns > self._since_ns]
        if fresh:
            self._put(fresh)

    def _put(self, item: _Item) -> None:
        while not self._open.closed.is_set():
            with contextlib.suppress(queue.Full):
                self._queue.put(item, timeout=STOP_POLL_S)
                return
