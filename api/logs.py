"""Logs: one line an event on stderr; coloured for people, JSON for machines."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import orjson
import structlog
from flask import has_request_context, request
from structlog.typing import Processor

from api import errors
from cluster.consensus.log import ReplicatedLog


class Context:
    """What every line tells beside its text; `raft` is set once there is a log."""

    raft: Callable[[], tuple[int, int]] | None = None
    """Term, and index of the last applied entry."""

    def __init__(self, node_id: str) -> None:
        self._node = node_id

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        event["node"] = self._node
        if Context.raft is not None:
            event["term"], event["index"] = Context.raft()
        if has_request_context():
            event["request_id"] = errors.request_id(request.environ)
        return event


def tell_raft(log: ReplicatedLog) -> None:
    """Mark lines with where the log stands from now on."""
    def where() -> tuple[int, int]:
        status = log.status()
        return status.term, status.applied_index

    Context.raft = staticmethod(where)


def configure(level: str, node_id: str) -> None:
    """Send everything that is logged to stderr, marked with the node's id."""

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        Context(node_id),
    ]
    last: list[Processor]
    if sys.stderr.isatty():
        last = [structlog.dev.ConsoleRenderer(pad_event_to=0)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
    ))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # A connection to the Docker daemon is no news, nor is the way to the history's tables.
    for library in ("urllib3", "alembic"):
        logging.getLogger(library).setLevel(logging.WARNING)


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
