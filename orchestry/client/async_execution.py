"""Commands in containers for asyncio: the session that blocks, waited for by other threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from orchestry.client.blocking import Client
from orchestry.client.execution import Executed, Session, Stream, collect

THREADS_MAX = 32

T = TypeVar("T")


class AsyncSession:
    """As `Session`: `async for` gives what the command writes, and the other methods are awaited.

    Read and written by different tasks, it needs a thread for each that waits.
    """

    def __init__(self, session: Session, pool: ThreadPoolExecutor) -> None:
        self._session = session
        self._pool = pool

    @property
    def replica(self) -> str:
        """Where it runs; empty before it has begun."""
        return self._session.replica

    @property
    def exit_code(self) -> int | None:
        """Known when it has ended."""
        return self._session.exit_code

    @property
    def reason(self) -> str | None:
        """What ended it beside itself."""
        return self._session.reason

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[tuple[Stream, bytes]]:
        while (found := await self.read()) is not None:
            yield found

    async def read(self, timeout: float | None = None) -> tuple[Stream, bytes] | None:
        """What the command wrote next; None when it has ended. Raises as `Session.read`."""
        return await self._waited(lambda: self._session.read(timeout))

    async def write(self, data: bytes) -> None:
        """Give the command input; waits while it does not take it."""
        await self._waited(lambda: self._session.write(data))

    async def close_stdin(self) -> None:
        """The input has ended."""
        self._session.close_stdin()

    async def resize(self, rows: int, columns: int) -> None:
        """The terminal has this size now."""
        self._session.resize(rows, columns)

    async def close(self) -> None:
        """Leave: a command that has not ended loses its input, and may go on."""
        await asyncio.get_running_loop().run_in_executor(None, self._session.close)

    async def _waited(self, call: Callable[[], T]) -> T:
        """Wait in a thread; who is cancelled takes the session along, so that the thread ends."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        except asyncio.CancelledError:
            await self.close()
            raise

    async def collect(
        self, app_name: str, stdin: bytes | str | None, timeout_s: float, output_bytes_max: int
    ) -> Executed:
        """See `orchestry.client.execution.collect`."""
        return await self._waited(lambda: collect(
            self._session, app_name, stdin=stdin, timeout_s=timeout_s,
            output_bytes_max=output_bytes_max))


class Opener:
    """Opens sessions with a client that blocks, made when the first one is asked for."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._client: Client | None = None
        self._pool: ThreadPoolExecutor | None = None

    async def open(
        self, app_name: str, command: Sequence[str], *, replica: int | None, stdin: bool,
        terminal: tuple[int, int] | None,
    ) -> AsyncSession:
        """A session; one whose opening is cancelled is closed as soon as it is open."""
        client = self._client = self._client or self._make()
        pool = self._pool = self._pool or ThreadPoolExecutor(THREADS_MAX, "orchestry-exec-async")
        opening = asyncio.get_running_loop().run_in_executor(pool, lambda: client.open_exec(
            app_name, command, replica=replica, stdin=stdin, terminal=terminal))
        try:
            return AsyncSession(await asyncio.shield(opening), pool)
        except asyncio.CancelledError:
            opening.add_done_callback(_closed)
            raise

    def close(self) -> None:
        """Keep nothing; sessions that are open live on."""
        if self._client is not None:
            self._client.close()
        if self._pool is not None:
            self._pool.shutdown(wait=False)


def _closed(opening: asyncio.Future[Session]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        asyncio.get_running_loop().run_in_executor(None, opening.result().close)
