"""Writes: leader guard, idempotency key, precondition, proposal."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from flask import Response, request

from api import errors
from api.access import caller
from api.controller import Controller
from api.here import INDEX, here
from cluster.state import codec, levels
from cluster.state.commands import Command, Origin, Stamp
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState
from orchestry.errors import Code, OrchestryError

WRITE_WAIT_S = 5.0
LEADER_WAIT_S = 1.0
METHODS: Final = frozenset({"POST", "PUT", "DELETE", "PATCH"})

AUDITED = "orchestry.audited"
"""The state machine records this request."""
PATH_MAX = 200
_KEY_USED = "orchestry.idempotency_key"
Mark = Callable[[bytes], str]


def redirect() -> Response | None:
    """The answer to a write that cannot be taken here; None on the leader.

    `Location` comes from the replicated member list, never from the Host header.
    """
    controller = here().controller
    leader = controller.log.settled_leader(0)
    if leader is None:
        # A client that comes back a second later would wait longer than most elections take.
        with here().waiting.place():
            leader = controller.log.settled_leader(LEADER_WAIT_S)
    if leader == controller.id:
        return None
    if leader is None:
        return errors.response(Code.CLUSTER_NOT_READY)
    info = controller.log.state().controllers.get(leader)
    if info is None:
        return errors.response(
            Code.CLUSTER_NOT_READY, f"The leader {leader} has not announced its address yet"
        )
    answer = errors.response(
        Code.NOT_LEADER, error=f"Request must be sent to leader node: {info.api_url}"
    )
    path = quote(request.path, safe="/:@!$&'()*+,;=~-._")
    query = quote(request.query_string, safe="/:@!$&'()*+,;=~-._?%")
    answer.headers["Location"] = f"{info.api_url}{path}{'?' if query else ''}{query}"
    return answer


def key_and_fingerprint(mark: Mark | None = None) -> tuple[str, str]:
    """The idempotency key, and what tells this request from another under the same key.

    Both go into the log, so that a repeat and a misused key are told apart where commands
    are ordered. Without a header a random key is made, which a client learns when the
    outcome is unknown. `mark` stands in for a plain digest of what must not be guessed from one.
    """
    key = request.headers.get("Idempotency-Key") or secrets.token_hex(16)
    parts = (request.method.encode(), request.path.encode(), request.query_string,
             request.get_data(cache=True))
    digest = hashlib.sha256()
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    found = digest.hexdigest() if mark is None else mark(digest.digest())
    return key, found[:32]


def expected_revision() -> int | None:
    """The revision of `If-Match`, compared when the command is applied; None without one."""
    wanted = request.headers.get("If-Match", "*")
    return None if wanted == "*" else int(wanted.strip('"'))


def origin_of(controller: Controller) -> Origin:
    """Who asks for what in the request that is served now."""
    who, environ = caller(), request.environ
    client = controller.limits.client(
        request.remote_addr or "", environ.get("HTTP_X_FORWARDED_FOR", ""))
    return Origin(who.id, who.name, client, request.method, request.path[:PATH_MAX])


def propose(
    command: Command, *, audited: bool = True, mark: Mark | None = None
) -> Applied:
    """Commit one command and return its accepted outcome; `audited` where users are known.

    `mark` is as in `key_and_fingerprint`.

    Raises:
        OrchestryError: the refusal, CLUSTER_NOT_READY, or UNKNOWN_OUTCOME with the key
            under which a repeat is safe.
    """
    controller = here().controller
    key, fingerprint = key_and_fingerprint(mark)
    request.environ[_KEY_USED] = key
    origin = origin_of(controller) if audited and controller.settings.auth_on else None
    stamp = Stamp(
        controller.clock.wall_ms(), controller.id, key, fingerprint=fingerprint, origin=origin)
    request.environ[AUDITED] = True
    try:
        applied = controller.log.submit(command, stamp).wait(WRITE_WAIT_S)
    except OrchestryError as error:
        if error.code is Code.UNKNOWN_OUTCOME:
            raise unknown_outcome() from error
        elsewhere = redirect() if error.code is Code.CLUSTER_NOT_READY else None
        if elsewhere is not None:
            raise errors.Answered(elsewhere) from error
        raise
    request.environ[INDEX] = applied.index
    if applied.rejected is not None:
        raise OrchestryError(applied.rejected, applied.details)
    return applied


def previewed(state: ClusterState, command: Command) -> tuple[ClusterState, Applied]:
    """What a command would make of a state; nothing is written.

    Raises:
        OrchestryError: it may not be proposed before all controllers understand it.
    """
    controller = here().controller
    stamp = Stamp(controller.clock.wall_ms(), controller.id)
    early = levels.refusal(state, codec.need_of(command, stamp))
    if early is not None:
        raise OrchestryError(early.code, early.details)
    return apply(state, command, stamp, state.index + 1)


def is_repeat() -> bool:
    """Whether this very request was answered before: what has changed since refuses it no more."""
    key, fingerprint = key_and_fingerprint()
    known = here().controller.log.state().memory.recall(key)
    return known is not None and known.fingerprint == fingerprint


def repeated(state: ClusterState) -> Applied | None:
    """The outcome of an earlier request under this key; None for a new one.

    Raises:
        OrchestryError: CONFLICT when the key belongs to another request.
    """
    key, fingerprint = key_and_fingerprint()
    known = state.memory.recall(key)
    if known is None:
        return None
    if known.fingerprint != fingerprint:
        raise OrchestryError(
            Code.CONFLICT, f"The Idempotency-Key {key} belongs to another request")
    return known.applied


def unknown_outcome() -> OrchestryError:
    """What tells the client to repeat the proposed write, here or at another node."""
    key = request.environ[_KEY_USED]
    return OrchestryError(
        Code.UNKNOWN_OUTCOME, {"outcome": "unknown", "idempotency_key": key}
    )
