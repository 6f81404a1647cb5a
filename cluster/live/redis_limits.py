"""RedisCounters: counts that all controllers share, in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import redis

from cluster.clock import Clock
from cluster.live.connect import TIMEOUT_S, connect, key, reason
from cluster.live.limits import Counted, Limit, Window
from cluster.live.watch import Answers, NoAnswer, Watch

# KEYS: one for each limit. ARGV: how many requests and how many milliseconds, for each limit.
# Answers whether the request is within all limits, then used and milliseconds left for each.
_HIT = """
local allowed = 1
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') >= tonumber(ARGV[2 * i - 1]) then allowed = 0 end
end
local found = {allowed}
for i, key in ipairs(KEYS) do
  local used
  if allowed == 1 then
    used = redis.call('INCR', key)
  else
    used = tonumber(redis.call('GET', key) or '0')
  end
  local left = redis.call('PTTL', key)
  if left < 0 then
    left = tonumber(ARGV[2 * i])
    redis.call('PEXPIRE', key, left)
  end
  found[#found + 1] = used
  found[#found + 1] = left
end
return found
"""
_GIVE_BACK = """
for _, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '0') > 0 then redis.call('DECR', key) end
end
return 1
"""
_PROBE = (Limit(2, 1),)


class RedisCounters:
    """One script in Redis a request, and none while Redis does not answer.

    `cluster_id` is "" as long as the cluster has none; nothing is shared before.
    Thread: any.
    """

    def __init__(self, url: str, cluster_id: Callable[[], str], clock: Clock) -> None:
        self._client = connect(url)
        self._cluster_id = cluster_id
        self._clock = clock
        self._hit = self._client.register_script(_HIT)
        self._give_back = self._client.register_script(_GIVE_BACK)
        self._watch = Watch("Redis for the limits of requests", self._ask, clock)

    def start(self) -> None:
        """Begin to look for Redis."""
        self._watch.start()

    def stop(self) -> None:
        """Leave Redis alone."""
        self._watch.stop()
        self._client.close()

    def answers(self) -> Answers:
        """How Redis did lately."""
        return self._watch.latest

    def hit(self, client: str, limits: Sequence[Limit]) -> Counted | None:
        """Count a request, if it is within all limits; None while Redis does not answer."""
        cluster_id = self._cluster_id()
        if not cluster_id or not self._watch.up:
            return None
        began_s = self._clock.monotonic_s()
        try:
            counted = self._count(_keys(cluster_id, client, limits), limits)
        except NoAnswer as error:
            self._watch.lost(str(error))
            return None
        if self._clock.monotonic_s() - began_s > TIMEOUT_S:
            self._watch.lost(f"it took longer than {TIMEOUT_S} s")
        return counted

    def give_back(self, client: str, limits: Sequence[Limit]) -> None:
        """Take one counted request back."""
        cluster_id = self._cluster_id()
        if not cluster_id or not self._watch.up:
            return
        try:
            self._give_back(keys=_keys(cluster_id, client, limits))
        except (redis.RedisError, OSError) as error:
            self._watch.lost(reason(error))

    def _count(self, keys: Sequence[str], limits: Sequence[Limit]) -> Counted:
        arguments = [n for limit in limits for n in (limit.requests, limit.window_s * 1000)]
        try:
            allowed, *found = self._hit(keys=keys, args=arguments)
            windows = zip(found[::2], found[1::2], strict=True)
            return Counted(bool(allowed), tuple(Window(int(u), ms / 1000) for u, ms in windows))
        except (redis.RedisError, OSError, ValueError, TypeError) as error:
            raise NoAnswer(reason(error)) from error

    def _ask(self) -> None:
        """What a request does, so that a Redis that only answers pings is not up."""
        if not self._watch.up:
            # Connections from before may lead nowhere, and would each cost a request its time.
            self._client.connection_pool.disconnect(inuse_connections=False)
        self._count(_keys("-", "probe", _PROBE), _PROBE)


def _keys(cluster_id: str, client: str, limits: Sequence[Limit]) -> list[str]:
    # In braces: a Redis of several servers keeps what is of one client on one of them.
    return [key(cluster_id, "limit", f"{{{client}}}", str(limit.window_s)) for limit in limits]
