"""A call from its first try to its answer, whichever library carries the bytes.

`Known.carry_out` is a generator: it yields what is to be done next, an `Exchange` or a `Pause`,
and is sent what came of it. So the client that blocks and the one that does not decide alike.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from orchestry.client import attempts, websocket
from orchestry.client.addresses import exposes, node_url, redirect_target
from orchestry.client.errors import (
    NO_ANSWER,
    NOT_REACHABLE,
    ClientError,
    NoLeader,
    NotReachable,
    TimedOut,
    from_answer,
    seconds,
)
from orchestry.client.pace import Pace

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 10.0
ANSWER_BYTES_MAX = 64 * 1024**2
NODES_MAX = 64
LEARN_TIMEOUT_S = 2.0
PULSE_PATH = "/cluster/is-leader"
SSE = "text/event-stream"
_ERRNO = re.compile(r"\[Errno -?\d+\] ")

Answer = dict[str, Any]
# The open answer of a stream, as the library has it.
S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Request:
    """One call: `budget_s` bounds all its tries, `read_timeout_s` the silence of one.

    `stream` asks for server-sent events, with `upgrade`, the key of its handshake, for a
    WebSocket, at the controller `start` first, and from a state
    with `index_floor` at least; `patience_s` is for when no controller takes a connection.
    `once`: a repeat does not get the same answer, so a controller that is there is awaited.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = field(default=None, repr=False)  # it may have secrets
    budget_s: float = 30.0
    read_timeout_s: float = READ_TIMEOUT_S
    idempotency_key: str | None = None
    body_statuses: frozenset[int] = frozenset()
    stream: bool = False
    start: str | None = None
    index_floor: int = 0
    patience_s: float = attempts.PATIENCE_S
    upgrade: str = ""
    once: bool = False

    @property
    def write(self) -> bool:
        """True when the leader must carry it out."""
        return self.method != "GET"

    @property
    def waits(self) -> bool:
        """True when a controller may take long to answer without anything being wrong."""
        return (self.once or self.read_timeout_s > READ_TIMEOUT_S) and not self.stream


