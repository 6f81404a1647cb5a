"""Download of what is too large to be one JSON answer."""

from __future__ import annotations

from collections.abc import Iterator

import requests

from orchestry.client.errors import NotReachable, from_answer

TIMEOUT_S = 30.0
LINE_BYTES_MAX = 16 * 1024**2


def lines(url: str, token: str | None) -> Iterator[bytes]:
    """The lines of an answer, with their ends, as they come.

    Raises:
        ClientError: refused, or the connection broke.
    """
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
            if answer.status_code != 200:
                given = answer.headers.get("X-Request-Id")
                raise from_answer(answer.status_code, answer.json(), given)
            rest = b""
            for chunk in answer.iter_content(64 * 1024):
                *whole, rest = (rest + chunk).split(b"\n")
                for line in whole:
                    yield line + b"\n"
                if len(rest) > LINE_BYTES_MAX:
                    raise NotReachable(
                        "NOT_REACHABLE", "The answer is no backup", f"{url} sent a huge line")
            if rest:
                yield rest
    except (requests.RequestException, ValueError) as error:
        raise NotReachable("NOT_REACHABLE", "The connection broke", str(error)) from None
