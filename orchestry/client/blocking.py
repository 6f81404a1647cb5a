"""`Client`: the calls of the REST API, each of which blocks until it is answered."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from orchestry.client.basis import TIMEOUT_S
from orchestry.client.calls import (
    Calls,
    deployment_source,
    event_source,
    log_source,
    metric_source,
)
from orchestry.client.exchange import Answer, Request
from orchestry.client.execution import (
    EXEC_S,
    OUTPUT_BYTES_MAX,
    Executed,
    Session,
    collect,
    exec_request,
    start_message,
)
from orchestry.client.transport import Transport
from orchestry.client.trust import Trust

if TYPE_CHECKING:
    from orchestry.client import answers
    from orchestry.client.blocking_calls import BlockingCalls
else:
    # The types of answers are for type checkers alone.
    BlockingCalls = Calls


class Client(BlockingCalls):
    """A cluster, reached through any of its controllers.

    `timeout` bounds each call in seconds, with all its tries; a call that waits has its own
    `timeout` on top. Answers are the JSON objects of the REST API, with the types of
    `orchestry.client.answers`. Errors are `orchestry.client.ClientError` and its kinds. Threads
    may share a client.

    `ca` is a file in PEM with the CAs of the controllers, else those of the system hold; `cert`
    are the files of a certificate and its key, where controllers ask for one.

    Raises ValueError for a malformed address, token or timeout, or a file that is not there.
    """

    def __init__(
        self, url: str | Sequence[str], token: str | None = None, timeout: float = TIMEOUT_S,
        *, ca: str | None = None, cert: tuple[str, str] | None = None,
    ) -> None:
        from orchestry import __version__

        super().__init__(url, token, timeout)
        self._transport = Transport(
            self._known, f"orchestry-python/{__version__}", Trust(ca, cert))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._transport.close()

    def stream_events(
        self, since_id: int | None = None, app: str | None = None, type: str | None = None
    ) -> Generator[answers.Event, None, None]:
        """Events after `since_id`, or from now on, without a gap or a double.

        When its controller is lost a stream goes on at another one; it raises when none
        continues it for the client's `timeout`.
        """
        return self._transport.follow(event_source(since_id, app, type), self._timeout_s)

    def stream_logs(
        self, app_name: str, tail: int | None = None, container: str | None = None,
        level: str | None = None, since: str | None = None,
    ) -> Generator[answers.LogEntry, None, None]:
        """Lines as they are written, until the app is removed; `tail` and `since` add older ones.

        With the `container` of a run they end with it. When its controller is lost the last
        seconds are asked for at another one, and what came already is left out.
        """
        source = log_source(app_name, tail, container, level, since)
        return self._transport.follow(source, self._timeout_s)

    def stream_deployment(
        self, app_name: str, deployment_id: int
    ) -> Generator[answers.DeploymentDetail, None, None]:
        """How a deployment goes, with each replica, until it is over; one that is held is not."""
        return self._transport.follow(
            deployment_source(app_name, deployment_id), self._timeout_s)

    def stream_metrics(self, app_name: str) -> Generator[answers.AppMeasured, None, None]:
        """Each measurement, beginning with the last, until the app is removed."""
        return self._transport.follow(metric_source(app_name), self._timeout_s)

    def open_exec(
        self, app_name: str, command: Sequence[str], *, replica: int | None = None,
        stdin: bool = False, terminal: tuple[int, int] | None = None,
    ) -> Session:
        """Run a command in a container of an app, where the cluster allows it; to be closed.

        `replica` is the number of one, else a healthy one is taken; `terminal` its rows and
        columns. Raises Forbidden where commands are switched off, NotFound, Conflict.
        """
        start = start_message(command, stdin=stdin, terminal=terminal)
        return Session(self._transport.open(
            exec_request(app_name, replica, self._timeout_s)), start)

    def exec_app(
        self, app_name: str, command: Sequence[str], *, replica: int | None = None,
        stdin: bytes | str | None = None, timeout: float = EXEC_S,
        output_bytes_max: int = OUTPUT_BYTES_MAX,
    ) -> Executed:
        """The same, and wait up to `timeout` seconds for its end; its output and exit code.

        Of what it writes more than `output_bytes_max` to, only the beginning is kept. Raises
        TimedOut when it has not ended, or the connection is lost: it may go on.
        """
        session = self.open_exec(app_name, command, replica=replica, stdin=stdin is not None)
        return collect(session, app_name, stdin=stdin, timeout_s=timeout,
                       output_bytes_max=output_bytes_max)

    def _send(self, request: Request) -> Answer:
        return self._transport.send(request)
