"""Snapshots: the whole state in one file, to shorten the journal and to help stragglers.

    line 1  {"format": "orchestry-snapshot", "v": 1, "crc32": …}   over the rest
    line 2  the last two log entries that it covers, oldest first
    line 3  the state, as `cluster.state.codec` writes it

The log must keep those two entries: PySyncObj finds the end of a compacted log by them.
"""

from __future__ import annotations

import json
import logging
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.consensus.disk import Disk
from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import Entry
from cluster.state import codec
from cluster.state.model import ClusterState

logger = logging.getLogger(__name__)

FORMAT = "orchestry-snapshot"
FORMAT_VERSION = 1
PIECE_BYTES = 256 * 1024
SNAPSHOT_BYTES_MAX = 256 * 1024 * 1024
RETRY_S = 10.0
WRITE_TIMEOUT_S = 30.0
_IDLE, _BUSY, _SUCCESS, _FAILED = range(4)  # pysyncobj.config.SERIALIZER_STATE


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A state and the log entries at its end."""

    previous: Entry
    last: Entry
    state: ClusterState


def encode(snapshot: Snapshot) -> bytes:
    """The snapshot as a file."""
    ends = [
        (command.decode("latin-1"), index, term)
        for command, index, term in (snapshot.previous, snapshot.last)
    ]
    rest = b"\n".join((
        json.dumps(ends).encode(), codec.encode_snapshot(snapshot.state).encode(),
    ))
    head = {"format": FORMAT, "v": FORMAT_VERSION, "crc32": zlib.crc32(rest)}
    return json.dumps(head).encode() + b"\n" + rest


def decode(data: bytes) -> Snapshot:
    """The snapshot back.

    Raises:
        ValueError: damaged, or not a snapshot.
        codec.UnknownFormat: a newer version wrote it.
    """
    first, _, rest = data.partition(b"\n")
    head = json.loads(first)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise ValueError("no snapshot of Orchestry")
    if head["v"] != FORMAT_VERSION:
        raise codec.UnknownFormat(f"snapshot file version {head['v']!r}")
    if head["crc32"] != zlib.crc32(rest):
        raise ValueError("its checksum differs")
    ends, _, state = rest.partition(b"\n")
    previous, last = (
        (command.encode("latin-1"), index, term) for command, index, term in json.loads(ends)
    )
    return Snapshot(previous, last, codec.decode_snapshot(state.decode()))


def run_in_thread(job: Callable[[], None]) -> threading.Thread:
    """Run a job beside the Raft thread, so that heartbeats go on."""
    thread = threading.Thread(target=job, name="raft-snapshot", daemon=True)
    thread.start()
    return thread


class Snapshots:
    """PySyncObj's serializer interface over one snapshot file.

    The state is immutable, so a thread may write it while the log goes on.
    """

    def __init__(
        self,
        disk: Disk,
        path: Path,
        now_s: Callable[[], float],
        run: Callable[[Callable[[], None]], threading.Thread | None] = run_in_thread,
    ) -> None:
        self._disk = disk
        self.path = path
        self._now_s = now_s
        self._run = run
        self._writer: threading.Thread | None = None
        self._result = _IDLE
        self._last_index = 0
        self._failed_at_s = float("-inf")
        self._outgoing: dict[Any, tuple[bytes, int]] = {}
        self._incoming: bytearray | None = None
        self.state: Callable[[], ClusterState] = ClusterState

    def load(self) -> Snapshot | None:
        """What the disk holds.

        Raises:
            ConsensusError: it cannot be used.
        """
        data = self._disk.read(self.path)
        if data is None:
            return None
        try:
            return decode(data)
        except codec.UnknownFormat as error:
            raise ConsensusError(
                f"snapshot {self.path}: {error}; start a version of Orchestry that is as new "
                "as the one that wrote it"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise ConsensusError(
                f"snapshot {self.path} is damaged ({error}); restore the data folder, or, "
                "while the other controllers are up, move this controller's data folder away "
                "and start it again to copy the state from them"
            ) from error

    def store(self, data: bytes) -> None:
        """Keep an encoded snapshot; raises OSError."""
        self._disk.replace(self.path, data)
        self._disk.settle(self.path.parent)

    def receive(self, data: bytes, *, first: bool, last: bool) -> bytes | None:
        """Collect pieces from the leader; the whole once it is there."""
        if first:
            self._incoming = bytearray()
        if self._incoming is None:
            return None
        self._incoming += data
        if len(self._incoming) > SNAPSHOT_BYTES_MAX:
            logger.error("snapshot from the leader is over %d bytes", SNAPSHOT_BYTES_MAX)
            self._incoming = None
            return None
        if not last:
            return None
        whole, self._incoming = bytes(self._incoming), None
        return whole

    def finish(self) -> bool:
        """Wait for a write in progress; False when it does not end."""
        if self._writer is not None:
            self._writer.join(WRITE_TIMEOUT_S)
        return self._writer is None or not self._writer.is_alive()

    # PySyncObj's names

    def checkSerializing(self) -> tuple[int, int | None]:
        result = self._result
        if result in (_SUCCESS, _FAILED):
            self._result = _IDLE
        return result, self._last_index

    def serialize(self, data: tuple[Any, Entry, Entry, Any], index: int) -> None:
        if self._result != _IDLE or self._now_s() < self._failed_at_s + RETRY_S:
            return
        _, last, previous, _ = data
        snapshot = Snapshot(previous, last, self.state())
        self._last_index, self._result = index, _BUSY
        self._writer = self._run(lambda: self._write(snapshot))

    def _write(self, snapshot: Snapshot) -> None:
        try:
            self.store(encode(snapshot))
        except OSError as error:
            logger.warning("snapshot %s not written: %s", self.path, error.strerror)
            self._failed_at_s = self._now_s()
            self._result = _FAILED
        else:
            self._result = _SUCCESS

    def getTransmissionData(self, receiver: Any) -> tuple[bytes, bool, bool] | None:
        sent = self._outgoing.get(receiver)
        if sent is None:
            try:
                data = self._disk.read(self.path)
            except OSError as error:
                logger.warning("snapshot %s not read: %s", self.path, error.strerror)
                return None
            if data is None:
                return None
            sent = (data, 0)
        data, start = sent
        piece = data[start : start + PIECE_BYTES]
        if piece:
            self._outgoing[receiver] = (data, start + len(piece))
        else:
            self._outgoing.pop(receiver, None)
        return piece, start == 0, not piece

    def cancelTransmisstion(self, receiver: Any) -> None:
        self._outgoing.pop(receiver, None)
