"""Limits: how often a client may ask, counted with all controllers while Redis answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.clock import Clock
from cluster.config.readers import Network
from cluster.live.clients import client_of, networks
from cluster.live.limits import Limit, Verdict, in_force, judge
from cluster.live.memory_limits import MemoryCounters
from cluster.live.watch import Answers

if TYPE_CHECKING:
    from cluster.live.redis_limits import RedisCounters

PER_HOUR = 1000
PER_MINUTE = 100


@dataclass(frozen=True, slots=True)
class _Rules:
    per_hour: int
    per_minute: int
    trusted_proxies: tuple[str, ...]
    limits: tuple[Limit, ...]
    trusted: tuple[Network, ...]


def _rules(per_hour: int, per_minute: int, trusted_proxies: Sequence[str]) -> _Rules:
    if per_hour < 0 or per_minute < 0:
        raise ValueError("a limit is 0, which is off, or more")
    return _Rules(per_hour, per_minute, tuple(trusted_proxies),
                  in_force(per_minute=per_minute, per_hour=per_hour), networks(trusted_proxies))


class Limits:
    """The limits of one controller.

    Its own memory follows what Redis knows, so that a Redis that is lost, with or without
    what it held, gives nobody another full allowance here. Thread: any.
    """

    def __init__(
        self, clock: Clock, *, per_hour: int = PER_HOUR, per_minute: int = PER_MINUTE,
        trusted_proxies: Sequence[str] = (), redis_url: str = "",
        cluster_id: Callable[[], str] = str,
    ) -> None:
        self._clock = clock
        self._rules = _rules(per_hour, per_minute, trusted_proxies)
        self._memory = MemoryCounters(clock)
        self._shared: RedisCounters | None = None
        if redis_url:
            # Importing the client of Redis takes longer than all the rest of this package.
            from cluster.live.redis_limits import RedisCounters

            self._shared = RedisCounters(redis_url, cluster_id, clock)

    def start(self) -> None:
        """Begin to share."""
        if self._shared is not None:
            self._shared.start()

    def stop(self) -> None:
        """Share no more."""
        if self._shared is not None:
            self._shared.stop()

    def configure(
        self, *, per_hour: int | None = None, per_minute: int | None = None,
        trusted_proxies: Sequence[str] | None = None,
    ) -> None:
        """Change the limits, with effect at once; what is None stays, 0 is off.

        Raises:
            ValueError: a limit is negative, or a proxy is neither address nor network.
        """
        now = self._rules
        self._rules = _rules(
            now.per_hour if per_hour is None else per_hour,
            now.per_minute if per_minute is None else per_minute,
            now.trusted_proxies if trusted_proxies is None else trusted_proxies)

    @property
    def on(self) -> bool:
        """True when there is any limit."""
        return bool(self._rules.limits)

    def answers(self) -> Answers | None:
        """How Redis does; None without one."""
        return self._shared.answers() if self._shared is not None else None

    def client(self, remote: str, forwarded: str = "") -> str:
        """Who is behind a request from `remote` with this `X-Forwarded-For`."""
        return client_of(remote, forwarded, self._rules.trusted)

    def count(self, client: str) -> Verdict | None:
        """Count a request; None when there is no limit."""
        limits = self._rules.limits
        if not limits:
            return None
        shared = self._shared
        if shared is None:
            return judge(limits, self._memory.hit(client, limits))
        mine = self._memory.look(client, limits)
        if not mine.allowed:  # Redis knows of no fewer: it need not be asked.
            return judge(limits, mine)
        asked_s = self._clock.monotonic_s()
        found = shared.hit(client, limits)
        if found is None:
            return judge(limits, self._memory.hit(client, limits))
        return judge(limits, self._memory.merge(client, limits, found, asked_s))

    def look(self, client: str) -> Verdict | None:
        """What is known here of a client, without counting; None when there is no limit."""
        limits = self._rules.limits
        return judge(limits, self._memory.look(client, limits)) if limits else None

    def give_back(self, client: str) -> None:
        """A counted request was sent on to where it is counted."""
        limits = self._rules.limits
        self._memory.give_back(client, limits)
        if self._shared is not None:
            self._shared.give_back(client, limits)
