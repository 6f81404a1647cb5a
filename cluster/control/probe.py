"""HttpProber: the real health checks, over HTTP or a bare TCP connect."""

from __future__ import annotations

import http.client
import socket

from cluster.clock import Clock
from cluster.control.judge import Probe
from orchestry.spec.model import HealthCheck

BODY_READ_MAX_BYTES = 1024


class HttpProber:
    """Asks the replica's own address only; follows no redirect, reads at most 1 KiB."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def probe(self, address: str, policy: HealthCheck) -> Probe:
        """One check within `policy.timeout_s`; every fault is a failed probe with its reason."""
        began_s = self._clock.monotonic_s()
        try:
            error = self._tcp(address, policy) if policy.protocol == "TCP" else self._http(
                address, policy
            )
        except TimeoutError:
            error = f"no answer within {policy.timeout_s} s"
        except ConnectionRefusedError:
            error = f"connection refused on port {policy.port}"
        except (OSError, http.client.HTTPException) as fault:
            error = f"{type(fault).__name__}: {fault}"[:200]
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        return Probe(ok=not error, response_ms=round(took_ms, 1), error=error)

    def _tcp(self, address: str, policy: HealthCheck) -> str:
        with socket.create_connection((address, policy.port), timeout=policy.timeout_s):
            return ""

    def _http(self, address: str, policy: HealthCheck) -> str:
        connection = http.client.HTTPConnection(address, policy.port, timeout=policy.timeout_s)
        try:
            headers = {"User-Agent": "orchestry-health", "Connection": "close"}
            headers.update(dict(policy.headers))
            body = policy.body.encode() if policy.body else None
            connection.request(policy.method, policy.path, body=body, headers=headers)
            response = connection.getresponse()
            response.read(BODY_READ_MAX_BYTES)
            return _unexpected(response.status, policy)
        finally:
            connection.close()


def _unexpected(status: int, policy: HealthCheck) -> str:
    if policy.expected_status_codes:
        wanted = ", ".join(str(code) for code in sorted(policy.expected_status_codes))
        return "" if status in policy.expected_status_codes else f"status {status}, not {wanted}"
    return "" if 200 <= status <= 399 else f"status {status}, not 200-399"
