"""Peers: what this node knows about the others, for `status` and for the log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from cluster.consensus.log import PeerStatus

logger = logging.getLogger(__name__)

REPORT_EVERY_S = 30.0


class Peers:
    """Filled by the Raft thread, read by any; never raises."""

    def __init__(
        self, names: Mapping[str, str], now_s: Callable[[], float], wall_ms: Callable[[], int]
    ) -> None:
        """`names` maps addresses of the others to their controller ids."""
        self.names = dict(names)
        self.incarnations: dict[str, str] = {}
        self._now_s = now_s
        self._wall_ms = wall_ms
        self._heard_at_ms: dict[str, int] = {}
        self._refused: dict[str, str] = {}
        self._reported_at_s: dict[str, float] = {}

    def rename(self, names: Mapping[str, str]) -> None:
        """The members changed; readers in other threads see the old names or the new."""
        self.names = dict(names)
        gone = self.incarnations.keys() - names.values()
        self.incarnations = {n: i for n, i in self.incarnations.items() if n not in gone}

    def name(self, address: str) -> str:
        """The id of a peer; its address once it is no member any more."""
        return self.names.get(address, address)

    def heard(self, address: str) -> None:
        """A message was accepted."""
        self._heard_at_ms[self.name(address)] = self._wall_ms()

    def accept(self, address: str, incarnation: str = "") -> None:
        """The peer proved to be who it should be, with the data folder `incarnation`."""
        name = self.name(address)
        if incarnation and self.incarnations.get(name) != incarnation:
            self.incarnations = {**self.incarnations, name: incarnation}
        if self._refused.pop(name, ""):
            logger.info("controller %s is accepted again", name)
            self._reported_at_s.pop(name, None)

    def refuse(self, name: str, reason: str) -> None:
        """Note why messages of `name` ("" when unknown) are not accepted."""
        who = name if name in self.names.values() else "?"
        if who != "?":
            self._refused[who] = reason
        now_s = self._now_s()
        if now_s >= self._reported_at_s.get(who, float("-inf")) + REPORT_EVERY_S:
            self._reported_at_s[who] = now_s
            logger.error("controller %s is refused: %s", name or "(unknown)", reason)

    def status(self, connected: frozenset[str]) -> dict[str, PeerStatus]:
        """By controller id; `connected` holds addresses."""
        return {
            name: PeerStatus(
                address in connected, self._heard_at_ms.get(name, 0), self._refused.get(name, "")
            )
            for address, name in self.names.items()
        }