@dataclass(frozen=True, slots=True)
class Exchange:
    """Send a request to one controller and follow no redirect; the token goes along or not.

    The head of the answer is due `silence_s` after the request was sent.
    """

    request: Request
    node: str
    token: str | None = field(repr=False)
    left_s: float
    silence_s: float = READ_TIMEOUT_S

    def headers(self) -> dict[str, str]:
        """What this request says beside its body."""
        events = self.request.stream and not self.request.upgrade
        headers = {"Accept": SSE if events else "application/json"}
        if self.request.body is not None:
            headers["Content-Type"] = "application/json"
        if self.request.idempotency_key is not None:
            headers["Idempotency-Key"] = self.request.idempotency_key
        if self.request.upgrade:
            headers |= websocket.handshake(self.request.upgrade)
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def streams(self, status: int, headers: Mapping[str, str]) -> bool:
        """Whether an answer is the stream that was asked for."""
        if self.request.upgrade:
            return status == 101 and websocket.accepts(self.request.upgrade, headers)
        return self.request.stream and status == 200 \
            and headers.get("Content-Type", "").lower().startswith(SSE)


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class Reply(Generic[S]):
    """An answer; `body` is None unless it is a JSON object, `stream` unless it is a stream."""

    status: int
    headers: Mapping[str, str]
    body: Answer | None
    stream: S | None = None


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer; `sent` says that the request may have reached the controller.

    `silent`: it was awaited in vain.
    """

    sent: bool
    reason: str
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Carried(Generic[S]):
    """A call with its final answer, good or bad."""

    request: Request
    call: attempts.Call
    reply: Reply[S]


Steps = Generator[Exchange | Pause, Reply[S] | Lost | None, Carried[S]]


class Body:
    """The pieces of an answer, within its limits of size and time."""

    def __init__(self, step: Exchange) -> None:
        self._node = step.node
        self._until_s = time.monotonic() + step.left_s
        self._content = bytearray()

    def add(self, piece: bytes) -> bool:
        """Take a piece; False when time is up. Raises ClientError beyond the limit of size."""
        self._content += piece
        if len(self._content) > ANSWER_BYTES_MAX:
            raise ClientError(
                "ANSWER_TOO_LARGE", f"The answer of {self._node} is too large",
                f"more than {ANSWER_BYTES_MAX} bytes; ask for less",
            )
        return time.monotonic() <= self._until_s

    def document(self) -> Answer | None:
        """The JSON object, if it is one."""
        try:
            document = json.loads(self._content)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None


class Known(Generic[S]):
    """What a client knows of its cluster; threads may share it.

    The token goes only to members: the configured addresses and those that a member names
    in `/cluster/status`. Raises ValueError for malformed addresses.
    """

    def __init__(self, urls: tuple[str, ...], token: str | None) -> None:
        if not urls or len(urls) > NODES_MAX:
            raise ValueError(f"give between 1 and {NODES_MAX} controller addresses")
        self.members = tuple(dict.fromkeys(node_url(url) for url in urls))
        self._token = token
        self._preferred = self.members[0]
        self._leader: str | None = None
        self._index_floor = 0
        self._heard_s: dict[str, float] = {}
        self.pace = Pace()
        self.tell: Callable[[str], None] | None = None

    def carry_out(self, request: Request) -> Steps[S]:
        """Try a call until an answer is final; raises ClientError when none comes."""
        if request.write and request.idempotency_key is None:
            request = replace(request, idempotency_key=uuid.uuid4().hex)
        start = self._leader if request.write and self._leader else self._preferred
        call = attempts.Call(
            self.members, request.start or start, request.write,
            time.monotonic() + request.budget_s, patience_s=request.patience_s,
            silence_max_s=min(READ_TIMEOUT_S, request.read_timeout_s),
        )
        named_leader: str | None = None
        while True:
            call = attempts.begun(call, time.monotonic())
            found = yield from self._try(request, call)
            outcome = yield from self._outcome(call, found)
            if isinstance(outcome, attempts.Answered) and outcome.redirect_to:
                named_leader = outcome.redirect_to
            action = attempts.next_attempt(
                call, outcome, now_s=time.monotonic(), jitter=random.random()  # noqa: S311
            )
            if isinstance(action, attempts.Return):
                assert isinstance(found, Reply)
                return Carried(request, call, found)
            if isinstance(action, attempts.GiveUp):
                raise _given_up(action, call, request, found, named_leader)
            if isinstance(found, Lost) and found.silent and action.call.node != call.node:
                self.told(f"{found.reason}; asking {action.call.node}.")
            call = replace(action.call, nodes=self.members)
            yield Pause(action.delay_s)

    def told(self, text: str) -> None:
        """Say something to whoever waits, if he listens."""
        if self.tell is not None:
            self.tell(text)

    def _try(
        self, request: Request, call: attempts.Call
    ) -> Generator[Exchange | Pause, Reply[S] | Lost | None, Reply[S] | Lost]:
        """One try; a controller that may take minutes to answer shows first that it is there."""
        silence_s = call.silence_s
        if request.waits:
            if self._heard_s.get(call.node, -math.inf) < time.monotonic() - attempts.HASTE_S:
                there = yield self._exchange(
                    Request("GET", PULSE_PATH, {}), call.node, silence_s, silence_s)
                if isinstance(there, Lost):
                    return replace(there, sent=False)
            silence_s = request.read_timeout_s
        found = yield self._exchange(
            self._with_floor(request, call), call.node,
            max(0.05, call.deadline_s - time.monotonic()), silence_s)
        assert found is not None
        return found

    def answer(self, carried: Carried[S]) -> Answer:
        """The answer of a call; raises ClientError for a bad one."""
        request, call, reply = carried.request, carried.call, carried.reply
        self._preferred = call.node if call.node in self.members else self._preferred
        if reply.body is not None and (
            200 <= reply.status < 300
            or (reply.status in request.body_statuses and "error" not in reply.body)
        ):
            if request.write:
                self._leader = call.node
                index = reply.headers.get("X-Orchestry-Index", "")
                if index.isascii() and index.isdigit():
                    self._index_floor = max(self._index_floor, int(index))
            return reply.body
        if 200 <= reply.status < 300:
            raise ClientError(
                "UNREADABLE_ANSWER", f"{call.node} did not answer as a controller does",
                "check the address; it should be a controller's", status=reply.status,
            )
        raise from_answer(reply.status, reply.body or {}, reply.headers)

    def opened(self, carried: Carried[S]) -> tuple[str, S]:
        """The controller and its open stream; raises ClientError when there is none."""
        reply = carried.reply
        if reply.stream is None:  # what looks like success is none without a stream
            self.answer(carried if reply.status >= 400 else replace(
                carried, reply=replace(reply, body=None)))
        assert carried.reply.stream is not None
        return carried.call.node, carried.reply.stream

    def _exchange(
        self, request: Request, node: str, left_s: float, silence_s: float
    ) -> Exchange:
        token = self._token if node in self.members else None
        return Exchange(request, node, token, left_s, silence_s)

    def _outcome(
        self, call: attempts.Call, found: Reply[S] | Lost
    ) -> Generator[Exchange | Pause, Reply[S] | Lost | None, attempts.Answered | attempts.Failed]:
        if isinstance(found, Lost):
            if call.node == self._leader:
                self._leader = None
            return attempts.Failed(found.sent, found.silent)
        self._heard_s[call.node] = time.monotonic()
        self.pace.note(found.headers)
        redirect_to = None
        if found.status == 307:
            redirect_to = redirect_target(call.node, found.headers.get("Location", ""))
            if redirect_to not in self.members and self._token is not None:
                yield from self._learn(call.node)
        details = (found.body or {}).get("details")
        return attempts.Answered(
            found.status,
            None if found.body is None else str(found.body.get("code", "")),
            redirect_to,
            seconds(found.headers.get("Retry-After")),
            isinstance(details, dict) and details.get("outcome") == "unknown",
        )

    def _with_floor(self, request: Request, call: attempts.Call) -> Request:
        """Reads see what this client wrote, whichever controller answers.

        After every node had its turn the floor goes: the cluster may have started afresh.
        """
        floor = max(self._index_floor, request.index_floor)
        turns = call.tries - call.cuts
        if request.write or not floor or turns > len(call.nodes) \
                or not request.path.startswith("/api/"):
            return request
        return replace(request, query={**request.query, "min_index": str(floor)})

    def _learn(self, node: str) -> Generator[Exchange | Pause, Reply[S] | Lost | None, None]:
        """Add the controllers that a member names; best effort, the caller goes on anyway."""
        if node not in self.members:
            return
        found = yield self._exchange(
            Request("GET", "/cluster/status", {}), node, LEARN_TIMEOUT_S, LEARN_TIMEOUT_S)
        if not isinstance(found, Reply):
            return
        body = found.body or {}
        entries = [body.get("lease"), *(body.get("nodes") or [])]
        named = []
        for entry in entries:
            try:
                named.append(node_url(str(entry["api_url"])))
            except (TypeError, KeyError, ValueError):
                continue
        named = [one for one in named if not exposes(node, one)]
        self.members = tuple(dict.fromkeys([*self.members, *named]))[:NODES_MAX]


def _given_up(
    action: attempts.GiveUp, call: attempts.Call, request: Request,
    found: Reply[S] | Lost, named_leader: str | None,
) -> ClientError:
    reason = found.reason if isinstance(found, Lost) else ""
    if action.why == "unknown_outcome":
        return TimedOut(
            "TIMEOUT", "The outcome of the write is unknown",
            {"outcome": "unknown", "idempotency_key": request.idempotency_key, "cause": reason},
        )
    if isinstance(found, Reply) and found.status != 307 and found.body is not None:
        return from_answer(found.status, found.body, found.headers)
    if named_leader is not None:
        return NoLeader(
            "CLUSTER_NOT_READY", "The leader could not be reached",
            f"the controllers name {named_leader}; if it runs, its CONTROLLER_API_URL must be "
            "an address that can be reached from here",
        )
    if isinstance(found, Reply) and found.status == 307:
        return NoLeader(
            "CLUSTER_NOT_READY", "The leader could not be reached",
            f"{call.node} names {found.headers.get('Location', 'nothing')}, which is not followed "
            "from there; CONTROLLER_API_URL must be an address like those that are given here",
        )
    if isinstance(found, Lost) and found.silent:
        return NotReachable(
            NO_ANSWER, "No controller answered in time", f"tried {', '.join(call.nodes)}; {reason}")
    return NotReachable(
        NOT_REACHABLE, "No controller could be reached",
        f"tried {', '.join(call.nodes)}; {reason or 'a proxy answered without a controller'}",
    )


def late(sent: bool, node: str, waited_s: float) -> Lost:
    """A controller that was awaited for so long."""
    return Lost(sent, f"{node} did not answer in time ({waited_s:.1f} s)", silent=sent)


def last_cause(node: str, cause: object) -> str:
    """The last part of a chain of exceptions, which is the one that tells something."""
    text = str(cause).rsplit(": ", 1)[-1].strip("'\")(")
    return f"{node}: {_ERRNO.sub('', text)}"
