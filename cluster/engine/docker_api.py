"""The one door to the `docker` package: calls with deadlines, failures as EngineError."""

from __future__ import annotations

import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import docker.errors
import docker.utils
import requests
import urllib3.exceptions
from docker import APIClient
from docker.tls import TLSConfig

from cluster.engine.base import EngineError, Fault
from cluster.engine.docker_logins import logins_for_build

DEFAULT_URL = "unix:///var/run/docker.sock"
POOL_CONNECTIONS = 32
REASON_CHARS = 300
CALLS_IN_PARALLEL = 8
BUILD_TIMEOUT_S = 300.0
NAME_POLL_S = 0.05

T = TypeVar("T")
R = TypeVar("R")

_NO_RESOURCES = (
    "no space left",
    "cannot allocate memory",
    "resource temporarily unavailable",
    "too many open files",
    "no available ipv4 addresses",
    "non-overlapping ipv4 address pool",
    "all predefined address pools",
    "overlaps with other one",
)
# What runc says around the cause; the cause itself is what a user can act upon.
_WRAPPING = re.compile(r"^.*(?:unable to start container process|process caused): ", re.DOTALL)


class ApiRefusal(EngineError):
    """The daemon answered with an error; `status` is the HTTP status."""

    def __init__(self, fault: Fault, reason: str, status: int) -> None:
        super().__init__(fault, reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class DockerTls:
    """Files in PEM: by which CA a daemon is known, and what is shown to it."""

    ca: str
    cert: str = ""
    key: str = ""


class _Verified(TLSConfig):  # type: ignore[misc]  # docker has no types
    """TLS with exactly these files: neither a CA nor a proxy comes from the environment."""

    def configure_client(self, client: Any) -> None:
        super().configure_client(client)
        client.trust_env = False


@dataclass(frozen=True, slots=True)
class Upgraded:
    """A connection that is no HTTP any more, with what came behind the head of the answer.

    `close` lets go of the rest of it, when `sock` is closed.
    """

    sock: socket.socket
    first: bytes
    close: Callable[[], None]


class _Client(APIClient):  # type: ignore[misc]  # docker has no types
    """Without the logins in the account's file: one that cannot be read costs no call."""

    @property
    def _general_configs(self) -> dict[str, Any]:
        return self._general

    @_general_configs.setter
    def _general_configs(self, found: Any) -> None:
        rest = found if isinstance(found, dict) else {}
        rest = {key: value for key, value in rest.items()
                if key in ("proxies", "HttpHeaders", "detachKeys")}
        self._general = {**rest, "auths": {"": {}}}  # with none it would look for them again


class DockerApi:
    """A thread-safe client that connects on first use, so a dead daemon stops nobody.

    `base_url` None follows DOCKER_HOST and its TLS variables; `tls` holds for tcp://. Every call
    raises only EngineError and, unless said otherwise, ends within `timeout_s` of silence.
    """

    def __init__(
        self, base_url: str | None, timeout_s: float, tls: DockerTls | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self._tls = tls
        self._settings = {} if base_url else docker.utils.kwargs_from_env()
        if base_url:
            self._settings["base_url"] = base_url
        url = self._settings.setdefault("base_url", DEFAULT_URL)
        self._socket_path = url.removeprefix("unix://") if url.startswith("unix://") else ""
        self._client: Any = None
        self._lock = threading.Lock()

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of docker.APIClient by its name."""
        with self._translated():
            return getattr(self._connected(), method)(*args, **kwargs)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        params: Mapping[str, str],
        *,
        silence_s: float | None,
        headers: Mapping[str, str] | None = None,
        data: Iterator[bytes] | None = None,
    ) -> Iterator[requests.Response]:
        """An open response; `silence_s` bounds the wait for each next byte.

        Without that bound the answer has to begin within `timeout_s` all the same.
        """
        with self._translated():
            client = self._connected()
            with client.request(
                method,
                f"{client.base_url}/v{client.api_version}{path}",
                params=params,
                headers=headers,
                data=data,
                stream=True,
                timeout=(self.timeout_s, silence_s or self.timeout_s),
            ) as response:
                if response.status_code >= 400:
                    raise _refusal(response.status_code, _message(response))
                if silence_s is None:
                    _wait_for_ever(response)
                yield response

    def upgraded(self, path: str, body: Mapping[str, Any]) -> Upgraded:
        """POST, and the connection for what follows; it does not block."""
        with self._translated():
            client = self._connected()
            response = client.request(
                "POST", f"{client.base_url}/v{client.api_version}{path}", json=body, stream=True,
                headers={"Connection": "Upgrade", "Upgrade": "tcp"},
                timeout=(self.timeout_s, self.timeout_s))
            try:
                if response.status_code >= 400:
                    raise _refusal(response.status_code, _message(response))
                return _taken(response)
            except BaseException:
                response.close()
                raise

    def build(self, tag: str, context_tar: Any) -> str:
        """Build an image from a tar file object; returns the image id."""
        logins = logins_for_build()
        with self._translated():
            self._connected()._auth_configs = logins
        steps = self.call(
            "build", fileobj=context_tar, custom_context=True, tag=tag, rm=True, forcerm=True,
            decode=True, timeout=BUILD_TIMEOUT_S,
        )
        with self._translated():
            for step in steps:
                if "error" in step:
                    raise EngineError("rejected", short(f"building {tag}: {step['error']}"))
        return str(self.call("inspect_image", tag)["Id"])

    def remove_container(self, container_id: str) -> None:
        """Kill and remove, and wait while another caller's removal is under way."""
        deadline_s = time.monotonic() + self.timeout_s
        while True:
            try:
                self.call("remove_container", container_id, v=True, force=True)
                return
            except ApiRefusal as error:
                if error.status == 404:
                    return
                if error.status != 409 or "in progress" not in error.reason:
                    raise
                if time.monotonic() > deadline_s:
                    raise EngineError("timeout", error.reason) from error
            time.sleep(NAME_POLL_S)

    def close(self) -> None:
        """Close the pooled connections; the next call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        self._probe()
        client = self._client
        if client is not None:
            return client
        # Outside the lock: the first request may hang for `timeout_s`, and callers that
        # queued behind it would each wait that long again.
        secure = {} if self._tls is None else {"tls": _Verified(
            (self._tls.cert, self._tls.key) if self._tls.cert else None, self._tls.ca,
            verify=True)}
        fresh = _Client(
            version="auto", timeout=self.timeout_s, max_pool_size=POOL_CONNECTIONS,
            **self._settings, **secure,
        )
        with self._lock:
            if self._client is None:
                self._client = fresh
            client = self._client
        if client is not fresh:
            fresh.close()
        return client

    def _probe(self) -> None:
        """Fail early when nobody listens: the package leaks a socket on a refused connect."""
        if self._socket_path:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(self.timeout_s)
                probe.connect(self._socket_path)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except docker.errors.APIError as error:
            if "client version" in str(error.explanation):
                self.close()  # the daemon was replaced by another version: negotiate again
                raise EngineError("unavailable", "the Docker API version changed") from error
            status = error.response.status_code if error.response is not None else 500
            raise _refusal(status, str(error.explanation or error)) from error
        except (
            docker.errors.DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
            ValueError,
        ) as error:
            if _is_timeout(error):
                reason = f"Docker did not answer within {self.timeout_s:g} s"
                raise EngineError("timeout", reason) from error
            reason = f"Docker does not answer: {_root_cause(error)}"
            raise EngineError("unavailable", short(reason)) from error


def _taken(response: requests.Response) -> Upgraded:
    reader: Any = response.raw._fp.fp  # type: ignore[union-attr]  # it may have read on
    sock: socket.socket = reader.raw._sock
    sock.setblocking(False)
    first = b""
    with suppress(ssl.SSLWantReadError, BlockingIOError):
        first = bytes(reader.peek())
    if isinstance(sock, ssl.SSLSocket):
        return Upgraded(sock, first, response.close)
    taken = sock.dup()
    taken.setblocking(False)
    response.close()
    return Upgraded(taken, first, lambda: None)


def _wait_for_ever(response: requests.Response) -> None:
    sock = getattr(response.raw.connection, "sock", None)
    if sock is not None:  # gone when the answer has ended already
        sock.settimeout(None)


def _refusal(status: int, message: str) -> ApiRefusal:
    text = message.lower()
    fault: Fault = "rejected"
    if lacks_resources(message):
        fault = "no_resources"
    elif status == 404 and "no such image" in text:
        fault = "image_missing"
    elif status == 503 or "shutting down" in text:
        fault = "unavailable"
    return ApiRefusal(fault, short(message), status)


def lacks_resources(message: str) -> bool:
    """Whether the host has too little of something, by what the daemon says."""
    text = message.lower()
    return any(sign in text for sign in _NO_RESOURCES)


def _message(response: requests.Response) -> str:
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError):
        return response.text or response.reason


def short(message: str) -> str:
    """The first line that says why, of bounded length."""
    line = _WRAPPING.sub("", message.strip()).split("\n", 1)[0]
    return line.removesuffix(": unknown")[:REASON_CHARS]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that it wraps, by `raise … from` or as an argument."""
    pending, seen = [error], set[int]()
    while pending:
        link = pending.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        pending += [link.__cause__, link.__context__]
        pending += [part for part in link.args if isinstance(part, BaseException)]


def _is_timeout(error: BaseException) -> bool:
    kinds = (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError)
    return any(isinstance(link, kinds) for link in _chain(error))


def _root_cause(error: BaseException) -> str:
    for link in _chain(error):
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return str(error)


def in_parallel(verb: Callable[[T], R], items: Sequence[T]) -> Iterable[R]:
    """Results in order, at most CALLS_IN_PARALLEL at once; the first failure stops the rest."""
    if len(items) < 2:
        return [verb(item) for item in items]
    with ThreadPoolExecutor(CALLS_IN_PARALLEL, "docker") as pool:
        try:
            return list(pool.map(verb, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
