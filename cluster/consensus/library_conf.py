"""PySyncObj's settings, made from ours."""

from __future__ import annotations

from typing import Any

from pysyncobj import SyncObjConf

from cluster.consensus.errors import ConsensusError
from cluster.consensus.raft_config import RaftConfig
from cluster.consensus.snapshots import PIECE_BYTES

ENVELOPE_BYTES_MAX = 2 * 1024 * 1024
QUEUE_MAX = 4096
BIND_RETRY_S = 0.1


def bind_address(config: RaftConfig) -> tuple[str, int]:
    """Host and port to listen on."""
    host, _, port = config.address.rpartition(":")
    return config.bind_host or host, int(port)


def library_conf(config: RaftConfig) -> SyncObjConf:
    """PySyncObj's settings; it ignores unknown ones, so each is checked to exist.

    Raises:
        ConsensusError: the library does not know one of them.
    """
    host, port = bind_address(config)
    wanted: dict[str, Any] = {
        "autoTick": False,
        "raftMinTimeout": config.raft_min_timeout_s,
        "raftMaxTimeout": config.raft_max_timeout_s,
        "appendEntriesPeriod": config.append_period_s,
        "leaderFallbackTimeout": config.leader_fallback_timeout_s,
        "connectionTimeout": config.connection_timeout_s,
        "connectionRetryTime": config.connection_retry_s,
        # RaftNode sends all new entries once a tick itself: neither the wait for the next
        # heartbeat that True means to the library, nor a message for each command.
        "appendEntriesUseBatch": True,
        # Larger than any entry: the library's way to cut one into pieces can lose the last.
        "appendEntriesBatchSizeBytes": ENVELOPE_BYTES_MAX + 4096,
        "commandsWaitLeader": False,
        "commandsQueueSize": QUEUE_MAX,
        "useFork": False,
        "logCompactionMinEntries": config.snapshot_min_entries,
        "logCompactionBatchSize": PIECE_BYTES,
        "bindAddress": f"{host}:{port}",
        "maxBindRetries": 1,
        "bindRetryTime": BIND_RETRY_S,
        "dnsCacheTime": 30.0,
        "dnsFailCacheTime": 5.0,
    }
    conf = SyncObjConf(**wanted)
    unknown = [name for name in wanted if not hasattr(conf, name)]
    if unknown:
        raise ConsensusError(f"PySyncObj has no setting {unknown}; install the pinned version")
    return conf
