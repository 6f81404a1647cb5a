"""HTTP that blocks: what `exchange` decides, done over kept connections."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from http.client import InvalidURL
from typing import Any
from urllib.parse import urlencode

from orchestry.client import trust
from orchestry.client.attempts import HASTE_S
from orchestry.client.connections import FAULTS, Connection, Pool, Response
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
from orchestry.client.streams import Following, Source
from orchestry.client.trust import Trust

_REFUSAL = re.compile(r"ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")


class Transport:
    """Sends calls until one is final; threads may share it."""

    def __init__(self, known: Known[Response], user_agent: str, trusted: Trust) -> None:
        self._known = known
        self._pool = Pool(trusted)
        self._user_agent = user_agent

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.close()

    def send(self, request: Request) -> Answer:
        """Carry out one call; raises ClientError."""
        return self._known.answer(self._carry_out(request))

    def follow(self, source: Source, timeout_s: float) -> Generator[Any, None, None]:
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
                    for piece in response.pieces():
                        yield from connection.push(piece)
                except (*FAULTS, *connection.FAULTS) as error:
                    connection.broke(error)
            delay_s = following.after(connection.end(), self._known.members)
            if delay_s is None:
                return
            time.sleep(delay_s)

    def open(self, request: Request) -> Response:
        """The open answer to a request for a stream; raises ClientError."""
        return self._known.opened(self._carry_out(request))[1]

    def _carry_out(self, request: Request) -> Carried[Response]:
        steps = self._known.carry_out(request)
        found: Reply[Response] | Lost | None = None
        while True:
            try:
                step = steps.send(found)
            except StopIteration as done:
                carried: Carried[Response] = done.value
                return carried
            if isinstance(step, Pause):
                time.sleep(step.delay_s)
                found = None
            else:
                found = self._attempt(step)

    def _attempt(self, step: Exchange) -> Reply[Response] | Lost:
        with self._patience(step):
            return self._tried(step)

    @contextmanager
    def _patience(self, step: Exchange) -> Iterator[None]:
        """Tells who listens when a controller takes its time."""
        if self._known.tell is None or step.request.waits or step.silence_s <= HASTE_S:
            yield
            return
        timer = threading.Timer(HASTE_S, self._known.told, [
            f"{step.node} does not answer; waiting for it up to {step.silence_s:.0f} s."])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tried(self, step: Exchange) -> Reply[Response] | Lost:
        begun_s = time.monotonic()
        try:
            connection = self._pool.taken(
                step.node, min(CONNECT_TIMEOUT_S, step.left_s, step.silence_s))
        except FAULTS as error:
            return _lost(False, step.node, error, begun_s)
        used = False
        try:
            reply = self._exchange(connection, step)
            used = True
            return reply
        except InvalidURL as error:
            raise _unsendable(error) from None
        except FAULTS as error:
            return _lost(not _is_refusal(error), step.node, error, begun_s)
        except ValueError as error:
            raise _unsendable(error) from None
        finally:
            if not used:
                connection.close()

    def _exchange(self, connection: Connection, step: Exchange) -> Reply[Response]:
        request, body = step.request, Body(step)
        query = f"?{urlencode(request.query)}" if request.query else ""
        response = connection.ask(
            request.method, request.path + query,
            {"User-Agent": self._user_agent, **step.headers()}, request.body,
            silence_s=request.read_timeout_s, left_s=step.left_s, head_s=step.silence_s)
        if step.streams(response.status, response.headers):
            response.go_on()
            return Reply(response.status, response.headers, None, response)
        for piece in response.pieces():
            if not body.add(piece):
                raise TimeoutError("the answer came too slowly")
        if response.may_be_kept():
            self._pool.give(step.node, connection)
        else:
            connection.close()
        return Reply(response.status, response.headers, body.document())


def _unsendable(error: Exception) -> InvalidRequest:
    return InvalidRequest("VALIDATION_ERROR", "The request cannot be sent", str(error))


def _is_refusal(error: Exception) -> bool:
    """Of our certificate: with TLS 1.3 that comes only now, and before the request is read."""
    return isinstance(error, ssl.SSLError) and _REFUSAL.search(error.reason or "") is not None


def _lost(sent: bool, node: str, error: Exception, begun_s: float) -> Lost:
    if isinstance(error, TimeoutError):
        return late(sent, node, time.monotonic() - begun_s)
    return Lost(sent, trust.reason(node, error) or last_cause(node, error))
