"""Actions: each side effect of a controller, on record before it begins.

One JSON object a line, in two files of which the older is dropped when the newer is full:

    {"n": 7, "at_ms": …, "kind": "begin", "epoch": 3, "lease_ms": 1400, "actuator": "docker",
     "verb": "start", "app": "shop", "target": "shop-1"}
    {"n": 8, "at_ms": …, "kind": "end", "of": 7, "result": "done"}
    {"n": 9, "at_ms": …, "kind": "epoch", "epoch": 4, "holder": "controller-2"}

A line is written at once, but not synced: it outlives the process, not the power.

Source: docs/adr/0010-actions-on-record.md.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cluster.consensus.lease import Lease
from cluster.control.loop import Effect, Fenced

logger = logging.getLogger(__name__)

FILE_BYTES_MAX = 4 * 1024**2
LINE_BYTES_MAX = 4096

Record = dict[str, Any]


class Recorder(Protocol):
    """Where actions are noted; never raises, never waits for a disk."""

    def act(
        self, lease: Lease, now_s: float, effect: Effect
    ) -> contextlib.AbstractContextManager[None]:
        """Note that a side effect begins, and how it ends."""

    def epoch(self, epoch: int, holder: str) -> None:
        """Note that this controller has applied the beginning of an epoch."""


class NoRecorder:
    """Notes nothing."""

    @contextmanager
    def act(self, lease: Lease, now_s: float, effect: Effect) -> Iterator[None]:
        yield

    def epoch(self, epoch: int, holder: str) -> None:
        pass


class ActionFile:
    """The record of one controller; every method may be called from any thread."""

    def __init__(self, path: Path, wall_ms: Callable[[], int]) -> None:
        self._path = path
        self._older = path.with_name(path.name + ".1")
        self._wall_ms = wall_ms
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._bytes = 0
        self._epoch = 0
        self.lost = 0
        records = self.read(0, 1, newest=True)
        self._number = records[-1]["n"] if records else 0

    @contextmanager
    def act(self, lease: Lease, now_s: float, effect: Effect) -> Iterator[None]:
        """Begin, and how it ended: done, fenced, or failed, after which nobody knows."""
        left_ms = int((lease.renewed_at_s + lease.ttl_s - now_s) * 1000)
        number = self._write(
            kind="begin", epoch=lease.epoch, lease_ms=left_ms, **asdict(effect))
        result = "failed"
        try:
            yield
            result = "done"
        except Exception as error:
            result = "fenced" if isinstance(error, Fenced) else "failed"
            raise
        finally:
            self._write(kind="end", of=number, result=result)

    def epoch(self, epoch: int, holder: str) -> None:
        """Once for each epoch, as far as this controller sees it."""
        if epoch > self._epoch:
            self._epoch = epoch
            self._write(kind="epoch", epoch=epoch, holder=holder)

    def read(self, after: int, limit: int, *, newest: bool = False) -> list[Record]:
        """At most `limit` records whose number is above `after`, the oldest first.

        With `newest`, the last ones. A line that a crash cut short is left out.
        """
        found = []
        for path in (self._older, self._path):
            with contextlib.suppress(FileNotFoundError):
                for line in path.read_bytes().splitlines():
                    with contextlib.suppress(ValueError):
                        record = json.loads(line)
                        if isinstance(record, dict) and record.get("n", 0) > after:
                            found.append(record)
        return found[-limit:] if newest else found[:limit]

    def close(self) -> None:
        """Give the file back."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, **parts: Any) -> int:
        with self._lock:
            self._number += 1
            line = json.dumps({"n": self._number, "at_ms": self._wall_ms(), **parts},
                              separators=(",", ":")).encode()[:LINE_BYTES_MAX] + b"\n"
            try:
                if self._descriptor is None or self._bytes > FILE_BYTES_MAX:
                    self._open()
                assert self._descriptor is not None
                os.write(self._descriptor, line)
                self._bytes += len(line)
            except OSError as error:
                self.lost += 1
                if self.lost == 1:
                    logger.warning("%s: actions are not recorded: %s", self._path, error.strerror)
            return self._number

    def _open(self) -> None:
        if self._descriptor is not None:
            self._close()
            self._path.replace(self._older)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._bytes = os.fstat(self._descriptor).st_size
        if self._bytes:
            # Ends the line that a crash may have cut short.
            os.write(self._descriptor, b"\n")
