"""Download of what is too large to be one JSON answer."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from orchestry.client.connections import FAULTS, Pool, Response
from orchestry.client.errors import NotReachable, RateLimited, from_answer
from orchestry.client.trust import Trust

TIMEOUT_S = 30.0
LINE_BYTES_MAX = 16 * 1024**2
ERROR_BYTES_MAX = 64 * 1024


def lines(url: str, token: str | None, trust: Trust) -> Iterator[bytes]:
    """The lines of an answer, with their ends, as they come.

    A limit of requests is waited out within TIMEOUT_S.

    Raises:
        ClientError: refused, or the connection broke.
    """
    until_s = time.monotonic() + TIMEOUT_S
    while True:
        try:
            yield from _lines(url, token, trust)
            return
        except RateLimited as error:
            wait_s = error.retry_after_s
            if wait_s is None or time.monotonic() + wait_s > until_s:
                raise
            time.sleep(wait_s)


def _lines(url: str, token: str | None, trust: Trust) -> Iterator[bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    parts = urlsplit(url)
    try:
        connection = Pool(trust).taken(f"{parts.scheme}://{parts.netloc}", TIMEOUT_S)
        with closing(connection):
            answer = connection.ask("GET", parts.path, headers, None, silence_s=TIMEOUT_S)
            if answer.status != 200:
                raise from_answer(answer.status, _error(answer), answer.headers)
            rest = b""
            for chunk in answer.pieces():
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line + b"\n"
                if len(rest) > LINE_BYTES_MAX:
                    raise NotReachable(
                        "NOT_REACHABLE", "The answer is no backup", f"{url} sent a huge line")
            if rest:
                yield rest
    except (*FAULTS, ValueError) as error:
        raise NotReachable("NOT_REACHABLE", "The connection broke", str(error)) from None


def _error(answer: Response) -> dict[str, object]:
    """The body of an error; an empty one when it is not a controller's."""
    content = b""
    for piece in answer.pieces():
        content += piece
        if len(content) > ERROR_BYTES_MAX:
            return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
