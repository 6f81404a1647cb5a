"""An answer of Docker's that one thread reads for as long as it goes on, and another one closes."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import requests


class OpenAnswer:
    """What is read at the moment, if anything; `closed` says that nothing is read any more."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self._lock = threading.Lock()
        self._response: requests.Response | None = None

    @contextlib.contextmanager
    def reading(self, response: requests.Response) -> Iterator[bool]:
        """For as long as it is read; False where it is closed already."""
        with self._lock:
            self._response = response
        try:
            yield not self.closed.is_set()
        finally:
            with self._lock:
                self._response = None

    def close(self) -> None:
        """End the reading, wherever it waits."""
        with self._lock:
            self.closed.set()
            if self._response is not None:
                # The stream may have ended by itself a moment ago.
                with contextlib.suppress(ValueError, RuntimeError, OSError):
                    self._response.raw.shutdown()
