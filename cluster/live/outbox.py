"""Outbox: messages between who has them and who sends them on; bounded, the oldest go first."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

from cluster.clock import Clock

MESSAGES_MAX = 4096
BYTES_MAX = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Message:
    """What was published, and when."""

    topic: str
    payload: bytes
    at_s: float


class Outbox:
    """Takes any message without waiting; what is too much is dropped and counted.

    Thread: any number put, one takes.
    """

    def __init__(
        self, clock: Clock, *, messages_max: int = MESSAGES_MAX, bytes_max: int = BYTES_MAX
    ) -> None:
        self._clock = clock
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._changed = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._bytes = 0
        self._closed = False
        self.dropped = 0

    def put(self, topic: str, payload: bytes) -> None:
        """Add a message, at the cost of the oldest ones."""
        with self._changed:
            if self._closed or len(payload) > self._bytes_max:
                self.dropped += 1
                return
            self._waiting.append(Message(topic, payload, self._clock.monotonic_s()))
            self._bytes += len(payload)
            while len(self._waiting) > self._messages_max or self._bytes > self._bytes_max:
                self._bytes -= len(self._waiting.popleft().payload)
                self.dropped += 1
            self._changed.notify()

    def take(self) -> Message | None:
        """The oldest message, once there is one; None when the outbox is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            message = self._waiting.popleft()
            self._bytes -= len(message.payload)
            return message

    def close(self) -> None:
        """Forget what is left, and take no more."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()
