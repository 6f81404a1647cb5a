"""The last lines of a replica that ended, fit to be kept: few, short, and without secrets."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping

from cluster.control.secret_values import Unresolved, secret_values
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Container, Engine, EngineError
from cluster.engine.lines import readable
from cluster.sealing import Keyring
from cluster.state.model import Secret
from orchestry.admission import MASK, is_secret_name
from orchestry.spec.model import AppSpec

logger = logging.getLogger(__name__)

LINES = 20
LINE_CHARACTERS_MAX = 300
CHARACTERS_MAX = 4000
MASKED_CHARACTERS_MIN = 4
"""A shorter value would hide half of every line, and nobody is kept from guessing it."""

Lines = tuple[str, ...]


def hidden(spec: AppSpec, values: Iterable[str]) -> tuple[str, ...]:
    """The texts that no line may show, the longest first; `values` are those of secrets.

    A value of several lines is hidden line by line.
    """
    plain = [one.value for one in spec.environment if one.value and is_secret_name(one.name)]
    pieces = {
        readable(piece.encode("utf-8", "replace"))[0].strip()
        for value in (*values, *plain) for piece in (value, *value.splitlines())}
    return tuple(sorted(
        (piece for piece in pieces if len(piece) >= MASKED_CHARACTERS_MIN),
        key=lambda piece: (-len(piece), piece)))


def fit(lines: Iterable[str], hide: Iterable[str]) -> Lines:
    """Masked first and cut then, so that no part of a secret is left; the newest have room."""
    found: list[str] = []
    room = CHARACTERS_MAX
    for line in reversed([*lines][-LINES:]):
        shown = line
        for text in hide:
            shown = shown.replace(text, MASK)
        found.append(shown[:LINE_CHARACTERS_MAX])
        room -= len(found[-1])
        if room < 0:
            return tuple(reversed(found[:-1]))
    return tuple(reversed(found))


class LastLines:
    """Reads them in a worker, in a lane of its own; of an engine that hangs come none."""

    def __init__(self, engine: Engine, workers: Workers, keyring: Keyring) -> None:
        self._engine = engine
        self._workers = workers
        self._keyring = keyring
        self._numbers = itertools.count()

    def ask(
        self, container: Container, spec: AppSpec, secrets: Mapping[str, Secret],
        done: Callable[[Lines], None],
    ) -> bool:
        """Call `done` once with what could be read; False when nothing can be asked for now."""
        job = self.reader(container.id, spec, secrets, container.revision)
        if job is None:
            return False

        def finished(outcome: Outcome) -> None:
            if outcome.error is not None and not isinstance(outcome.error, EngineError):
                logger.error("reading the last lines failed", exc_info=outcome.error)
            done(outcome.value if outcome.error is None else ())

        key = f"lines:{container.id}:{next(self._numbers)}"
        return self._workers.start("lines", key, job, finished)

    def reader(
        self, container_id: str, spec: AppSpec, secrets: Mapping[str, Secret], template: int,
    ) -> Callable[[], Lines] | None:
        """How a worker reads them; None when nobody knows here what they must not show.

        The reader raises EngineError.
        """
        try:
            values = secret_values(spec, secrets, template, self._keyring)
        except Unresolved:
            return None
        hide = hidden(spec, values.values())
        return lambda: fit(
            (line.text for line in self._engine.logs(container_id, tail=LINES)), hide)
