"""Commands in containers: a client's WebSocket on one side, the engine's connection on the other.

Both are on the hub's thread, and each waits for the other: nothing is kept beyond what the
system's buffers have and one read. What asks the log or the engine is done by other threads.

Source: docs/adr/0037-commands-in-containers.md.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from api.models_exec import (
    EndOfInput,
    Resize,
    Said,
    error_message,
    said_of,
    start_of,
)
from api.streams.engine_side import EngineSide, joined
from api.streams.hub import Hub
from api.streams.peer import Feed, Peer
from api.streams.wire import DENIED, FAILED, NORMAL, Heard, Message
from cluster.config.effective import Config
from cluster.engine.base import Engine, EngineError
from cluster.engine.execution import (
    ExecOrder,
    ExecState,
    Execution,
    Size,
)
from orchestry.errors import Code, OrchestryError

logger = logging.getLogger(__name__)

START_S = 10.0
"""For so long a client may wait before it says what to run."""
LEARN_S = 5.0
"""An engine tells of a command's end at one place before it does at the other."""
LEARN_GAP_S = 0.02
KILLED = 137
DOUBT_S = 0.5
LEAVE_S = 2.0
EARLY_BYTES_MAX = 128 * 1024
"""Of what comes before the command has begun; the rest waits in the system's buffer."""
EARLY_MESSAGE_BYTES = 512
"""Each message has in memory, beside its input."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which container, what users call it, and what notes a command before it begins.

    `note` raises OrchestryError where that cannot be done, and so the command does not begin.
    """

    container_id: str
    replica: str
    note: Callable[[ExecOrder], None]


class Execs:
    """All commands that clients of this node have running."""

    def __init__(
        self, hub: Hub, engine: Callable[[], Engine], config: Callable[[], Config]
    ) -> None:
        self.hub = hub
        self.engine = engine
        self.config = config
        self._lock = threading.Lock()
        self._taken = 0
        self._feeds: set[ExecFeed] = set()
        self._watched = False

    @property
    def count(self) -> int:
        """How many there are."""
        return self._taken

    def reserve(self) -> Callable[[], None] | None:
        """Take one of the places, to be given back by what is returned; None without any.

        Thread: any.
        """
        with self._lock:
            if self._taken >= self.config().exec_sessions:
                return None
            self._taken += 1
        return self._release

    def _release(self) -> None:
        with self._lock:
            self._taken -= 1

    def feed(self, asked: Asked) -> Callable[[Hub, Peer], Feed]:
        """A stream for one command."""
        def begin(hub: Hub, peer: Peer) -> Feed:
            if not self._watched:
                self._watched = True
                hub.watch(self._look)
            found = ExecFeed(self, peer, asked)
            self._feeds.add(found)
            return found

        return begin

    def forget(self, feed: ExecFeed) -> None:
        """One has ended."""
        self._feeds.discard(feed)

    def _look(self, now_s: float) -> None:
        config = self.config()
        for feed in tuple(self._feeds):
            feed.look(now_s, config)


