"""diff: what is different between two specs, in the words of the document; pure."""

from __future__ import annotations

from typing import Any

from orchestry.spec.model import AppSpec
from orchestry.spec.parse import resolved
from orchestry.spec.shapes import join

Change = dict[str, Any]
CHANGES_MAX = 200


def changes(before: AppSpec, after: AppSpec) -> list[Change]:
    """`{field, before, after}` of each value that differs, defaults filled in.

    A list is one value; None stands for what is not there. At most CHANGES_MAX.
    """
    return _changes("", resolved(before), resolved(after))[:CHANGES_MAX]


def _changes(at: str, before: Any, after: Any) -> list[Change]:
    if before == after:
        return []
    if isinstance(before, dict) and isinstance(after, dict):
        found = []
        for key in sorted({*before, *after}):
            found += _changes(join(at, key), before.get(key), after.get(key))
        return found
    return [{"field": at, "before": before, "after": after}]
