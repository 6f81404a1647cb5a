"""Applier: turns committed entries into states, one after another."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from cluster.consensus.errors import Halted
from cluster.consensus.membership import MEMBERS_KIND
from cluster.state import codec, levels
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState, EventRecord
from orchestry.errors import Code

logger = logging.getLogger(__name__)

EVENTS_OF_ENTRY_MAX = 512
COMMAND_KIND = b"\x00"  # PySyncObj's REGULAR; the envelope's text follows


class Applier:
    """The state of this node; written by the Raft thread, read by any."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self.applied_index = 1  # every log begins with an empty entry
        self._changed = threading.Condition()
        self._listeners: list[Callable[[ClusterState], None]] = []
        self._sinks: list[Callable[[Sequence[EventRecord]], None]] = []

    def commit(self, entry: bytes, index: int) -> Applied | None:
        """Apply one entry; None for Raft's own, which carry no command.

        Raises:
            Halted: a newer version wrote it; the state is untouched.
        """
        outcome = None
        if entry.startswith((COMMAND_KIND, MEMBERS_KIND)):
            outcome = self._apply(entry[1:].decode(), index)
        self.applied_index = index
        return outcome

    def _apply(self, envelope: str, index: int) -> Applied:
        try:
            command, stamp = codec.decode_envelope(envelope)
        except codec.UnknownFormat as error:
            raise Halted(
                f"entry {index} of the log was written by a newer version ({error}); "
                "start that version on this controller too"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Halted(
                f"entry {index} of the log cannot be read ({error!r}); start the version "
                "that the other controllers run"
            ) from error
        before = self.state
        try:
            after, outcome = apply(before, command, stamp, index)
        except Exception:  # the same on every controller of this version: none may stop
            logger.exception("applying entry %d failed", index)
            outcome = Applied(index, Code.INTERNAL_ERROR, "see the controller's log")
            after = replace(before, index=index)
        above = levels.too_high(after.level)
        if above:
            raise Halted(f"with entry {index} of the log {above}")
        self.state = after
        new = new_events(before, self.state)
        if new:
            self._tell(new)
        return outcome

    def install(self, state: ClusterState, index: int) -> None:
        """Take over a snapshot."""
        self.state, self.applied_index = state, index
        self._tell(state.events)

    def _tell(self, events: Sequence[EventRecord]) -> None:
        for sink in tuple(self._sinks):
            try:
                sink(events)
            except Exception:
                logger.exception("a reader of events failed")

    def publish(self) -> None:
        """Tell those who wait, after a batch."""
        with self._changed:
            self._changed.notify_all()
        for listener in tuple(self._listeners):
            try:
                listener(self.state)
            except Exception:
                logger.exception("a listener of the log failed")

    def wait(self, index: int, timeout_s: float) -> bool:
        """Block until `index` is applied; False when the time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: self.applied_index >= index, timeout_s)

    def subscribe_events(self, sink: Callable[[Sequence[EventRecord]], None]) -> None:
        """Call `sink` with the events of each entry, or all that a snapshot holds."""
        self._sinks.append(sink)

    def subscribe(self, listener: Callable[[ClusterState], None]) -> None:
        """Call `listener` after each batch, in the Raft thread."""
        self._listeners.append(listener)


def new_events(before: ClusterState, after: ClusterState) -> tuple[EventRecord, ...]:
    """The events that one entry added."""
    if after.next_event_id == before.next_event_id:
        return ()
    return tuple(event for event in after.events[-EVENTS_OF_ENTRY_MAX:]
                 if event.id >= before.next_event_id)
