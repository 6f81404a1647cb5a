"""Deployments in words and cells; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECEIPT_COLUMNS = ("REQUESTS", "FAILED", "RETRIED", "P95 MS")
"""While it was under way; the last has before, during and after."""


def canary_text(canary: Mapping[str, Any] | None) -> str:
    """How far a canary is, for the end of a line; "" without one."""
    if canary is None:
        return ""
    if canary["step"] > canary["steps"]:
        return ", all steps are over"
    waits = f", waits for {canary['waits_for']}" if canary["waits_for"] else ""
    return f", step {canary['step']} of {canary['steps']}: {canary['weight']} %{waits}"


def receipt_cells(receipt: Mapping[str, Any] | None) -> tuple[str, ...]:
    """A cell for each of the columns; "-" is what was not measured."""
    parts = [(receipt or {}).get(name) or {} for name in ("before", "during", "after")]
    during = parts[1]
    return (
        *(_number(during.get(name)) for name in ("requests", "failed", "retried")),
        "/".join(_number(part.get("p95_ms")) for part in parts))


def receipt_text(receipt: Mapping[str, Any]) -> str:
    """One sentence about what users saw while it was under way."""
    during, before = receipt["during"], receipt["before"] or {}
    retried = "" if during["retried"] is None else f", {during['retried']} retried"
    return (f"{during['requests']} requests meanwhile, {during['failed']} failed{retried}; "
            f"p95 {_number(during['p95_ms'])} ms, before {_number(before.get('p95_ms'))} ms")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:g}" if value < 1000 else f"{value:.0f}"
