"""HTTP to a cluster: any controller, leader memory, redirects, retries. Door of `requests`."""

from __future__ import annotations

import json
import random
import re
import socket
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests
import requests.adapters
import requests.auth
import requests.exceptions
import urllib3.exceptions
from urllib3.connection import HTTPConnection

from orchestry.client import attempts
from orchestry.client.errors import (
    NOT_REACHABLE,
    ClientError,
    InvalidRequest,
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
_ERRNO = re.compile(r"\[Errno -?\d+\] ")
_CHUNK_BYTES = 64 * 1024
SSE = "text/event-stream"

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One call: `budget_s` bounds all its tries, `read_timeout_s` the silence of one.

    `stream` asks for server-sent events, at the controller `start` first, and from a state
    with `index_floor` at least; `patience_s` is for when no controller takes a connection.
    """

    method: str
    path: str
    query: Mapping[str, str]
    body: bytes | None = None
    budget_s: float = 30.0
    read_timeout_s: float = READ_TIMEOUT_S
    idempotency_key: str | None = None
    body_statuses: frozenset[int] = frozenset()
    stream: bool = False
    start: str | None = None
    index_floor: int = 0
    patience_s: float = attempts.PATIENCE_S

    @property
    def write(self) -> bool:
        """True when the leader must carry it out."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class _Reply:
    status: int
    headers: Mapping[str, str]
    body: Answer | None
    stream: requests.Response | None = None


def node_url(text: str) -> str:
    """A controller's address, normalised; raises ValueError with what would be right."""
    parts = urlsplit(text.strip())
    try:
        port = parts.port
    except ValueError:
        port = 0
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain \
            or parts.username is not None or port == 0:
        raise ValueError(
            f"{text!r} is no controller address; give one like http://127.0.0.1:8001"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port or (443 if parts.scheme == 'https' else 80)}"


class _Authorization(requests.auth.AuthBase):
    """Sends the token, or nothing; also keeps `requests` from reading ~/.netrc."""

    def __init__(self, token: str | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _KeepAlive(requests.adapters.HTTPAdapter):
    """Notices within half a minute that a host is gone, however long a call waits."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Let the kernel probe silent connections; names differ between systems."""
        probes = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):
                probes.append((socket.IPPROTO_TCP, getattr(socket, name), value))
        options["socket_options"] = [*HTTPConnection.default_socket_options, *probes]
        super().init_poolmanager(*arguments, **options)


class Transport:
    """Sends calls until one is final; threads may share it.

    The token goes only to members: the configured addresses and those that a member names
    in `/cluster/status`.
    """

    def __init__(self, urls: tuple[str, ...], token: str | None, user_agent: str) -> None:
        if not urls or len(urls) > NODES_MAX:
            raise ValueError(f"give between 1 and {NODES_MAX} controller addresses")
        self._members = tuple(dict.fromkeys(node_url(url) for url in urls))
        self._token = token
        self._preferred = self._members[0]
        self._leader: str | None = None
        self._index_floor = 0
        self.pace = Pace()
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _KeepAlive())
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers.update({"User-Agent": user_agent, "Accept": "application/json"})

    @property
    def members(self) -> tuple[str, ...]:
        """The controllers that are known and trusted."""
        return self._members

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def send(self, request: Request) -> Answer:
        """Carry out one call; raises ClientError."""
        request, call, reply = self._carry_out(request)
        return self._answer(request, call, reply)

    def open(self, request: Request) -> tuple[str, requests.Response]:
        """Open a stream: the controller and its answer, which the caller closes.

        Raises ClientError.
        """
        request, call, reply = self._carry_out(request)
        if reply.stream is None:
            self._answer(request, call, replace(reply, body=None))
        assert reply.stream is not None
        return call.node, reply.stream

    def _carry_out(self, request: Request) -> tuple[Request, attempts.Call, _Reply]:
        if request.write and request.idempotency_key is None:
            request = replace(request, idempotency_key=uuid.uuid4().hex)
        start = self._leader if request.write and self._leader else self._preferred
        call = attempts.Call(
            self._members, request.start or start, request.write,
            time.monotonic() + request.budget_s, patience_s=request.patience_s,
        )
        named_leader: str | None = None
        while True:
            reply, outcome, reason = self._attempt(request, call)
            if isinstance(outcome, attempts.Answered) and outcome.redirect_to:
                named_leader = outcome.redirect_to
            action = attempts.next_attempt(
                call, outcome, now_s=time.monotonic(), jitter=random.random()  # noqa: S311
            )
            if isinstance(action, attempts.Return):
                assert reply is not None
                return request, call, reply
            if isinstance(action, attempts.GiveUp):
                raise _given_up(
                    action, call, request, reply=reply, reason=reason, named_leader=named_leader
                )
            call = replace(action.call, nodes=self._members)
            time.sleep(action.delay_s)

    def _attempt(
        self, request: Request, call: attempts.Call
    ) -> tuple[_Reply | None, attempts.Answered | attempts.Failed, str]:
        left_s = call.deadline_s - time.monotonic()
        try:
            reply = self._exchange(
                self._with_floor(request, call), call.node, max(0.05, left_s)
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise InvalidRequest("VALIDATION_ERROR", "The request cannot be sent",
                                 str(error)) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            if call.node == self._leader:
                self._leader = None
            return None, attempts.Failed(_may_have_been_sent(error)), _reason(call.node, error)
        self.pace.note(reply.headers)
        redirect_to = self._redirect_target(reply, call.node) if reply.status == 307 else None
        details = (reply.body or {}).get("details")
        outcome = attempts.Answered(
            reply.status,
            None if reply.body is None else str(reply.body.get("code", "")),
            redirect_to,
            seconds(reply.headers.get("Retry-After")),
            isinstance(details, dict) and details.get("outcome") == "unknown",
        )
        return reply, outcome, ""

    def _with_floor(self, request: Request, call: attempts.Call) -> Request:
        """Reads see what this client wrote, whichever controller answers.

        After every node had its turn the floor goes: the cluster may have started afresh.
        """
        floor = max(self._index_floor, request.index_floor)
        if request.write or not floor or call.tries > len(call.nodes) \
                or not request.path.startswith("/api/"):
            return request
        return replace(request, query={**request.query, "min_index": str(floor)})

    def _exchange(self, request: Request, node: str, left_s: float) -> _Reply:
        """One HTTP exchange with one node, no redirect followed."""
        until_s = time.monotonic() + left_s
        headers = {"Accept": SSE} if request.stream else {}
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        if request.idempotency_key is not None:
            headers["Idempotency-Key"] = request.idempotency_key
        response = self._session.request(
            request.method, node + request.path, params=request.query, headers=headers,
            data=request.body,
            auth=_Authorization(self._token if node in self._members else None),
            timeout=(min(CONNECT_TIMEOUT_S, left_s), min(request.read_timeout_s, left_s)),
            allow_redirects=False, stream=True,
        )
        if request.stream and response.status_code == 200 \
                and response.headers.get("Content-Type", "").lower().startswith(SSE):
            return _Reply(response.status_code, response.headers, None, response)
        with response:
            content = bytearray()
            for chunk in response.iter_content(_CHUNK_BYTES):
                content += chunk
                if len(content) > ANSWER_BYTES_MAX:
                    raise ClientError(
                        "ANSWER_TOO_LARGE", f"The answer of {node} is too large",
                        f"more than {ANSWER_BYTES_MAX} bytes; ask for less",
                    )
                if time.monotonic() > until_s:
                    raise requests.exceptions.ReadTimeout("the answer came too slowly")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        return _Reply(
            response.status_code, response.headers,
            document if isinstance(document, dict) else None,
        )

    def _redirect_target(self, reply: _Reply, node: str) -> str | None:
        try:
            target = node_url("{0.scheme}://{0.netloc}".format(
                urlsplit(reply.headers.get("Location", ""))))
        except ValueError:
            return None
        if target not in self._members and self._token is not None:
            self._learn(node)
        return target

    def _learn(self, node: str) -> None:
        """Add the controllers that a member names; best effort, the caller goes on anyway."""
        if node not in self._members:
            return
        try:
            reply = self._exchange(
                Request("GET", "/cluster/status", {}), node, LEARN_TIMEOUT_S
            )
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError):
            return
        body = reply.body or {}
        entries = [body.get("lease"), *(body.get("nodes") or [])]
        named = []
        for entry in entries:
            try:
                named.append(node_url(str(entry["api_url"])))
            except (TypeError, KeyError, ValueError):
                continue
        self._members = tuple(dict.fromkeys([*self._members, *named]))[:NODES_MAX]

    def _answer(self, request: Request, call: attempts.Call, reply: _Reply) -> Answer:
        self._preferred = call.node if call.node in self._members else self._preferred
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


