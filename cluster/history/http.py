"""http: a bounded GET at another controller."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import SplitResult, urlsplit

TIMEOUT_S = 5.0
BYTES_MAX = 64 * 1024**2


def connect(
    url: SplitResult, timeout_s: float, context: Callable[[], ssl.SSLContext]
) -> http.client.HTTPConnection:
    """A connection to another controller; ValueError for a URL without a host."""
    if not url.hostname:
        raise ValueError(f"{url.geturl()!r} names no host")
    if url.scheme == "https":
        return http.client.HTTPSConnection(
            url.hostname, url.port, timeout=timeout_s, context=context())
    return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout_s)


def make_fetch(
    headers: Callable[[str], Mapping[str, str]], context: Callable[[], ssl.SSLContext]
) -> Callable[[str], bytes | None]:
    """A function that GETs a URL: the body of a 200, else None.

    The `headers` of its path are sent along; `context` says whom to believe.
    """

    def fetch(url: str) -> bytes | None:
        parts = urlsplit(url)
        if not parts.hostname:
            return None
        connection = connect(parts, TIMEOUT_S, context)
        try:
            target = f"{parts.path}{'?' if parts.query else ''}{parts.query}"
            connection.request("GET", target, headers=dict(headers(parts.path)))
            response = connection.getresponse()
            body = response.read(BYTES_MAX + 1)
            return body if response.status == 200 and len(body) <= BYTES_MAX else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    return fetch
