"""Revisions of an app: which of the specs that it had are known, and what they were good for."""

from __future__ import annotations

import json

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
    try:
        return bool(json.loads(before).get("scaling") == json.loads(after).get("scaling"))
    except (ValueError, AttributeError, RecursionError):
        return False
