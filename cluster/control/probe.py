"""HttpProber: the real health checks, over HTTP or a bare TCP connect."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket

from cluster.clock import Clock
from cluster.control.judge import Probe
from orchestry.spec.model import HealthCheck

HEAD_MAX_BYTES = 8192
BODY_READ_MAX_BYTES = 1024
BODY_WAIT_S = 0.01


class HttpProber:
    """Asks the replica's own address only; follows no redirect, reads no more than a head.

    Thread: any; holds no state.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def probe(self, address: str, policy: HealthCheck) -> Probe:
        """One check within `policy.timeout_s`; every fault is a failed probe with its reason."""
        began_s = self._clock.monotonic_s()
        try:
            error = self._ask(address, policy, began_s + policy.timeout_s)
        except TimeoutError:
            error = f"no answer within {policy.timeout_s} s"
        except ConnectionRefusedError:
            error = f"connection refused on port {policy.port}"
        except (OSError, http.client.HTTPException) as fault:
            error = f"{type(fault).__name__}: {fault}"[:200]
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        return Probe(ok=not error, response_ms=round(took_ms, 1), error=error)

    def _ask(self, address: str, policy: HealthCheck, deadline_s: float) -> str:
        """Why the replica is not well, "" when it is."""
        connection = http.client.HTTPConnection(address, policy.port, timeout=policy.timeout_s)
        try:
            connection.connect()
            if policy.protocol == "TCP":
                return ""
            headers = {"User-Agent": "orchestry-health", "Connection": "close"}
            headers.update(dict(policy.headers))
            body = policy.body.encode() if policy.body else None
            connection.request(policy.method, policy.path, body=body, headers=headers)
            status = self._status(connection.sock, deadline_s)
        finally:
            connection.close()
        return "the answer is not HTTP" if status is None else _unexpected(status, policy)

    def _status(self, sock: socket.socket, deadline_s: float) -> int | None:
        """The status code; the deadline is for the whole head, not for each byte of it."""
        head = b""
        while b"\r\n\r\n" not in head and len(head) < HEAD_MAX_BYTES:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                raise TimeoutError
            sock.settimeout(left_s)
            more = sock.recv(HEAD_MAX_BYTES)
            if not more:
                break
            head += more
        # A body left unread would reset the connection, which some applications log.
        sock.settimeout(BODY_WAIT_S)
        with contextlib.suppress(OSError):
            sock.recv(BODY_READ_MAX_BYTES)
        match = _STATUS_LINE.match(head)
        return int(match[1]) if match else None


_STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")


def _unexpected(status: int, policy: HealthCheck) -> str:
    if policy.expected_status_codes:
        wanted = ", ".join(str(code) for code in sorted(policy.expected_status_codes))
        return "" if status in policy.expected_status_codes else f"status {status}, not {wanted}"
    return "" if 200 <= status <= 399 else f"status {status}, not 200-399"
