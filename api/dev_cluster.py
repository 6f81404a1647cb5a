"""The HTTP calls that `orchestry dev` makes to its own controllers."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import IO, Any

CALL_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 20.0
RETRY_S = 0.2
ANSWER_BYTES_MAX = 4 * 1024**2


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the standard library would refuse to repeat a POST."""

    def redirect_request(  # noqa: PLR0917 - the signature is the library's
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
        headers: http.client.HTTPMessage, newurl: str,
    ) -> None:
        return None


# No proxy either: every address is on this machine.
_OPENER = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))


class CallError(Exception):
    """No controller carried out the request; the text says why."""


def call(
    method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None,
    timeout_s: float = CALL_TIMEOUT_S,
) -> tuple[int, Mapping[str, str], Any]:
    """One request; returns status, headers and the decoded JSON, None for other content.

    Raises:
        OSError: the controller did not answer.
    """
    request = urllib.request.Request(  # noqa: S310 - only http, built by us
        url, data=body, method=method, headers=dict(headers or {}))
    try:
        with _OPENER.open(request, timeout=timeout_s) as answer:
            status, found, raw = answer.status, answer.headers, answer.read(ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as error:
        with error:
            status, found, raw = error.code, error.headers, error.read(ANSWER_BYTES_MAX)
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    try:
        return status, found, json.loads(raw)
    except ValueError:
        return status, found, None


class Cluster:
    """All controllers by their URLs; every call is bounded in time."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = tuple(urls)

    def ready(self) -> list[str]:
        """URLs of the controllers that say that they serve."""
        found = []
        for url in self.urls:
            try:
                if call("GET", f"{url}/readyz")[0] == 200:
                    found.append(url)
            except OSError:
                continue
        return found

    def read(self, path: str) -> Any:
        """JSON from the first controller that answers 200, or None."""
        for url in self.urls:
            try:
                status, _, answer = call("GET", f"{url}{path}")
            except OSError:
                continue
            if status == 200:
                return answer
        return None

    def write(self, path: str, body: bytes, *, content_type: str, key: str) -> tuple[int, Any]:
        """One POST, sent to the leader; repeated under one key while there is none.

        Raises:
            CallError: nobody carried it out within WRITE_TIMEOUT_S.
        """
        headers = {"Content-Type": content_type, "Idempotency-Key": key}
        deadline_s, target, tries = time.monotonic() + WRITE_TIMEOUT_S, self.urls[0], 0
        reason = "no controller answers"
        while time.monotonic() < deadline_s:
            tries += 1
            try:
                status, found, answer = call(
                    "POST", f"{target}{path}", body=body, headers=headers)
            except OSError as error:
                reason, status = str(error), 503
            if status == 307:
                target = found["Location"].removesuffix(path)
                continue
            if status not in (503, 504):
                return status, answer
            target = self.urls[tries % len(self.urls)]
            time.sleep(RETRY_S)
        raise CallError(f"POST {path} was not carried out within {WRITE_TIMEOUT_S:.0f} s: {reason}")
