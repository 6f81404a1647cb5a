"""HTTP that blocks: what `exchange` decides, done with `requests`. Its door."""

from __future__ import annotations

import ssl
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import requests.adapters
import requests.auth
import requests.exceptions
import urllib3.exceptions
from urllib3.connection import HTTPConnection

from orchestry.client import trust
from orchestry.client.errors import InvalidRequest, NotFound
from orchestry.client.exchange import (
    CONNECT_TIMEOUT_S,
    Answer,
    Body,
    Carried,
    Exchange,
    Known,
    Lost,
    Pause,
    Reply,
    Request,
    last_cause,
)
from orchestry.client.keep_alive import probes
from orchestry.client.streams import Following, Source
from orchestry.client.trust import Trust

_CHUNK_BYTES = 64 * 1024


class _NoNetrc(requests.auth.AuthBase):
    """Keeps `requests` from reading ~/.netrc; the token is a header like others."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Leave the request as it is."""
        return request


class _KeepAlive(requests.adapters.HTTPAdapter):
    """Notices within half a minute that a host is gone, however long a call waits."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Let the kernel probe silent connections."""
        options["socket_options"] = [*HTTPConnection.default_socket_options, *probes()]
        super().init_poolmanager(*arguments, **options)


class Transport:
    """Sends calls until one is final; threads may share it."""

    def __init__(self, known: Known[requests.Response], user_agent: str, trusted: Trust) -> None:
        self._known = known
        trusted.context()  # tells of files that cannot be used, which `requests` reads too late
        self._trust = trusted
        self._session = requests.Session()
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _KeepAlive())
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self._session.headers["User-Agent"] = user_agent

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def send(self, request: Request) -> Answer:
        """Carry out one call; raises ClientError."""
        return self._known.answer(self._carry_out(request))

    def follow(self, source: Source, timeout_s: float) -> Generator[Answer, None, None]:
        """All new messages of a source, until the cluster ends it.

        Nothing is read ahead: a slow caller slows the controller down, which drops it at some
        point, and then the stream resumes.

        Raises:
            ClientError: it cannot begin, or no controller has continued it for `timeout_s`.
        """
        following = Following(source, timeout_s)
        while True:
            if (before := following.before()) is not None:
                source.learn(self.send(before))
            try:
                node, response = self._known.opened(self._carry_out(following.request()))
            except NotFound:
                if following.first:
                    raise
                return
            connection = following.opened(node, response.headers)
            with closing(response):
                try:
                    for piece in _pieces(response):
                        yield from connection.push(piece)
                except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError,
                        *connection.FAULTS) as error:
                    connection.broke(error)
            delay_s = following.after(connection.end(), self._known.members)
            if delay_s is None:
                return
            time.sleep(delay_s)

    def _carry_out(self, request: Request) -> Carried[requests.Response]:
        steps = self._known.carry_out(request)
        found: Reply[requests.Response] | Lost | None = None
        while True:
            try:
                step = steps.send(found)
            except StopIteration as done:
                carried: Carried[requests.Response] = done.value
                return carried
            if isinstance(step, Pause):
                time.sleep(step.delay_s)
                found = None
            else:
                found = self._attempt(step)

    def _attempt(self, step: Exchange) -> Reply[requests.Response] | Lost:
        try:
            return self._exchange(step)
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader) as error:
            raise InvalidRequest("VALIDATION_ERROR", "The request cannot be sent",
                                 str(error)) from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            return Lost(_may_have_been_sent(error), _reason(step.node, error))

    def _exchange(self, step: Exchange) -> Reply[requests.Response]:
        request, body = step.request, Body(step)
        response = self._session.request(
            request.method, step.node + request.path, params=request.query,
            headers=step.headers(), data=request.body, auth=_NoNetrc(),
            timeout=(min(CONNECT_TIMEOUT_S, step.left_s),
                     min(request.read_timeout_s, step.left_s)),
            allow_redirects=False, stream=True, verify=self._trust.ca or True,
            cert=self._trust.cert,
        )
        if step.streams(response.status_code, response.headers):
            return Reply(response.status_code, response.headers, None, response)
        with response:
            for chunk in response.iter_content(_CHUNK_BYTES):
                if not body.add(chunk):
                    raise requests.exceptions.ReadTimeout("the answer came too slowly")
        return Reply(response.status_code, response.headers, body.document())


def _pieces(response: requests.Response) -> Iterator[bytes]:
    # Pieces of a body that is not chunked would be held back until they are full.
    whole = response.headers.get("Transfer-Encoding", "").lower() == "chunked"
    yield from response.iter_content(_CHUNK_BYTES if whole else 1)


def _may_have_been_sent(error: Exception) -> bool:
    if isinstance(_innermost(error), ssl.SSLEOFError):
        return True
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError
                  | requests.exceptions.ProxyError):
        return False
    cause = error.args[0] if error.args else None
    return not isinstance(
        getattr(cause, "reason", cause), urllib3.exceptions.NewConnectionError
    )


def _reason(node: str, error: Exception) -> str:
    if isinstance(error, requests.exceptions.Timeout):
        return f"{node} did not answer in time"
    cause = _innermost(error)
    return trust.reason(node, cause) or last_cause(node, cause)


def _innermost(error: BaseException) -> BaseException:
    while True:
        inner = getattr(error, "reason", None) or (error.args[0] if error.args else None)
        if not isinstance(inner, BaseException):
            return error
        error = inner
