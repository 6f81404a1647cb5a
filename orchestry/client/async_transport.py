"""HTTP that does not block: what `exchange` decides, done with `httpx`. Its door."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.request import getproxies

try:
    import httpx
except ImportError as missing:
    raise ImportError(
        "orchestry.AsyncClient needs httpx: pip install 'orchestry[async]'", name=missing.name
    ) from missing

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
    late,
)
from orchestry.client.keep_alive import probes
from orchestry.client.streams import Following, Source
from orchestry.client.trust import Trust

Stream = httpx.Response
CONNECTIONS_MAX = 100
KEPT_MAX = 20
# The library's own limits tell better what happened.
SLACK_S = 0.2

# The request itself did not reach a controller.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_UNSENDABLE = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError,
               UnicodeEncodeError)


def _session(
    user_agent: str, limits: httpx.Limits, verify: ssl.SSLContext
) -> httpx.AsyncClient:
    # A transport of one's own would turn the proxies of the environment off.
    proxied = {"http", "https", "all"} & set(getproxies())
    transport = None if proxied else httpx.AsyncHTTPTransport(
        verify=verify, limits=limits,
        socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), *probes()])
    session = httpx.AsyncClient(
        headers={"User-Agent": user_agent}, limits=limits, transport=transport,
        verify=verify)
    session.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


class AsyncTransport:
    """Sends calls until one is final; tasks of one event loop may share it."""

    def __init__(self, known: Known[httpx.Response], user_agent: str, trusted: Trust) -> None:
        self._known = known
        # Without it httpx brings its own CAs instead of those of the system.
        context = trusted.context() or ssl.create_default_context()
        self._calls = _session(user_agent, httpx.Limits(
            max_connections=CONNECTIONS_MAX, max_keepalive_connections=KEPT_MAX), context)
        # A stream holds its connection, and must not take it from the calls.
        self._streams = _session(user_agent, httpx.Limits(
            max_connections=None, max_keepalive_connections=0), context)

    async def close(self) -> None:
        """Close the kept connections."""
        await self._calls.aclose()
        await self._streams.aclose()

    async def send(self, request: Request) -> Answer:
        """Carry out one call; raises ClientError."""
        return self._known.answer(await self._carry_out(request))

    async def follow(self, source: Source, timeout_s: float) -> AsyncGenerator[Any, None]:
        """All new messages of a source, until the cluster ends it.

        Nothing is read ahead: a slow caller slows the controller down, which drops it at some
        point, and then the stream resumes.

        Raises:
            ClientError: it cannot begin, or no controller has continued it for `timeout_s`.
        """
        following = Following(source, timeout_s)
        while True:
            if (before := following.before()) is not None:
                source.learn(await self.send(before))
            try:
                node, response = self._known.opened(await self._carry_out(following.request()))
            except NotFound:
                if following.first:
                    raise
                return
            connection = following.opened(node, response.headers)
            async with aclosing(response):
                try:
                    async for piece in response.aiter_bytes():
                        for message in connection.push(piece):
                            yield message
                except (httpx.HTTPError, httpx.StreamError, *connection.FAULTS) as error:
                    connection.broke(error)
            delay_s = following.after(connection.end(), self._known.members)
            if delay_s is None:
                return
            await asyncio.sleep(delay_s)

    async def _carry_out(self, request: Request) -> Carried[httpx.Response]:
        steps = self._known.carry_out(request)
        found: Reply[httpx.Response] | Lost | None = None
        while True:
            try:
                step = steps.send(found)
            except StopIteration as done:
                carried: Carried[httpx.Response] = done.value
                return carried
            if isinstance(step, Pause):
                await asyncio.sleep(step.delay_s)
                found = None
            else:
                found = await self._attempt(step)

    async def _attempt(self, step: Exchange) -> Reply[httpx.Response] | Lost:
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(step.left_s + SLACK_S):
                return await self._exchange(step)
        except TimeoutError:
            return late(True, step.node, time.monotonic() - begun_s)
        except _UNSENDABLE as error:
            raise InvalidRequest("VALIDATION_ERROR", "The request cannot be sent",
                                 str(error)) from None
        except httpx.HTTPError as error:
            sent = not isinstance(error, _NOT_SENT)
            if isinstance(error, httpx.TimeoutException):
                return late(sent, step.node, time.monotonic() - begun_s)
            return Lost(sent, _reason(step.node, error))

    async def _exchange(self, step: Exchange) -> Reply[httpx.Response]:
        asked, body = step.request, Body(step)
        session = self._streams if asked.stream else self._calls
        silence_s = asked.read_timeout_s if asked.stream else min(asked.read_timeout_s, step.left_s)
        timeout = httpx.Timeout(
            silence_s, pool=step.left_s, read=min(silence_s, step.silence_s),
            connect=min(CONNECT_TIMEOUT_S, step.left_s, step.silence_s)).as_dict()
        request = session.build_request(
            asked.method, step.node + asked.path, params=asked.query, headers=step.headers(),
            content=asked.body, extensions={"timeout": timeout})
        response = await session.send(request, stream=True, follow_redirects=False)
        timeout["read"] = silence_s  # the head was due sooner than its body is
        if step.streams(response.status_code, response.headers):
            return Reply(response.status_code, response.headers, None, response)
        async with aclosing(response):
            async for piece in response.aiter_bytes():
                if not body.add(piece):
                    raise httpx.ReadTimeout("the answer came too slowly")
        return Reply(response.status_code, response.headers, body.document())


def _reason(node: str, error: Exception) -> str:
    cause: BaseException = error
    while (inner := cause.__cause__ or cause.__context__) is not None:
        cause = inner
    if isinstance(cause, ConnectionError) and cause.errno:
        return f"{node}: {os.strerror(cause.errno)}"
    return trust.reason(node, cause) or last_cause(node, cause)
