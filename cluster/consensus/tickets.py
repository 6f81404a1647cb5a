"""Tickets: commands whose outcome somebody may wait for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pysyncobj import FAIL_REASON

from cluster.state.model import Applied
from orchestry.errors import Code, OrchestryError

OUTSTANDING_MAX = 4096
TICKET_TTL_S = 30.0
NOT_COMMITTED = {
    FAIL_REASON.QUEUE_FULL: "too many writes are waiting",
    FAIL_REASON.MISSING_LEADER: "no leader is known",
    FAIL_REASON.DISCARDED: "another leader's write took its place",
    FAIL_REASON.NOT_LEADER: "the leader has just changed",
    FAIL_REASON.REQUEST_DENIED: "the leader refused it",
}
"""The library's reasons with which a command surely is not in the log."""


class SyncObjTicket:
    """Filled from the Raft thread; the first outcome counts."""

    def __init__(self) -> None:
        self._done = threading.Event()
        self._applied: Applied | None = None
        self._code = Code.UNKNOWN_OUTCOME
        self._details = ""

    def settle(self, applied: Applied) -> None:
        """The command was applied here."""
        if not self._done.is_set():
            self._applied = applied
            self._done.set()

    def fail(self, code: Code, details: str) -> None:
        """It will not be, or nobody knows."""
        if not self._done.is_set():
            self._code, self._details = code, details
            self._done.set()

    def poll(self) -> Applied | None:
        if not self._done.is_set():
            return None
        if self._applied is None:
            raise OrchestryError(self._code, self._details)
        return self._applied

    def wait(self, timeout_s: float) -> Applied:
        self._done.wait(timeout_s)
        applied = self.poll()
        if applied is None:
            raise OrchestryError(Code.UNKNOWN_OUTCOME, f"no answer within {timeout_s:g} s")
        return applied


class TicketBook:
    """Open tickets; PySyncObj may lose a callback, so each has an end. Thread-safe."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._lock = threading.Lock()
        self._open: dict[int, tuple[float, SyncObjTicket]] = {}
        self._next_id = 0

    def issue(self) -> tuple[int, SyncObjTicket] | None:
        """A new open ticket and its number, or None when too many are open."""
        with self._lock:
            if len(self._open) >= OUTSTANDING_MAX:
                return None
            self._next_id += 1
            ticket = SyncObjTicket()
            self._open[self._next_id] = (self._now_s() + TICKET_TTL_S, ticket)
            return self._next_id, ticket

    def take(self, number: int) -> SyncObjTicket | None:
        """Close a ticket; None when it is closed already."""
        with self._lock:
            found = self._open.pop(number, None)
        return None if found is None else found[1]

    def expire(self) -> None:
        """Close those that waited too long; they are in order of age."""
        now_s = self._now_s()
        while True:
            with self._lock:
                oldest = next(iter(self._open.items()), None)
                if oldest is None or oldest[1][0] > now_s:
                    return
                del self._open[oldest[0]]
            oldest[1][1].fail(Code.UNKNOWN_OUTCOME, f"no answer within {TICKET_TTL_S:g} s")

    def fail_all(self, why: str) -> None:
        """Close all: this node will not learn their outcome."""
        with self._lock:
            tickets = [ticket for _, ticket in self._open.values()]
            self._open.clear()
        for ticket in tickets:
            ticket.fail(Code.UNKNOWN_OUTCOME, why)


def failed(code: Code, details: str) -> SyncObjTicket:
    """A ticket for what was not even handed to Raft."""
    ticket = SyncObjTicket()
    ticket.fail(code, details)
    return ticket
