"""RelayMark: how a controller shows another one that it is one, too."""

from __future__ import annotations

import hashlib
import hmac

from cluster.clock import Clock
from cluster.config.readers import is_loopback

HEADER = "X-Orchestry-Relayed"
AGE_MAX_S = 300
"""Clocks may differ by so much; a mark that somebody overheard is good for as long."""
_PURPOSE = b"orchestry relay mark 1"


class RelayMark:
    """Made from the cluster's secret, for one path and some minutes.

    Without a secret all controllers are on this machine, and so must be who shows a mark.
    """

    def __init__(self, secret: str, clock: Clock) -> None:
        self._key = hmac.digest(secret.encode(), _PURPOSE, hashlib.sha256) if secret else b""
        self._clock = clock

    def headers(self, path: str) -> dict[str, str]:
        """What goes with a request for `path` at another controller."""
        return {HEADER: self._mark(path, self._clock.wall_ms() // 1000)}

    def is_valid(self, mark: str, path: str, *, remote: str, proxied: bool) -> bool:
        """Whether a controller sent this request; `proxied` says that it came by a proxy."""
        if not self._key:
            return is_loopback(remote) and not proxied
        made = mark.partition(".")[0]
        if not (made.isascii() and made.isdigit() and len(made) <= 12):
            return False
        made_s = int(made)
        if abs(self._clock.wall_ms() / 1000 - made_s) > AGE_MAX_S:
            return False
        return hmac.compare_digest(self._mark(path, made_s).encode(), mark.encode())

    def _mark(self, path: str, made_s: int) -> str:
        text = f"{made_s} {path}".encode("utf-8", "surrogateescape")
        return f"{made_s}.{hmac.digest(self._key, text, hashlib.sha256).hex()}" \
            if self._key else "1"
