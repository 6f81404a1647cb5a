"""`AsyncClient`: the calls of the REST API to await, and streams for `async for`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from orchestry.client.async_execution import AsyncSession, Opener
from orchestry.client.async_transport import AsyncTransport
from orchestry.client.basis import TIMEOUT_S
from orchestry.client.blocking import Client
from orchestry.client.calls import (
    Calls,
    deployment_source,
    event_source,
    log_source,
    metric_source,
)
from orchestry.client.exchange import Answer, Request
from orchestry.client.execution import EXEC_S, OUTPUT_BYTES_MAX, Executed
from orchestry.client.trust import Trust

if TYPE_CHECKING:
    from orchestry.client import answers
    from orchestry.client.async_calls import AsyncCalls
else:
    # The types of answers are for type checkers alone.
    AsyncCalls = Calls


class AsyncClient(AsyncCalls):
    """A cluster, as `orchestry.Client`, for asyncio: `pip install 'orchestry[async]'`.

    It has the same methods; answers are awaited, streams are asynchronous generators, and it
    is an asynchronous context manager. Tasks of one event loop may share a client. A call that
    is cancelled may have been carried out, as one that timed out: repeat a write under the
    same `idempotency_key` to find out.

    Raises ValueError for a malformed address, token or timeout, or a file that is not there.
    """

    def __init__(
        self, url: str | Sequence[str], token: str | None = None, timeout: float = TIMEOUT_S,
        *, ca: str | None = None, cert: tuple[str, str] | None = None,
    ) -> None:
        from orchestry import __version__

        super().__init__(url, token, timeout)
        self._transport = AsyncTransport(
            self._known, f"orchestry-python/{__version__}", Trust(ca, cert))
        self._opener = Opener(lambda: Client(
            self._known.members, token, timeout, ca=ca, cert=cert))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the kept connections."""
        self._opener.close()
        await self._transport.close()

    def stream_events(
        self, since_id: int | None = None, app: str | None = None, type: str | None = None
    ) -> AsyncGenerator[answers.Event, None]:
        """Events after `since_id`, or from now on, without a gap or a double.

        When its controller is lost a stream goes on at another one; it raises when none
        continues it for the client's `timeout`.
        """
        return self._transport.follow(event_source(since_id, app, type), self._timeout_s)

    def stream_logs(
        self, app_name: str, tail: int | None = None, container: str | None = None,
        level: str | None = None, since: str | None = None,
    ) -> AsyncGenerator[answers.LogEntry, None]:
        """Lines as they are written, until the app is removed; `tail` and `since` add older ones.

        With the `container` of a run they end with it. When its controller is lost the last
        seconds are asked for at another one, and what came already is left out.
        """
        source = log_source(app_name, tail, container, level, since)
        return self._transport.follow(source, self._timeout_s)

    def stream_deployment(
        self, app_name: str, deployment_id: int
    ) -> AsyncGenerator[answers.DeploymentDetail, None]:
        """How a deployment goes, with each replica, until it is over; one that is held is not."""
        return self._transport.follow(
            deployment_source(app_name, deployment_id), self._timeout_s)

    def stream_metrics(self, app_name: str) -> AsyncGenerator[answers.AppMeasured, None]:
        """Each measurement, beginning with the last, until the app is removed."""
        return self._transport.follow(metric_source(app_name), self._timeout_s)

    async def open_exec(
        self, app_name: str, command: Sequence[str], *, replica: int | None = None,
        stdin: bool = False, terminal: tuple[int, int] | None = None,
    ) -> AsyncSession:
        """Run a command in a container of an app, where the cluster allows it; to be closed.

        `replica` is the number of one, else a healthy one is taken; `terminal` its rows and
        columns. Raises Forbidden where commands are switched off, NotFound, Conflict.
        """
        return await self._opener.open(
            app_name, command, replica=replica, stdin=stdin, terminal=terminal)

    async def exec_app(
        self, app_name: str, command: Sequence[str], *, replica: int | None = None,
        stdin: bytes | str | None = None, timeout: float = EXEC_S,
        output_bytes_max: int = OUTPUT_BYTES_MAX,
    ) -> Executed:
        """The same, and wait up to `timeout` seconds for its end; its output and exit code.

        Of what it writes more than `output_bytes_max` to, only the beginning is kept. Raises
        TimedOut when it has not ended, or the connection is lost: it may go on.
        """
        session = await self.open_exec(app_name, command, replica=replica, stdin=stdin is not None)
        return await session.collect(app_name, stdin, timeout, output_bytes_max)

    def _send(self, request: Request) -> Coroutine[Any, Any, Answer]:
        return self._transport.send(request)
