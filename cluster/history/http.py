"""http: a bounded GET at another controller."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

TIMEOUT_S = 5.0
BYTES_MAX = 64 * 1024**2


def make_fetch(headers: Callable[[str], Mapping[str, str]]) -> Callable[[str], bytes | None]:
    """A function that GETs a URL: the body of a 200, else None.

    The `headers` of its path are sent along.
    """

    def fetch(url: str) -> bytes | None:
        parts = urlsplit(url)
        if not parts.hostname:
            return None
        kind = (http.client.HTTPSConnection if parts.scheme == "https"
                else http.client.HTTPConnection)
        connection = kind(parts.hostname, parts.port, timeout=TIMEOUT_S)
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
