"""Views of measurements and decisions: values of the telemetry -> JSON of the contract."""

from __future__ import annotations

from typing import Any

from api.controller import Controller
from api.times import rfc3339
from cluster.control.telemetry import Record
from cluster.history.base import Point
from cluster.scaling.decision import Decision, Input
from cluster.scaling.explain import explain


def latest(controller: Controller) -> dict[str, dict[str, Any]]:
    """A controller's own current measurements, by app."""
    found = controller.telemetry.all_latest(controller.clock.wall_ms())
    return {name: current(record.point) for name, record in found.items()}


def current(point: Point) -> dict[str, Any]:
    """The `metrics` of a status, and more."""
    return {
        "cpu_percent": _round(point.cpu_percent),
        "memory_percent": _round(point.memory_percent),
        "memory_bytes": point.memory_bytes,
        "rps": _round(point.rps),
        "latency_p50_ms": _round(point.p50_ms),
        "latency_p95_ms": _round(point.p95_ms),
        "latency_p99_ms": _round(point.p99_ms),
        "active_connections": int(point.connections) if point.connections is not None else None,
        "errors_per_second": _round(point.errors_per_s),
        "bytes_per_second": _round(point.bytes_per_s),
        "measured_at": rfc3339(point.at_ms),
    }


def of_history(point: Point) -> dict[str, Any]:
    """One point of the history."""
    found = current(point)
    del found["measured_at"]
    return {
        "timestamp": rfc3339(point.at_ms), **found,
        "healthy_replicas": point.healthy, "total_replicas": point.total,
    }


def replicas(record: Record) -> list[dict[str, Any]]:
    """What each replica used."""
    return [
        {"name": name, "cpu_percent": _round(load.cpu_percent),
         "cpu_cores": _round(load.cpu_cores, 4), "memory_percent": _round(load.memory_percent),
         "memory_bytes": load.memory_bytes}
        for name, load in sorted(record.loads.items())
    ]


def decision(one: Decision, at_ms: int) -> dict[str, Any]:
    """One decision with all that it rests on."""
    return {
        "timestamp": rfc3339(at_ms),
        "action": {"out": "scale_out", "in": "scale_in", "stay": "stay"}[one.direction],
        "from_replicas": one.current, "to_replicas": one.replicas,
        "healthy_replicas": one.healthy,
        "reason": one.reason, "would_be": one.wanted, "would_reason": one.would,
        "min_replicas": one.minimum, "max_replicas": one.maximum,
        "needed_replicas": one.need,
        "signals": [_input(signal) for signal in one.inputs],
        "explanation": explain(one),
    }


def _input(one: Input) -> dict[str, Any]:
    return {
        "signal": one.signal, "unit": one.unit, "counts": one.counts,
        "reading": _round(one.reading, 4), "target": one.target,
        "factor": _round(one.factor, 4), "needed_replicas": one.need,
    }


def _round(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)
