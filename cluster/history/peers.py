"""Peers: the history of other controllers, read over their HTTP API."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from cluster.history.base import NUMBERS, WHOLE, Point, Sample
from cluster.state.model import EventRecord

PAGE_MAX = 2_000
EVENTS_PATH = "/cluster/history/events"
SAMPLES_PATH = "/cluster/history/samples"

Fetch = Callable[[str], bytes | None]
"""The body of a GET at a controller; None when it does not answer with 200 in time."""


def no_peer(_: str) -> bytes | None:
    """There is no other controller to ask."""
    return None


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events by id; `complete` says that between the bounds asked for none is missing there."""

    events: tuple[EventRecord, ...]
    complete: bool


def encode_events(page: EventPage) -> dict[str, Any]:
    """A page as JSON."""
    return {
        "complete": page.complete,
        "events": [
            {"id": e.id, "type": e.type, "app": e.app, "message": e.message, "at_ms": e.at_ms,
             "details": dict(e.details)}
            for e in page.events
        ],
    }


def encode_samples(samples: Sequence[Sample]) -> dict[str, Any]:
    """Measurements as JSON."""
    return {"samples": [{"app": one.app, **asdict(one.point)} for one in samples]}


def fetch_events(fetch: Fetch, url: str, after: int, before: int) -> EventPage | None:
    """The first events with `after` < id < `before` of a peer; None when it has no answer."""
    found = _document(fetch(
        f"{url}{EVENTS_PATH}?after={after}&before={before}&limit={PAGE_MAX}"))
    try:
        rows = found["events"]
        events = tuple(
            EventRecord(
                int(row["id"]), row["type"], str(row["app"]), str(row["message"]),
                int(row["at_ms"]), tuple(sorted(row["details"].items())))
            for row in rows
        )
        return EventPage(events, bool(found["complete"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def fetch_samples(fetch: Fetch, url: str, after_ms: int) -> list[Sample] | None:
    """Measurements later than `after_ms` of a peer; None when it has no answer."""
    found = _document(fetch(f"{url}{SAMPLES_PATH}?after_ms={after_ms}&limit={PAGE_MAX}"))
    try:
        return [Sample(str(row["app"]), _point(row)) for row in found["samples"]]
    except (KeyError, TypeError, ValueError):
        return None


def _point(row: Mapping[str, Any]) -> Point:
    numbers: dict[str, Any] = {}
    for name in NUMBERS:
        value = row.get(name)
        numbers[name] = value if value is None else int(value) if name in WHOLE else float(value)
    return Point(int(row["at_ms"]), **numbers)


def _document(body: bytes | None) -> Mapping[str, Any]:
    if body is None:
        return {}
    try:
        found = orjson.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
