"""Looks at containers one by one, of which some may hang: the daemon holds a lock for each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cluster.engine.base import EngineError
from cluster.engine.docker_api import in_parallel

HANGING_MAX = 4
"""More of them in one round say that the daemon hangs, not they."""
AGAIN_FIRST_S = 5.0
AGAIN_MAX_S = 300.0


class Hanging:
    """Containers that did not answer are asked again ever more seldom; one thread at a time."""

    def __init__(self) -> None:
        self._until_s: dict[str, tuple[float, float]] = {}

    def look(
        self, state: Callable[[str], dict[str, Any] | None], container_ids: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """The states of those that are there and answer.

        Raises:
            EngineError: the daemon does not answer, or too many of them hang.
        """
        now_s = time.monotonic()
        due = [one for one in container_ids if self._until_s.get(one, (0.0, 0.0))[0] <= now_s]
        hung: list[str] = []

        def ask(container_id: str) -> dict[str, Any] | None:
            try:
                return state(container_id)
            except EngineError as error:
                hung.append(container_id)
                if error.fault != "timeout" or len(hung) > HANGING_MAX:
                    raise
                return None

        for container_id, found in zip(due, in_parallel(ask, due), strict=True):
            if container_id not in hung:
                self._until_s.pop(container_id, None)
            if found is not None:
                yield container_id, found
        for container_id in hung:
            delay_s = self._until_s.get(container_id, (0.0, AGAIN_FIRST_S / 2))[1] * 2
            self._until_s[container_id] = (
                time.monotonic() + delay_s, min(delay_s, AGAIN_MAX_S / 2))
        for gone in self._until_s.keys() - set(container_ids):
            del self._until_s[gone]
