"""Journal: the node's log, term and vote on disk, append-only and checksummed.

    file   = header, frame*
    frame  = magic, length, CRC-32 of the body, body     one frame is one group commit
    body   = record*
    record = kind, two numbers, payload length, payload

A frame is written only after the one before it was synced. So a broken last frame is a
write that a crash cut short, of which nobody was told; it is dropped. A broken frame with
a good one behind it is damage, and is refused.

Source: docs/adr/0004-durable-journal.md.
"""

from __future__ import annotations

import contextlib
import logging
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from cluster.consensus.disk import Disk, DiskFile
from cluster.consensus.errors import ConsensusError

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
_MAGIC = b"orchestry-journal"
_HEADER = struct.Struct(f"<{len(_MAGIC)}sHI")
_FRAME_MAGIC = b"\xf1OJF"
_FRAME = struct.Struct("<4sII")
_RECORD = struct.Struct("<BQQI")
_ENTRY, _CUT, _TERM, _COMMIT = 1, 2, 3, 4

Entry = tuple[bytes, int, int]
"""Command, index, term."""


def _header(version: int = FORMAT_VERSION) -> bytes:
    known = _MAGIC + version.to_bytes(2, "little")
    return _HEADER.pack(_MAGIC, version, zlib.crc32(known))


def _frame(body: bytes) -> bytes:
    return _FRAME.pack(_FRAME_MAGIC, len(body), zlib.crc32(body)) + body


def _record(kind: int, first: int, second: int = 0, payload: bytes = b"") -> bytes:
    return _RECORD.pack(kind, first, second, len(payload)) + payload


class Watcher(Protocol):
    """Follows what is added to a log, and what is cut off again."""

    def add(self, entry: bytes, index: int) -> None: ...
    def cut(self, index: int) -> None: ...


