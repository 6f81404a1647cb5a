"""Progress of an operation that takes a while."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from click.exceptions import Exit

from orchestry.cli import INTERRUPTED
from orchestry.cli.output import printable, replicas
from orchestry.cli.session import Session
from orchestry.errors import OrchestryError

POLL_PERIOD_S = 0.5
BAR_COLUMNS = 20
MEGABYTE = 1_000_000

CALM_AFTER = 60
CALM_PERIOD_S = 4.0
LIMITED_MAX_S = 3700
"""More than an hour, after which every limit of requests begins anew."""

Answer = Mapping[str, Any]
A = TypeVar("A", bound=Answer)


class _Work(threading.Thread, Generic[A]):
    """A waiting call in the background; the controller judges when it is done.

    A daemon: a user who interrupts the wait does not wait for the answer either.
    """

    def __init__(self, call: Callable[[], A]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.done = threading.Event()
        self.answer: A | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self.answer = self._call()
        except Exception as error:  # handed over to the thread that waits
            self.error = error
        finally:
            self.done.set()

    def result(self) -> A:
        if self.error is not None:
            raise self.error
        assert self.answer is not None
        return self.answer


def follow(session: Session, name: str, call: Callable[[], A], *, leaving: bool) -> A:
    """Carry out a waiting call while its progress is shown.

    `leaving` says that replicas go away rather than come.
    """
    work = _Work(call)
    shown = ""
    try:
        with display(session) as (show, bar_columns):
            work.start()
            looks = itertools.count()
            while not work.done.wait(pause_s(session, POLL_PERIOD_S, next(looks))):
                status = _status(session, name)
                if status is None:
                    continue
                line = describe(status, name, leaving=leaving, bar_columns=bar_columns)
                if line != shown:
                    show(line)
                    shown = line
    except KeyboardInterrupt:
        session.out.progress("Not waiting any longer; the operation goes on.")
        session.out.progress(f"Next: Follow it with `orchestry status {name} --watch`.")
        raise Exit(INTERRUPTED) from None
    return work.result()


def pause_s(session: Session, period_s: float, looks: int) -> float:
    """How long to wait before the next look at the same thing.

    Who watches for hours looks less often, and leaves some of the hour's requests to others.
    """
    return session.client.gap_s(
        period_s if looks < CALM_AFTER else max(period_s, CALM_PERIOD_S))


def patiently(session: Session, call: Callable[[], A]) -> A:
    """Carry out one of many calls; a limit of requests is waited out."""
    from orchestry.client import RateLimited

    waited_s = 0.0
    while True:
        try:
            return call()
        except RateLimited as error:
            wait_s = error.retry_after_s
            if wait_s is None or waited_s + wait_s > LIMITED_MAX_S:
                raise
            session.out.progress(f"{printable(str(error))}; waiting.")
            time.sleep(wait_s)
            waited_s += wait_s


def describe(
    status: Mapping[str, Any], name: str, *, leaving: bool, bar_columns: int = 0
) -> str:
    """One line: how far an app is, and the last reason why it is not further."""
    if leaving:
        count = len(status.get("containers") or [])
        line = f"{name}: {count} container{'' if count == 1 else 's'} left"
    else:
        line = f"{name}: {bar(status, bar_columns)}{replicas(status)} replicas healthy"
    reason = problem(status) or pulled(status)
    return printable(f"{line} ({reason})" if reason else line)


def bar(status: Mapping[str, Any], columns: int) -> str:
    """Healthy of wanted replicas as a bar, or nothing without columns."""
    counts = status.get("replicas") or {}
    wanted, healthy = counts.get("desired") or 0, counts.get("healthy") or 0
    if not columns or not wanted:
        return ""
    full = columns * min(healthy, wanted) // wanted
    return f"[{'#' * full}{'-' * (columns - full)}] "


def pulled(status: Mapping[str, Any]) -> str:
    """How far the pull is that an app or a deployment waits for, or an empty text."""
    found = status.get("pulling")
    if not found:
        return ""
    done, total = found.get("done_bytes") or 0, found.get("total_bytes") or 0
    far = f", {done / MEGABYTE:.1f} of {total / MEGABYTE:.1f} MB" if total else ""
    return f"pulling {found.get('image', 'its image')}{far}"


def problem(status: Mapping[str, Any]) -> str:
    """The last reason why an app is not as it should be, or an empty text."""
    reason = status.get("problem") or status.get("reason") or ""
    if isinstance(reason, Mapping):
        reason = reason.get("message") or reason.get("details") or ""
    return str(reason)


def _status(session: Session, name: str) -> Answer | None:
    try:
        return session.client.get_app_status(name)
    except OrchestryError:
        return None


@contextmanager
def display(session: Session) -> Iterator[tuple[Callable[[str], None], int]]:
    """How to show a line, and the room for a bar in it.

    A terminal gets one line that is redrawn, anything else a line for each change.
    """
    console = session.out.console(error=True)
    if session.out.quiet or not console.is_terminal:
        yield session.out.progress, 0
        return
    from rich.text import Text

    with console.status("Waiting") as status:
        yield lambda line: status.update(Text(line)), BAR_COLUMNS
