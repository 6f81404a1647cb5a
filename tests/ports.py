"""Ports on loopback for tests and the benchmark."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator

PORTS = range(10_000, 20_000)
"""Where free ports are looked for: the system gives none of these to a connection."""
WORKERS_MAX = 8


def is_free(port: int) -> bool:
    """Whether nobody listens on it at the moment."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _places() -> Iterator[int]:
    """Ports in a random order; tests that run side by side have different ones.

    So what a controller had before it was killed is still free when it comes back.
    """
    turn = os.environ.get("PYTEST_XDIST_WORKER", "")
    mine = PORTS if not turn else PORTS[int(turn.removeprefix("gw")) % WORKERS_MAX::WORKERS_MAX]
    return itertools.cycle(random.sample(mine, len(mine)))


_ports = _places()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at the moment, and that no earlier call gave out."""
    tried = itertools.islice(_ports, len(PORTS))
    found = list(itertools.islice(filter(is_free, tried), count))
    assert len(found) == count, "no free ports"
    return found