class Journal:
    """PySyncObj's journal interface; nothing is on disk before `sync` returns."""

    def __init__(self, disk: Disk, path: Path) -> None:
        """Open or create.

        Raises:
            ConsensusError: the file is damaged, foreign or newer.
            OSError: it cannot be read or written.
        """
        self._disk = disk
        self.path = path
        self.watcher: Watcher | None = None
        self._entries: list[Entry] = []
        self._term = 0
        self._vote: str | None = None
        self._commit_index = 1
        self._commit_noted = 1
        self._pending = bytearray()
        self._rewrite_due = False
        data = disk.read(path)
        if data is None:
            data = _header()
            disk.replace(path, data)
            disk.settle(path.parent)
        self._end = self._load(data)
        self._settled = True
        self._file: DiskFile | None = disk.open(path)
        if self._end < len(data):
            self._cut_tail(len(data) - self._end)

    def _cut_tail(self, broken_bytes: int) -> None:
        logger.warning(
            "journal %s: dropped %d bytes of an unfinished write at its end",
            self.path, broken_bytes,
        )
        file = self._current_file()
        try:
            file.truncate(self._end)
            file.sync()
        except OSError:
            file.close()
            raise

    # Reading a file

    def _refuse(self, why: str, remedy: str) -> ConsensusError:
        return ConsensusError(f"journal {self.path} {why}; {remedy}")

    def _damaged(self, where: int) -> ConsensusError:
        return self._refuse(
            f"is damaged at byte {where}",
            "restore the data folder, or, while the other controllers are up, move this "
            "controller's data folder away and start it again to copy the state from them",
        )

    def _load(self, data: bytes) -> int:
        """Take over all records; returns where the good part ends."""
        if len(data) < _HEADER.size or not data.startswith(_MAGIC):
            raise self._refuse(
                "is not a journal of Orchestry",
                "set ORCHESTRY_DATA_DIR to the right folder, or move the file away",
            )
        _, version, checksum = _HEADER.unpack_from(data)
        if checksum != zlib.crc32(data[: _HEADER.size - 4]):
            raise self._damaged(0)
        if version != FORMAT_VERSION:
            raise self._refuse(
                f"has format {version}, this version reads {FORMAT_VERSION}",
                "start a version of Orchestry that is as new as the one that wrote it",
            )
        position = _HEADER.size
        while position < len(data):
            body = self._body(data, position)
            if body is None:
                if self._good_frame_after(data, position):
                    raise self._damaged(position)
                break
            for record in self._records(body, position):
                self._take(record, position)
            position += _FRAME.size + len(body)
        return position

    @staticmethod
    def _body(data: bytes, position: int) -> bytes | None:
        """The checked body of the frame at `position`, or None."""
        if position + _FRAME.size > len(data):
            return None
        magic, length, checksum = _FRAME.unpack_from(data, position)
        start = position + _FRAME.size
        body = data[start : start + length]
        if magic != _FRAME_MAGIC or len(body) != length or zlib.crc32(body) != checksum:
            return None
        return body

    def _good_frame_after(self, data: bytes, position: int) -> bool:
        found = data.find(_FRAME_MAGIC, position + 1)
        while found >= 0:
            if self._body(data, found) is not None:
                return True
            found = data.find(_FRAME_MAGIC, found + 1)
        return False

    def _records(self, body: bytes, where: int) -> Iterator[tuple[int, int, int, bytes]]:
        position = 0
        while position < len(body):
            if position + _RECORD.size > len(body):
                raise self._damaged(where)
            kind, first, second, length = _RECORD.unpack_from(body, position)
            position += _RECORD.size
            if position + length > len(body):
                raise self._damaged(where)
            yield kind, first, second, body[position : position + length]
            position += length

    def _take(self, record: tuple[int, int, int, bytes], where: int) -> None:
        kind, first, second, payload = record
        if kind == _ENTRY:
            if self._entries and first != self._entries[-1][1] + 1:
                raise self._damaged(where)
            self._entries.append((payload, first, second))
        elif kind == _CUT:
            start = self._entries[0][1] if self._entries else first
            del self._entries[max(0, first - start) :]
        elif kind == _TERM:
            try:
                self._term, self._vote = first, payload.decode() if second else None
            except UnicodeDecodeError:
                raise self._damaged(where) from None
        elif kind == _COMMIT:
            self._commit_index = self._commit_noted = first
        else:
            raise self._damaged(where)

    # Writing

    def sync(self) -> None:
        """Write what is pending as one frame, and return once it is safe.

        After an error the same records are written again by the next call: pages whose
        sync failed count as clean for the kernel, so syncing alone would prove nothing.

        Raises:
            OSError: it is not safe.
        """
        if not self._pending and self._settled:
            return
        if self._commit_noted != self._commit_index:
            self._pending += _record(_COMMIT, self._commit_index)
            self._commit_noted = self._commit_index
        frame = _frame(bytes(self._pending))
        file = self._current_file()
        try:
            file.write_at(self._end, frame)
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(self._end)
            raise
        self._end += len(frame)
        self._pending.clear()

    def close(self) -> None:
        """Give the file back; what is pending is lost, as in a crash."""
        if self._file is not None:
            self._file.close()

    def _current_file(self) -> DiskFile:
        if not self._settled:
            self._disk.settle(self.path.parent)
            self._settled = True
        if self._file is None:
            self._file = self._disk.open(self.path)
        return self._file

    def _rewrite(self) -> None:
        """Drop what was compacted away from the file; tried again later when it fails."""
        self._rewrite_due = True
        vote = b"" if self._vote is None else self._vote.encode()
        body = bytearray(_record(_TERM, self._term, self._vote is not None, vote))
        for command, index, term in self._entries:
            body += _record(_ENTRY, index, term, command)
        body += _record(_COMMIT, self._commit_index)
        data = _header() + _frame(bytes(body))
        try:
            self._disk.replace(self.path, data)
        except OSError as error:
            logger.warning("journal %s not compacted: %s", self.path, error.strerror)
            return
        if self._file is not None:
            self._file.close()
        self._file, self._settled, self._rewrite_due = None, False, False
        self._end, self._commit_noted = len(data), self._commit_index
        self._pending.clear()

    # PySyncObj's names

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, item: Any) -> Any:
        return self._entries[item]

    def add(self, command: bytes, index: int, term: int) -> None:
        self._entries.append((command, index, term))
        self._pending += _record(_ENTRY, index, term, command)
        if self.watcher is not None:
            self.watcher.add(command, index)

    def clear(self) -> None:
        self._entries.clear()
        if self.watcher is not None:
            self.watcher.cut(0)
        self._pending += _record(_CUT, 0)

    def deleteEntriesFrom(self, position: int) -> None:
        if position < len(self._entries):
            first = self._entries[position][1]
            self._pending += _record(_CUT, first)
            if self.watcher is not None:
                self.watcher.cut(first)
            del self._entries[position:]

    def deleteEntriesTo(self, position: int) -> None:
        if position > 0:
            del self._entries[:position]
            self._rewrite()

    def setRaftCommitIndex(self, index: int) -> None:
        self._commit_index = index

    def getRaftCommitIndex(self) -> int:
        return min(self._commit_index, self._entries[-1][1]) if self._entries else 1

    def setCurrentTerm(self, term: int, vote: str | None) -> None:
        self._term, self._vote = term, vote
        payload = b"" if vote is None else vote.encode()
        self._pending += _record(_TERM, term, vote is not None, payload)

    def getCurrentTerm(self) -> int:
        return self._term

    def getVotedForNodeId(self) -> str | None:
        return self._vote

    def onOneSecondTimer(self) -> None:
        """Keep the commit index of an idle node, so that a restart shows its last state."""
        if self._rewrite_due:
            self._rewrite()
        if self._commit_noted != self._commit_index and not self._pending:
            self._pending += _record(_COMMIT, self._commit_index)
            self._commit_noted = self._commit_index

    def _destroy(self) -> None:
        self.onOneSecondTimer()
        try:
            self.sync()
        except OSError as error:
            logger.warning("journal %s not written at stop: %s", self.path, error.strerror)
        self.close()
