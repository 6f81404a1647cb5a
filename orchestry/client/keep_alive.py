"""How both clients notice that a host is gone, however long a call waits."""

from __future__ import annotations

import socket


def probes() -> list[tuple[int, int, int]]:
    """Socket options that let the kernel probe silent connections, within half a minute.

    A request that no host has received after five seconds ends too, and is tried at another.
    The names of options differ between systems.
    """
    found = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    options = (
        ("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 5000))
    for name, value in options:
        if hasattr(socket, name):
            found.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return found