def _given_up(
    action: attempts.GiveUp, call: attempts.Call, request: Request, *,
    reply: _Reply | None, reason: str, named_leader: str | None,
) -> ClientError:
    if action.why == "unknown_outcome":
        return TimedOut(
            "TIMEOUT", "The outcome of the write is unknown",
            {"outcome": "unknown", "idempotency_key": request.idempotency_key, "cause": reason},
        )
    if reply is not None and reply.status != 307 and reply.body is not None:
        return from_answer(reply.status, reply.body, reply.headers)
    if named_leader is not None:
        return NoLeader(
            "CLUSTER_NOT_READY", "The leader could not be reached",
            f"the controllers name {named_leader}; if it runs, its CONTROLLER_API_URL must be "
            "an address that can be reached from here",
        )
    return NotReachable(
        NOT_REACHABLE, "No controller could be reached",
        f"tried {', '.join(call.nodes)}; {reason or 'a proxy answered without a controller'}",
    )


def _may_have_been_sent(error: Exception) -> bool:
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError
                  | requests.exceptions.ProxyError):
        return False
    cause = error.args[0] if error.args else None
    return not isinstance(
        getattr(cause, "reason", cause), urllib3.exceptions.NewConnectionError
    )


def _reason(node: str, error: Exception) -> str:
    """The last part of a chain of exceptions, which is the one that tells something."""
    if isinstance(error, requests.exceptions.Timeout):
        return f"{node} did not answer in time"
    cause: object = error
    while isinstance(cause, BaseException):
        inner = getattr(cause, "reason", None) or (cause.args[0] if cause.args else None)
        if not isinstance(inner, BaseException):
            break
        cause = inner
    text = str(cause).rsplit(": ", 1)[-1].strip("'\")(")
    return f"{node}: {_ERRNO.sub('', text)}"
