"""Disk: the few file operations that durability needs, and nothing else."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Literal, Protocol

from cluster.consensus.errors import ConsensusError

Durability = Literal["fsync", "os"]


class DiskFile(Protocol):
    """An open file; every call may raise OSError."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of `data`."""

    def truncate(self, size_bytes: int) -> None:
        """Cut the file."""

    def sync(self) -> None:
        """Return once everything written survives a power cut."""

    def close(self) -> None:
        """Give the file back."""


class Disk(Protocol):
    """A folder's worth of files; every call may raise OSError."""

    def read(self, path: Path) -> bytes | None:
        """The whole file, or None when it does not exist."""

    def open(self, path: Path) -> DiskFile:
        """An existing file, to be written."""

    def replace(self, path: Path, data: bytes) -> None:
        """Write a file as one step: after a crash it is the old or the new one.

        On an error it is the old one. Only `settle` makes the new one sure.
        """

    def settle(self, folder: Path) -> None:
        """Return once the last `replace` in this folder survives a power cut."""

    def free_bytes(self, folder: Path) -> int:
        """What is left for us."""

    def claim(self, folder: Path) -> DiskFile:
        """Make the folder ours alone until the result is closed.

        Raises:
            ConsensusError: another process uses it, or it cannot be written.
        """


class OsFile:
    """A file of the operating system."""

    def __init__(self, path: Path, flags: int, *, durable: bool) -> None:
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        self._durable = durable

    def fileno(self) -> int:
        return self._fd

    def write_at(self, offset: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._fd, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, size_bytes: int) -> None:
        os.ftruncate(self._fd, size_bytes)

    def sync(self) -> None:
        if self._durable:
            os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class OsDisk:
    """The machine's disk; `durability="os"` survives a killed process, not a power cut."""

    def __init__(self, durability: Durability = "fsync") -> None:
        self._durable = durability == "fsync"

    def read(self, path: Path) -> bytes | None:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def open(self, path: Path) -> OsFile:
        return OsFile(path, os.O_RDWR, durable=self._durable)

    def replace(self, path: Path, data: bytes) -> None:
        fresh = path.with_name(path.name + ".new")
        file = OsFile(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, durable=self._durable)
        try:
            file.write_at(0, data)
            file.sync()
        except OSError:
            with contextlib.suppress(OSError):
                fresh.unlink()
            raise
        finally:
            file.close()
        fresh.replace(path)

    def settle(self, folder: Path) -> None:
        if not self._durable:
            return
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def free_bytes(self, folder: Path) -> int:
        room = os.statvfs(folder)
        return room.f_bavail * room.f_frsize

    def claim(self, folder: Path) -> OsFile:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = OsFile(folder / "lock", os.O_RDWR | os.O_CREAT, durable=False)
        except OSError as error:
            raise ConsensusError(
                f"data folder {folder} cannot be written: {error.strerror}; "
                "correct its owner and mode, or set ORCHESTRY_DATA_DIR to another folder"
            ) from error
        try:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise ConsensusError(
                f"data folder {folder} is used by another process; stop it, "
                "or set ORCHESTRY_DATA_DIR to another folder"
            ) from error
        return lock
