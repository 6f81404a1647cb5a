"""Streams: the hub of one node with what it can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.controller import Controller
from api.replica_logs import LogReader
from api.streams.deployments import Deployments
from api.streams.events import Events
from api.streams.exec import Execs
from api.streams.hub import Hub, descriptors
from api.streams.logs import Logs
from api.streams.metrics import Metrics
from cluster.live.follow import LogSource


@dataclass(frozen=True, slots=True)
class Streams:
    """One per Flask application."""

    hub: Hub
    events: Events
    metrics: Metrics
    logs: Logs
    deployments: Deployments
    execs: Execs


def make_streams(
    controller: Controller, latest: Callable[[], Mapping[str, Mapping[str, Any]]],
    reader: LogReader,
) -> Streams:
    """The streams of a controller; `latest` gives the current measurements by app."""
    hub = Hub(descriptors(controller.settings.streams_max))
    events = Events(hub, controller.history, controller.log.state)
    controller.log.subscribe_events(events.applied)
    source = LogSource(controller.engine, controller.log, controller.clock)
    return Streams(
        hub, events, Metrics(hub, latest, controller.log.state),
        Logs(hub, source, reader, controller.clock, controller.log.state),
        Deployments(hub, controller.log.state),
        Execs(hub, lambda: controller.engine,
              lambda: controller.configured(controller.log.state().config)),
    )
