"""RedisBus: the bus between controllers, over Redis, which may come and go."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import redis

from cluster.clock import Clock
from cluster.live.bus import STOP_S, Deliver, LocalBus
from cluster.live.connect import connect, key, reason
from cluster.live.outbox import Outbox

logger = logging.getLogger(__name__)

TIMEOUT_S = 1.0
RETRY_S = 0.5
POLL_S = 0.1
"""So long until another controller's messages on a new topic are heard."""
PING_S = 1.0
SILENT_S = 3.0
"""A connection on which not even a ping is answered is given up."""
AGE_MAX_S = 5.0
"""What waited for longer is news no more."""
_SENDER_BYTES = 16
_FAILURES = (redis.RedisError, OSError, ValueError, RuntimeError)


class RedisBus:
    """A LocalBus here, joined to those of the other controllers of the cluster.

    Listeners here hear what is published here in any case; Redis only brings it to the others,
    and theirs here. Two threads speak to Redis, nobody else. `cluster_id` is "" as long as
    the cluster has none; nothing is brought before. Thread: any.
    """

    def __init__(self, url: str, cluster_id: Callable[[], str], clock: Clock) -> None:
        self._url = url
        self._cluster_id = cluster_id
        self._clock = clock
        self._id = secrets.token_bytes(_SENDER_BYTES)
        self._local = LocalBus(clock)
        self._outbox = Outbox(clock)
        self._stop = threading.Event()
        self._hears = False
        self._fails = False
        self._lost = 0
        self._threads = [
            threading.Thread(target=self._send, name="bus-send", daemon=True),
            threading.Thread(target=self._receive, name="bus-receive", daemon=True),
        ]

    @property
    def connected(self) -> bool:
        """True while messages come and go by way of Redis."""
        return self._hears and not self._fails

    @property
    def dropped(self) -> int:
        """How many messages were too many, too old, or not taken by Redis."""
        return self._local.dropped + self._outbox.dropped + self._lost

    def start(self) -> None:
        """Begin to deliver, and to look for Redis."""
        self._local.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Leave Redis alone, and deliver no more; bounded in time."""
        self._stop.set()
        self._outbox.close()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(STOP_S)
        self._local.stop()

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell all who listen, here and elsewhere."""
        self._local.publish(topic, payload)
        self._outbox.put(topic, payload)

    def subscribe(self, topic: str, deliver: Deliver) -> Callable[[], None]:
        """Listen until the returned function is called."""
        return self._local.subscribe(topic, deliver)

    # -- to the others -----------------------------------------------------------------

    def _send(self) -> None:
        with connect(self._url, timeout_s=TIMEOUT_S) as client:
            while (message := self._outbox.take()) is not None:
                cluster_id = self._cluster_id()
                if not cluster_id or self._clock.monotonic_s() - message.at_s > AGE_MAX_S:
                    self._lost += 1
                    continue
                try:
                    client.publish(
                        key(cluster_id, "bus", message.topic), self._id + message.payload)
                    self._fails = False
                except _FAILURES as error:
                    self._lost += 1
                    self._failed(error)
                    self._stop.wait(RETRY_S)

    # -- from the others ---------------------------------------------------------------

    def _receive(self) -> None:
        while not self._stop.is_set():
            cluster_id = self._cluster_id()
            if cluster_id:
                try:
                    self._listen(key(cluster_id, "bus", ""))
                except _FAILURES as error:
                    self._failed(error)
            self._hears = False
            self._stop.wait(RETRY_S)

    def _failed(self, error: Exception) -> None:
        if self.connected:
            logger.warning("Redis for the live bus does not answer: %s", reason(error))
        self._fails = True

    def _listen(self, prefix: str) -> None:
        """Pass messages on until the connection fails or the bus stops."""
        with connect(self._url, timeout_s=TIMEOUT_S) as client, closing(client.pubsub()) as pubsub:
            # Nobody publishes without a topic; a subscription keeps the connection of use.
            pubsub.subscribe(prefix)
            heard_s = asked_s = self._clock.monotonic_s()
            topics: frozenset[str] = frozenset()
            while not self._stop.is_set():
                wanted = self._local.topics
                if wanted - topics:
                    pubsub.subscribe(*(prefix + topic for topic in wanted - topics))
                if topics - wanted:
                    pubsub.unsubscribe(*(prefix + topic for topic in topics - wanted))
                topics = wanted
                message = pubsub.get_message(timeout=POLL_S)
                now_s = self._clock.monotonic_s()
                if message is not None:
                    heard_s = now_s
                    self._hear(prefix, message)
                elif now_s - heard_s > SILENT_S:
                    raise redis.TimeoutError(f"no word for {SILENT_S:g} s")
                if now_s - asked_s > PING_S:
                    asked_s = now_s
                    pubsub.ping()

    def _hear(self, prefix: str, message: dict[str, Any]) -> None:
        """Any word shows that Redis is there; some are messages of other controllers."""
        if not self.connected:
            logger.info("Redis for the live bus answers")
            self._hears, self._fails = True, False
        if message["type"] != "message":
            return
        sender, payload = message["data"][:_SENDER_BYTES], message["data"][_SENDER_BYTES:]
        if sender != self._id:
            self._local.publish(message["channel"].decode().removeprefix(prefix), payload)
