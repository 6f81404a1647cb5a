"""Bus: short-lived messages to whoever listens just now, here or at other controllers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Protocol

from cluster.clock import Clock
from cluster.live.outbox import Outbox

logger = logging.getLogger(__name__)

Deliver = Callable[[bytes], None]
STOP_S = 2.0


class Bus(Protocol):
    """Messages may be lost; those of one publisher come in order, and none comes twice."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell all who listen; never waits, never raises."""

    def subscribe(self, topic: str, deliver: Deliver) -> Callable[[], None]:
        """Have `deliver` called with each message, soon; returns what ends it.

        It is called in the bus's thread and must not wait. A call may be under way while
        the subscription ends; none begins afterwards.
        """


class LocalBus:
    """Within this process. Thread: any."""

    def __init__(self, clock: Clock) -> None:
        self._outbox = Outbox(clock)
        self._lock = threading.Lock()
        self._listeners: Mapping[str, tuple[_Listener, ...]] = MappingProxyType({})
        self._thread = threading.Thread(target=self._run, name="bus", daemon=True)

    @property
    def dropped(self) -> int:
        """How many messages were too many."""
        return self._outbox.dropped

    @property
    def topics(self) -> frozenset[str]:
        """What is listened to."""
        return frozenset(self._listeners)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def stop(self) -> None:
        """Deliver no more; waits a little for a call that is under way."""
        self._outbox.close()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell all who listen here."""
        if topic in self._listeners:
            self._outbox.put(topic, payload)

    def subscribe(self, topic: str, deliver: Deliver) -> Callable[[], None]:
        """Listen until the returned function is called."""
        listener = _Listener(deliver)
        with self._lock:
            self._set(topic, (*self._listeners.get(topic, ()), listener))

        def close() -> None:
            listener.closed = True
            with self._lock:
                self._set(topic, tuple(
                    other for other in self._listeners.get(topic, ()) if other is not listener))

        return close

    def _set(self, topic: str, listeners: tuple[_Listener, ...]) -> None:
        """Replace the listeners of a topic; those who read see all of it or nothing."""
        changed = {**self._listeners, topic: listeners}
        if not listeners:
            del changed[topic]
        self._listeners = MappingProxyType(changed)

    def _run(self) -> None:
        while (message := self._outbox.take()) is not None:
            for listener in self._listeners.get(message.topic, ()):
                if listener.closed:
                    continue
                try:
                    listener.deliver(message.payload)
                except Exception:
                    logger.exception("a listener of %s failed", message.topic)


class _Listener:
    def __init__(self, deliver: Deliver) -> None:
        self.deliver = deliver
        self.closed = False
