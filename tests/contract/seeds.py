"""The seed's snippets, and whether an answer has their keys and types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).with_name("seed")
FRACTIONS = frozenset({
    # Whole in the snippets by chance: measured times, sizes and thresholds have fractions.
    "latency_p95_ms", "response_time_ms", "avg_response_time_ms", "memory_mb",
    "target_rps_per_replica", "max_p95_latency_ms", "scale_out_threshold_pct",
    "scale_in_threshold_pct",
})
FREE = frozenset({"labels"})
"""Mappings whose keys are the user's own."""


def names() -> set[str]:
    """All snippets."""
    return {file.name.removesuffix(".json") for file in FOLDER.glob("*.json")}


def seed(name: str) -> Any:
    """One snippet."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def differences(name: str, answer: Any, *, null: frozenset[str] = frozenset()) -> list[str]:
    """What `answer` lacks of a snippet; `null` are paths that may be null in this situation."""
    return list(_compare(seed(name), answer, "", null))


def _compare(wanted: Any, found: Any, at: str, null: frozenset[str]) -> Iterator[str]:
    if found is None:
        if wanted is not None and at not in null:
            yield f"{at} is null"
    elif isinstance(wanted, dict):
        yield from _mapping(wanted, found, at, null)
    elif isinstance(wanted, list):
        yield from _list(wanted, found, at, null)
    elif wanted is not None and not _same_kind(wanted, found, at.rpartition(".")[2]):
        yield f"{at} is {found!r}, not like {wanted!r}"


def _mapping(wanted: dict[str, Any], found: Any, at: str, null: frozenset[str]) -> Iterator[str]:
    if not isinstance(found, dict):
        yield f"{at} is no mapping"
        return
    for key, value in wanted.items():
        where = f"{at}.{key}" if at else key
        if key in found:
            yield from _compare(value, found[key], where, null)
        elif at.rpartition(".")[2] not in FREE:
            yield f"{where} is missing"


def _list(wanted: list[Any], found: Any, at: str, null: frozenset[str]) -> Iterator[str]:
    """Every item has all keys that any item of the snippet has."""
    if not isinstance(found, list) or not found:
        yield f"{at} is no list with something in it"
        return
    whole = wanted[0]
    if isinstance(whole, dict):
        whole = {key: value for item in wanted for key, value in item.items()}
    for item in found:
        yield from _compare(whole, item, f"{at}[]", null)


def _same_kind(wanted: Any, found: Any, key: str) -> bool:
    if isinstance(wanted, bool) or isinstance(found, bool):
        return isinstance(wanted, bool) and isinstance(found, bool)
    if isinstance(wanted, int):
        return isinstance(found, int) or (key in FRACTIONS and isinstance(found, float))
    if isinstance(wanted, float):
        return isinstance(found, int | float)
    return type(wanted) is type(found)
