"""Cgroup files of containers on this host: the cheapest way to measure them.

A file that is absent, half-written or no number makes the container missing, never zero.

Source: Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst of the Linux kernel; the
memory that counts is that of `docker stats`: usage without inactive file pages.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from cluster.engine.base import Usage

ROOT = Path("/sys/fs/cgroup")
UNLIMITED_BYTES = 2**60
"""Version 1 shows "no limit" as a number near 2**63."""
TEXT_BYTES_MAX = 64 * 1024


class Cgroups:
    """Reads counters by container id; finds out by itself how this host lays them out."""

    def __init__(self, root: Path = ROOT) -> None:
        self._root = root
        self._v2 = (root / "cgroup.controllers").exists()
        self._folders: dict[str, tuple[Path, Path]] = {}

    def read(self, container_id: str, *, cpus: int, memory_bytes: int) -> Usage | None:
        """Counters of one container; None when they cannot be read here.

        `cpus` and `memory_bytes` are the host's, for a container without limits.
        """
        folders = self._folders.get(container_id) or self._find(container_id)
        if folders is None:
            return None
        cpu, memory = folders
        try:
            found = (_read_v2 if self._v2 else _read_v1)(cpu, memory)
        except (OSError, ValueError, KeyError):
            self._folders.pop(container_id, None)
            return None
        used_s, at_s, cores, size, limit = found
        if size < 0 or used_s < 0:
            return None
        return Usage(
            container_id, at_s, used_s, min(cores or cpus, cpus), size,
            min(limit or memory_bytes, memory_bytes), "host")

    def keep_only(self, container_ids: frozenset[str]) -> None:
        """Forget where the others were."""
        for gone in self._folders.keys() - container_ids:
            del self._folders[gone]

    def _find(self, container_id: str) -> tuple[Path, Path] | None:
        """The folders of both controllers, for either driver of Docker."""
        for name in (f"docker/{container_id}", f"system.slice/docker-{container_id}.scope"):
            if self._v2:
                cpu = memory = self._root / name
            else:
                cpu, memory = self._root / "cpu" / name, self._root / "memory" / name
                if not cpu.is_dir():
                    cpu = self._root / "cpu,cpuacct" / name
            if cpu.is_dir() and memory.is_dir():
                self._folders[container_id] = (cpu, memory)
                return cpu, memory
        return None


def _read_v2(folder: Path, _: Path) -> tuple[float, float, float | None, int, int | None]:
    used_s = _fields(_text(folder / "cpu.stat"))["usage_usec"] / 1e6
    at_s = time.monotonic()
    quota, period = _text(folder / "cpu.max").split()
    cores = None if quota == "max" else int(quota) / int(period)
    cache = _fields(_text(folder / "memory.stat"))["inactive_file"]
    limit = _text(folder / "memory.max").strip()
    size = int(_text(folder / "memory.current")) - cache
    return used_s, at_s, cores, size, None if limit == "max" else int(limit)


def _read_v1(cpu: Path, memory: Path) -> tuple[float, float, float | None, int, int | None]:
    try:
        used_ns = int(_text(cpu / "cpuacct.usage"))
    except FileNotFoundError:  # the two controllers are mounted apart
        used_ns = int(_text(Path(str(cpu).replace("/cpu/", "/cpuacct/")) / "cpuacct.usage"))
    at_s = time.monotonic()
    quota = int(_text(cpu / "cpu.cfs_quota_us"))
    cores = None if quota <= 0 else quota / int(_text(cpu / "cpu.cfs_period_us"))
    cache = _fields(_text(memory / "memory.stat"))["total_inactive_file"]
    size = int(_text(memory / "memory.usage_in_bytes")) - cache
    limit = int(_text(memory / "memory.limit_in_bytes"))
    return used_ns / 1e9, at_s, cores, size, None if limit >= UNLIMITED_BYTES else limit


def _text(path: Path) -> str:
    with path.open(encoding="ascii") as file:
        text = file.read(TEXT_BYTES_MAX)
    if not text.endswith("\n"):
        raise ValueError(f"{path.name} is not whole")
    return text


def _fields(text: str) -> Mapping[str, int]:
    return {name: int(value) for name, _, value in
            (line.partition(" ") for line in text.splitlines()) if value.isdigit()}
