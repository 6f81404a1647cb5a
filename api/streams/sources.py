"""Streams: the hub of one node with what it can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from api.controller import Controller
from api.streams.events import Events
from api.streams.hub import Hub, descriptors
from api.streams.metrics import Metrics


@dataclass(frozen=True, slots=True)
class Streams:
    """One per Flask application."""

    hub: Hub
    events: Events
    metrics: Metrics


def make_streams(
    controller: Controller, latest: Callable[[], Mapping[str, Mapping[str, Any]]]
) -> Streams:
    """The streams of a controller; `latest` gives the current measurements by app."""
    hub = Hub(descriptors(controller.settings.streams_max))
    events = Events(hub, controller.history, controller.log.state)
    controller.log.subscribe_events(events.applied)
    return Streams(hub, events, Metrics(hub, latest, controller.log.state))
