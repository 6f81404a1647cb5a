"""Releases as JSON, as far as who asks may see them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

import yaml

from api.admission import as_shown, sees_secrets
from api.times import rfc3339
from cluster.state.model import App, Release, ReleaseRevision
from cluster.state.releases import Change
from cluster.state.status import app_status, healthy_replicas

CONTEXT_LINES = 2


def summary(release: Release) -> dict[str, Any]:
    """A release in short."""
    last = release.revisions[-1]
    return {
        "release": release.name, "revision": last.number, "chart": last.chart,
        "chart_version": last.chart_version, "updated_at": rfc3339(last.at_ms),
        "apps": [app.name for app in last.apps],
    }


def full(release: Release, apps: Mapping[str, App]) -> dict[str, Any]:
    """A release with its applications and revisions."""
    last = release.revisions[-1]
    return {
        **summary(release), "values": _values(last),
        "status": [_status(app.name, apps.get(app.name)) for app in last.apps],
        "revisions": [_short(one) for one in release.revisions],
    }


def revision(
    release: Release, this: ReleaseRevision, other: ReleaseRevision | None
) -> dict[str, Any]:
    """A revision, and how it differs from another one."""
    before = {app.name: app.document for app in other.apps} if other is not None else {}
    after = {app.name: app.document for app in this.apps}
    what: dict[str, Change] = {}
    for name in sorted({*before, *after}):
        if name not in before:
            what[name] = "created"
        elif name not in after:
            what[name] = "removed"
        else:
            what[name] = "unchanged" if before[name] == after[name] else "updated"
    return {
        "release": release.name, **_short(this), "values": _values(this),
        "specs": [as_shown(json.loads(app.document)) for app in this.apps],
        "against": other.number if other is not None else 0,
        "changes": changed(what, before, after),
    }


def changed(
    what: Mapping[str, Change], before: Mapping[str, str], after: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Each application with its change, as lines of a unified diff of YAML."""
    return [
        {"app": name, "change": change,
         "diff": diff(before.get(name, ""), "" if change == "removed" else after.get(name, ""))}
        for name, change in sorted(what.items())
    ]


def diff(before: str, after: str) -> list[str]:
    """How one document, JSON text or "", differs from another."""
    lines = difflib.unified_diff(
        _lines(before), _lines(after), "before", "after", n=CONTEXT_LINES, lineterm="")
    return list(lines)[2:]


def _lines(document: str) -> list[str]:
    if not document:
        return []
    text: str = yaml.safe_dump(as_shown(json.loads(document)), sort_keys=False, allow_unicode=True)
    return text.splitlines()


def _values(one: ReleaseRevision) -> dict[str, Any] | None:
    """What the user gave, in which secrets may be under any key."""
    found: dict[str, Any] = json.loads(one.values)
    return found if sees_secrets() else None


def _status(name: str, app: App | None) -> dict[str, Any]:
    if app is None:
        return {"app": name, "status": "missing", "replicas": 0, "healthy": 0}
    return {"app": name, "status": app_status(app), "replicas": app.replicas,
            "healthy": healthy_replicas(app)}


def _short(one: ReleaseRevision) -> dict[str, Any]:
    return {
        "revision": one.number, "chart": one.chart, "chart_version": one.chart_version,
        "updated_at": rfc3339(one.at_ms), "note": one.note,
        "apps": [app.name for app in one.apps],
    }