class ExecFeed:
    """One command and its client.

    First the client says what to run; then it is noted and begun by another thread; then bytes
    go both ways; at last its end is looked up, and told.
    """

    def __init__(self, source: Execs, peer: Peer, asked: Asked) -> None:
        self._source = source
        self._hub = source.hub
        self._peer = peer
        self._asked = asked
        self._begun_s = self._active_s = self._hub.now_s()
        self._order: ExecOrder | None = None
        self._execution: Execution | None = None
        self._inner: EngineSide | None = None
        self._early: list[Said] = []
        self._early_bytes = 0
        self._full = False
        self._size: Size | None = None
        self._resizing = False
        self._last: tuple[Message, int, str] | None = None
        self._told = False
        self._gone = False
        idle_s = source.config().exec_idle_s
        # A client that shows the output page by page reads nothing for long.
        peer.stall_s = peer.linger_s = idle_s
        peer.hear = self._hear

    # -- the client ----------------------------------------------------------------------

    def _hear(self, heard: Heard) -> None:
        if self._last is not None:
            return
        try:
            if self._order is None:
                self._start(start_of(*heard).order())
            else:
                self._said(said_of(*heard))
        except OrchestryError as error:
            self._fail(error.code, error.details)

    def _start(self, order: ExecOrder) -> None:
        self._order = order
        self._hub.work(lambda: self._begin(order), self._begins, slow=True)

    def _said(self, said: Said) -> None:
        if self._inner is None or not self._inner.is_open:
            self._early.append(said)
            self._early_bytes += EARLY_MESSAGE_BYTES + (
                len(said) if isinstance(said, bytes) else 0)
            if self._early_bytes > EARLY_BYTES_MAX:
                self._peer.listen(deaf=True)
            return
        if isinstance(said, bytes):
            self._active_s = self._hub.now_s()
            self._inner.write(said)
        elif isinstance(said, EndOfInput):
            self._inner.end_input()
        else:
            self._resize(said)

    def _resize(self, said: Resize) -> None:
        self._size = Size(said.terminal.rows, said.terminal.columns)
        if self._resizing or self._execution is None or self._order is None \
                or self._order.terminal is None:
            return
        self._resizing = True
        execution, size = self._execution, self._size
        self._size = None
        self._hub.work(lambda: execution.resize(size), self._resized, slow=True)

    def _resized(self, _: object, fault: BaseException | None) -> None:
        self._resizing = False
        if fault is not None:
            logger.info("a terminal kept its size: %s", fault)
        if self._size is not None:  # it changed once more meanwhile
            self._resize(Resize.model_construct(type="resize", terminal=self._size))

    def drained(self) -> None:
        """The client has taken all."""
        if self._last is not None:
            self._tell_last()
        elif self._inner is not None:
            self._inner.listen()

    def close(self) -> None:
        """The client is gone."""
        self._gone = True
        self._source.forget(self)
        self._leave()

    # -- the engine ----------------------------------------------------------------------

    def _begin(self, order: ExecOrder) -> Execution:
        self._asked.note(order)
        return self._source.engine().execute(self._asked.container_id, order)

    def _begins(self, execution: Execution | None, fault: BaseException | None) -> None:
        if execution is None:
            self._refused(fault)
            return
        assert self._order is not None
        self._execution = execution
        self._inner = EngineSide(self, execution, terminal=self._order.terminal is not None)
        self._hub.join(self._inner, execution.sock)
        if not self._gone:
            self._active_s = self._hub.now_s()
            self._peer.send([Message(orjson.dumps(
                {"type": "started", "replica": self._asked.replica}))])

    def _refused(self, fault: BaseException | None) -> None:
        if isinstance(fault, OrchestryError):
            self._fail(fault.code, fault.details)
        elif isinstance(fault, EngineError) and fault.fault == "gone":
            self._fail(Code.NOT_FOUND, f"Replica {self._asked.replica} is gone: ask for another")
        elif isinstance(fault, EngineError):
            begun = "; the command may have begun" if fault.fault == "timeout" else ""
            self._fail(Code.DOCKER_ERROR, fault.reason + begun)
        else:
            logger.error("a command in a container did not begin", exc_info=fault)
            self._fail(Code.INTERNAL_ERROR, "see this controller's log")

    def opened(self) -> None:
        """The engine's connection is ours."""
        if self._gone or self._last is not None or self._peer.closing:
            self._leave()
            return
        early, self._early = self._early, []
        for said in early:
            self._said(said)
        self._peer.listen(deaf=self._full)

    def output(self, pieces: Sequence[tuple[int, bytes]]) -> None:
        """What the command wrote."""
        self._active_s = self._hub.now_s()
        self._peer.send([Message(bytes([channel]) + piece, binary=True)
                         for channel, piece in joined(pieces)])
        if self._peer.busy and self._inner is not None:
            self._inner.listen(deaf=True)

    def full(self, *, full: bool) -> None:
        """Whether the command takes no more for now."""
        self._full = full
        self._peer.listen(deaf=full)

    def ended(self) -> None:
        """The engine's connection is over."""
        execution = self._execution
        assert execution is not None
        if self._gone or self._last is not None:
            execution.close()
            return
        self._hub.work(lambda: _learn(execution), self._learned, slow=True)

    def _learned(self, state: ExecState | None, fault: BaseException | None) -> None:
        if state is not None and state.exit_code is not None:
            reason = None if state.replica_runs else f"replica {self._asked.replica} has ended"
            self._finish(orjson.dumps(
                {"type": "exit", "exit_code": state.exit_code, "reason": reason}), NORMAL,
                "the command has ended")
        elif isinstance(fault, EngineError) and fault.fault == "gone":
            self._fail(Code.DOCKER_ERROR, f"replica {self._asked.replica} is gone, and with it "
                       "what is known of the command's end")
        elif state is not None or isinstance(fault, EngineError):
            self._fail(Code.DOCKER_ERROR, "the engine broke the connection off: the command may "
                       "go on, and how it ends is not known")
        else:
            self._refused(fault)

    # -- the end -------------------------------------------------------------------------

    def look(self, now_s: float, config: Config) -> None:
        """End what takes too long, or is not wanted any more."""
        if self._peer.closing:
            self._leave()
        elif self._last is not None:
            return
        elif not config.exec_on:
            self._leave()
            self._peer.close(DENIED, "commands in containers were switched off")
        elif self._order is None:
            if now_s > self._begun_s + START_S:
                self._fail(Code.VALIDATION_ERROR, [{
                    "field": "", "message": f"no message came within {START_S:g} s"}])
        elif self._inner is not None and now_s > self._active_s + config.exec_idle_s:
            self._leave()
            self._fail(Code.TIMEOUT, f"neither side said anything for {config.exec_idle_s:g} s; "
                       "`exec.idle_timeout` is how long that may be")

    def _leave(self) -> None:
        """Let go of the command: its input ends."""
        if self._inner is not None and self._inner.leave():
            self._hub.later(LEAVE_S, self._inner.abort)

    def _fail(self, code: Code, details: object) -> None:
        self._leave()
        self._finish(error_message(code, details), FAILED, code.value.title)

    def _finish(self, message: bytes, code: int, reason: str) -> None:
        if self._last is not None or self._gone:
            return
        self._last = Message(message), code, reason
        if not self._peer.busy:
            self._tell_last()

    def _tell_last(self) -> None:
        if self._last is None or self._told or self._peer.closing:
            return
        self._told = True
        message, code, reason = self._last
        self._peer.send([message])
        self._peer.close(code, reason)


def _learn(execution: Execution) -> ExecState:
    """How it ended; in a thread that may wait."""
    try:
        began_s, gap_s = time.monotonic(), LEARN_GAP_S
        until_s = began_s + LEARN_S
        while True:
            found = execution.state()
            if found.exit_code == KILLED and found.replica_runs:
                until_s = min(until_s, began_s + DOUBT_S)  # its replica may be about to end
            elif found.exit_code is not None:
                return found
            if time.monotonic() > until_s:
                return found
            time.sleep(gap_s)
            gap_s = min(2 * gap_s, 0.5)
    finally:
        execution.close()
