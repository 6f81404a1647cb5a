"""What both Python clients must do alike is tested once: the other one looks as if it blocked."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

import orchestry

# Makes a client; the arguments are those of `orchestry.Client`.
Connect = Callable[..., Any]


class Awaited:
    """An AsyncClient, each of whose calls is awaited on an event loop of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop = start_blocking_portal()
        self._portal = self._loop.__enter__()
        try:
            self._client = self._portal.call(lambda: orchestry.AsyncClient(*arguments, **options))
        except BaseException:
            self._loop.__exit__(None, None, None)
            raise

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the client and its loop."""
        self._portal.call(self._client.close)
        self._loop.__exit__(None, None, None)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        if not callable(found):
            return found

        def call(*arguments: Any, **options: Any) -> Any:
            made = found(*arguments, **options)
            if isinstance(made, AsyncGenerator):
                return _each(self._portal, made)
            return self._portal.call(lambda: made) if inspect.iscoroutine(made) else made

        return call


def _each(portal: BlockingPortal, stream: AsyncGenerator[Any, None]) -> Generator[Any, None, None]:
    try:
        while True:
            try:
                yield portal.call(stream.__anext__)
            except StopAsyncIteration:
                return
    finally:
        portal.call(stream.aclose)


CLIENTS: dict[str, Connect] = {"blocking": orchestry.Client, "asynchronous": Awaited}
