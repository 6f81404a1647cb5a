"""Parts of a controller that follow the configuration, whether it leads or not."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cluster.clock import Clock
from cluster.config.effective import Config, Configured
from cluster.consensus.log import ReplicatedLog
from cluster.history.base import DAY_MS, HOUR_MS, Retention
from cluster.live.sharing import Limits
from cluster.state.commands import Noop, Stamp
from cluster.state.model import ClusterState
from orchestry.errors import OrchestryError

BARRIER_S = 5.0


class Follower:
    """Hands the configuration to parts that keep it, each time that it changed.

    Until then they are as the settings made them.
    """

    def __init__(self, configured: Configured, *parts: Callable[[Config], None]) -> None:
        self._configured = configured
        self._parts = parts
        self._handed = configured({})

    def follow(self, state: ClusterState) -> None:
        """Hand on what holds now, if it is news."""
        config = self._configured(state.config)
        if config is not self._handed and config != self._handed:
            for part in self._parts:
                part(config)
        self._handed = config


def set_log_level(config: Config) -> None:
    """Of this process."""
    logging.getLogger().setLevel(config.log_level.upper())


def limiting(limits: Limits) -> Callable[[Config], None]:
    """How often clients may ask this controller."""
    def follow(config: Config) -> None:
        per_hour, per_minute, trusted = config.limits
        limits.configure(per_hour=per_hour, per_minute=per_minute, trusted_proxies=trusted)

    return follow


class LiveConfig:
    """What the history asks for."""

    def __init__(
        self, configured: Configured, log: ReplicatedLog, clock: Clock, node_id: str
    ) -> None:
        self._configured = configured
        self._log = log
        self._clock = clock
        self._id = node_id

    def _now(self) -> Config:
        return self._configured(self._log.state().config)

    def retention(self) -> Retention:
        """How long what is kept."""
        values = self._now().values
        return Retention(
            values["retention.raw_hours"] * HOUR_MS, values["retention.minute_days"] * DAY_MS,
            values["retention.hour_days"] * DAY_MS, values["retention.events_days"] * DAY_MS,
        )

    def pool_size(self) -> int | None:
        """Connections to PostgreSQL as of now, through a barrier; None when nobody leads.

        Right after a start the state is that of the last snapshot: what was changed since
        comes with the log.
        """
        try:
            stamp = Stamp(self._clock.wall_ms(), self._id)
            applied = self._log.submit(Noop(), stamp).wait(BARRIER_S)
        except OrchestryError:
            return None
        if not self._log.wait_applied(applied.index, BARRIER_S):
            return None
        return self._now().pool_size
