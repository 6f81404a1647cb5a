"""MemoryDisk: a disk that forgets at a crash what was not synced, and may be full."""

from __future__ import annotations

import errno
import random
from pathlib import Path


class PowerCut(BaseException):
    """The machine dies in the middle of a disk operation."""


class _Inode:
    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.synced = bytes(data)


class MemoryDisk:
    """Outlives the processes that use it through a `Session`."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.names: dict[Path, _Inode] = {}
        self.settled: dict[Path, _Inode] = {}
        self.full = False
        self.operations_left: int | None = None
        self.slow_s = 0.0
        self.owed_s = 0.0

    def crash(self) -> None:
        """Keep synced bytes, and of the rest whatever chance had written already."""
        self.operations_left = None
        survivors = {}
        for path in self.names.keys() | self.settled.keys():
            choices = [d[path] for d in (self.names, self.settled) if path in d]
            inode = choices[0] if path in self.settled else self._dice.choice([*choices, None])
            if path in self.settled and len(choices) == 2:
                inode = self._dice.choice(choices)
            if inode is None:
                continue
            tail = bytes(inode.data[len(inode.synced):])
            kept = tail[: self._dice.randint(0, len(tail))]
            survivors[path] = _Inode(inode.synced + kept)
        self.names = dict(sorted(survivors.items()))
        self.settled = dict(self.names)

    def operate(self) -> None:
        """Count an operation; power may be cut just before it."""
        if self.operations_left is not None:
            if self.operations_left <= 0:
                raise PowerCut
            self.operations_left -= 1

    def draw_s(self) -> float:
        """How long one sync of a slow disk takes: mostly little, sometimes all of `slow_s`."""
        return self.slow_s * self._dice.random() ** 4

    def check_room(self) -> None:
        """Raise as a full disk does."""
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")


class _File:
    def __init__(self, session: Session, inode: _Inode) -> None:
        self._session = session
        self._inode = inode

    def write_at(self, offset: int, data: bytes) -> None:
        if self._session.dead:
            return
        if self._session.disk.full:
            half = data[: len(data) // 2]
            self._inode.data[offset : offset + len(half)] = half
        self._session.disk.check_room()
        self._session.disk.operate()
        self._inode.data[offset : offset + len(data)] = data

    def truncate(self, size_bytes: int) -> None:
        if not self._session.dead:
            del self._inode.data[size_bytes:]
            self._inode.synced = self._inode.synced[:size_bytes]

    def sync(self) -> None:
        if not self._session.dead:
            disk = self._session.disk
            disk.operate()
            disk.owed_s += disk.slow_s and disk.draw_s()
            self._inode.synced = bytes(self._inode.data)

    def close(self) -> None:
        """Nothing to give back."""


class Session:
    """`Disk` as one process sees it; after the crash its calls have no effect."""

    def __init__(self, disk: MemoryDisk) -> None:
        self.disk = disk
        self.dead = False

    def read(self, path: Path) -> bytes | None:
        inode = self.disk.names.get(path)
        return None if inode is None else bytes(inode.data)

    def open(self, path: Path) -> _File:
        return _File(self, self.disk.names[path])

    def replace(self, path: Path, data: bytes) -> None:
        if not self.dead:
            self.disk.check_room()
            self.disk.operate()
            self.disk.names[path] = _Inode(data)

    def settle(self, folder: Path) -> None:
        if not self.dead:
            self.disk.operate()
            self.disk.settled = dict(self.disk.names)

    def free_bytes(self, folder: Path) -> int:
        return 0 if self.disk.full else 2**30

    def claim(self, folder: Path) -> _File:
        return _File(self, _Inode())
