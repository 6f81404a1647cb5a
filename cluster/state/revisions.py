"""Revisions of an app: which of the specs that it had are known, and what they were good for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from cluster.state.model import App, Revision

REVISIONS_MAX = 10
REVISIONS_CHARACTERS_MAX = 512 * 1024


def last_good(app: App) -> Revision | None:
    """The last healthy revision whose containers differ from those that are wanted."""
    return next(
        (r for r in reversed(app.revisions) if r.healthy and r.template != app.made_from), None)


def is_good(app: App) -> bool:
    """Whether all replicas of its present revision were healthy at once."""
    served = app.reached and app.replicas > 0 and not app.template_key  # of older versions
    return app.rollout is None and (app.good or served)


def revisions_until(app: App) -> tuple[Revision, ...]:
    """Those before the next one; what a rollout or a rollback needs stays the longest."""
    mine = Revision(
        app.revision, app.document, app.made_from, app.revised_at_ms or app.created_at_ms,
        app.template_key, app.cause or "registered", is_good(app),
        app.addresses)
    found = [*app.revisions, mine]
    good = next((r for r in reversed(found) if r.healthy), mine)
    while len(found) > 1 and (
        len(found) > REVISIONS_MAX or sum(len(r.document) for r in found)
        > REVISIONS_CHARACTERS_MAX
    ):
        oldest = next((r for r in found if r not in (good, mine)), None)
        if oldest is None:
            break
        found.remove(oldest)
    return tuple(found)


def same_policy(before: str, after: str) -> bool:
    """Whether the owner left the policy as it was, so that changes made to it since stay."""
    return _same(before, after, (("scaling",),))


def goes_on(before: str, after: str) -> bool:
    """Whether a deployment goes on as it is, or stays where it is held, under another spec with
    the same template: nothing was changed that decides how it goes, or whether it fails.
    """
    return _same(before, after, (
        ("deploy",), ("healthCheck",), ("spec", "restartPolicy"), ("spec", "imagePullPolicy")))


def _same(before: str, after: str, paths: Iterable[tuple[str, ...]]) -> bool:
    """Not by way of the parser, as in all steps; what cannot be read is not the same."""
    try:
        first, second = json.loads(before), json.loads(after)
        return all(_part(first, path) == _part(second, path) for path in paths)
    except (ValueError, AttributeError, RecursionError):
        return False


def _part(document: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        document = (document or {}).get(key)
    return document
