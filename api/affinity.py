"""Affinity: the threads that serve requests share one core."""

from __future__ import annotations

import os
import sys
import zlib


def core_of(name: str, cores: set[int]) -> int:
    """The core for a controller: fixed by its name, so that several on a host spread."""
    return sorted(cores)[zlib.crc32(name.encode()) % len(cores)]


def share_a_core(name: str) -> None:
    """Keep the calling thread, and those that it will start, on one core.

    Python runs one thread at a time, and passing that right between cores costs more than
    half of a short request. Threads that run already, Raft's and the control loops', stay
    free to go where there is room.
    """
    if sys.platform == "linux":
        os.sched_setaffinity(0, {core_of(name, os.sched_getaffinity(0))})
