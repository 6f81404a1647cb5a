"""RaftConfig: what one Raft node must know."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.consensus.disk import Durability
from cluster.consensus.errors import ConsensusError
from cluster.consensus.secure import RaftTls


@dataclass(frozen=True, slots=True)
class RaftConfig:
    """Settings of one node; `addresses` maps every controller id, ours too, to host:port.

    Once the log names members, those count instead. `joins` waits for that from the start.

    Without `tls` controllers talk without TLS. `bind_host` is where to listen, by default the
    host of our own address. The election timeout is drawn between `raft_min_timeout_s` and
    `raft_max_timeout_s`.
    """

    controller_id: str
    addresses: Mapping[str, str]
    data_dir: Path
    secret: str | None = None
    bind_host: str | None = None
    raft_min_timeout_s: float = 0.3
    raft_max_timeout_s: float = 0.6
    append_period_s: float = 0.05
    tick_s: float = 0.02
    connection_timeout_s: float = 1.5
    connection_retry_s: float = 0.3
    leader_fallback_timeout_s: float = 0.6
    snapshot_min_entries: int = 5000
    durability: Durability = "fsync"
    joins: bool = False
    tls: RaftTls | None = None

    @property
    def address(self) -> str:
        """Our own address."""
        return self.addresses[self.controller_id]

    def check(self) -> None:
        """Refuse what cannot work.

        Raises:
            ConsensusError: with the setting to correct.
        """
        if self.controller_id not in self.addresses:
            raise ConsensusError(
                f"controller {self.controller_id!r} is not among {sorted(self.addresses)}; "
                "correct CONTROLLER_NODE_ID or CLUSTER_PEERS"
            )
        if len(set(self.addresses.values())) != len(self.addresses):
            raise ConsensusError("two controllers share one address; correct CLUSTER_PEERS")
        for name, address in self.addresses.items():
            host, _, port = address.rpartition(":")
            if not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ConsensusError(
                    f"address {address!r} of controller {name!r} is not host:port; "
                    "correct CLUSTER_PEERS"
                )
        if not self.append_period_s * 3 < self.raft_min_timeout_s < self.raft_max_timeout_s:
            raise ConsensusError(
                "the election timeout must be over 3 heartbeats, and its minimum under its "
                "maximum; correct the Raft timers"
            )
        if not self.secret and not all(map(_is_loopback, self.addresses.values())):
            raise ConsensusError(
                "controllers talk over a network without a shared secret; set CLUSTER_SECRET "
                "or CLUSTER_SECRET_FILE to the same value on every controller"
            )


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
