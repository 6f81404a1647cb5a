"""Logs: one line an event on stderr; coloured for people, JSON for machines."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog
from structlog.typing import Processor


def configure(level: str, node_id: str) -> None:
    """Send everything that is logged to stderr, marked with the node's id."""
    def node(_: Any, __: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        event["node"] = node_id
        return event

    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        node,
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
    # One line a connection to the Docker daemon is no news.
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
