"""`Basis`: what every call of the REST API is made of."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from orchestry.client.exchange import READ_TIMEOUT_S, Known, Request, S
from orchestry.client.parts import encoded, given

# What a call gives: its answer, or something to await for it.
R = TypeVar("R")

TIMEOUT_S = 30.0
# The controller answers a wait at its timeout; the client listens a little longer.
WAIT_MARGIN_S = 15.0

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


class Basis(ABC, Generic[R, S]):
    """A cluster, reached through any of its controllers: reads and writes."""

    def __init__(
        self,
        url: str | Sequence[str],
        token: str | None = None,
        timeout: float = TIMEOUT_S,
    ) -> None:
        if token is not None and not _VISIBLE_ASCII.fullmatch(token):
            raise ValueError("token must be visible ASCII characters without spaces")
        if not 0 < timeout <= 86_400:
            raise ValueError("timeout must be above 0 and at most 86400 seconds")
        urls = (url,) if isinstance(url, str) else tuple(url)
        self._timeout_s = float(timeout)
        self._known: Known[S] = Known(urls, token)

    @abstractmethod
    def _send(self, request: Request) -> R:
        """Carry out a call."""

    @property
    def urls(self) -> tuple[str, ...]:
        """The controllers that this client knows."""
        return self._known.members

    def gap_s(self, period_s: float) -> float:
        """How long to wait before the next of many calls.

        At least `period_s`, and so long that what is left of the limit of requests lasts.
        """
        return self._known.pace.gap_s(period_s)

    def _read(
        self, path: str, *, body_statuses: frozenset[int] = frozenset(), wait_s: float = 0,
        **query: str | int | None,
    ) -> R:
        read_timeout_s, budget_s = self._limits(wait_s)
        return self._send(Request(
            "GET", path, given(**query), budget_s=budget_s, read_timeout_s=read_timeout_s,
            body_statuses=body_statuses,
        ))

    def _limits(self, wait_s: float) -> tuple[float, float]:
        """For the next byte, and for a whole call whose answer may take so long."""
        if wait_s:
            return wait_s + WAIT_MARGIN_S, wait_s + max(self._timeout_s, WAIT_MARGIN_S)
        return min(READ_TIMEOUT_S, self._timeout_s), self._timeout_s

    def _write(
        self, method: str, path: str, body: dict[str, Any] | None, *,
        query: Mapping[str, str] | None = None, key: str | None = None, wait_s: float = 0,
        once: bool = False,
    ) -> R:
        read_timeout_s, budget_s = self._limits(wait_s)
        return self._send(Request(
            method, path, query or {}, None if body is None else encoded(body),
            budget_s=budget_s, read_timeout_s=read_timeout_s, idempotency_key=key,
            once=once,
        ))
