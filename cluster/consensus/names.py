"""Names: the addresses of hosts, looked up beside the Raft thread.

A name server that does not answer holds a lookup up for many seconds, and a leader that is held
up so long is none any more: whoever dials takes what is known.
"""

from __future__ import annotations

import ipaddress
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pysyncobj.node import TCPNode

logger = logging.getLogger(__name__)

FRESH_S = 30.0
FAILED_RETRY_S = 5.0


def look_up(host: str) -> Sequence[str]:
    """The addresses of a host, those of IPv4 if it has any; none when there is no answer."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()
    old = tuple(str(at[0]) for family, *_, at in found if family == socket.AF_INET)
    return old or tuple(str(at[0]) for *_, at in found)


@dataclass(slots=True)
class _Known:
    addresses: Sequence[str] = ()
    due_s: float = float("-inf")
    asked: bool = False
    failing: bool = False


class Names:
    """For the Raft threads of one process; what a failed lookup does not tell, stays."""

    def __init__(
        self, look_up: Callable[[str], Sequence[str]] = look_up,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look_up = look_up
        self._now_s = now_s
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def address(self, host: str) -> str | None:
        """One address of a host, at once; None while none is known."""
        if _is_address(host):
            return host
        with self._lock:
            known = self._known.setdefault(host, _Known())
            wanted = not known.asked and self._now_s() >= known.due_s
            known.asked |= wanted
        if wanted:
            threading.Thread(
                target=self._ask, args=(host, known), name=f"name-{host}", daemon=True).start()
        return random.choice(known.addresses) if known.addresses else None  # noqa: S311

    def _ask(self, host: str, known: _Known) -> None:
        found = self._look_up(host)
        if not found and not known.failing:
            logger.warning("host %s has no address: look at its name in CLUSTER_PEERS, and at "
                           "the name server", host)
        with self._lock:
            known.failing = not found
            known.addresses = found or known.addresses
            known.due_s = self._now_s() + (FRESH_S if found else FAILED_RETRY_S)
            known.asked = False


NAMES = Names()


class NamedNode(TCPNode):  # type: ignore[misc]
    """A peer, whose address the library asks for when it dials."""

    @property
    def ip(self) -> str | None:
        """None while it is not known."""
        return NAMES.address(self.host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
