"""Parts of a controller that follow the configuration, whether it leads or not."""

from __future__ import annotations

import logging

from cluster.clock import Clock
from cluster.config.effective import Config, Configured
from cluster.consensus.log import ReplicatedLog
from cluster.history.base import DAY_MS, HOUR_MS, Retention
from cluster.state.commands import Noop, Stamp
from cluster.state.model import ClusterState
from orchestry.errors import OrchestryError

BARRIER_S = 5.0


class LogLevel:
    """Sets the level of the log when the configuration changes it.

    It is as the process set it until somebody does.
    """

    def __init__(self, configured: Configured) -> None:
        self._configured = configured
        self._level = configured({}).log_level

    def follow(self, state: ClusterState) -> None:
        """Take the level that holds now."""
        level = self._configured(state.config).log_level
        if level != self._level:
            self._level = level
            logging.getLogger().setLevel(level.upper())


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
