"""Backup: the replicated state as a text of bounded lines; pure.

    line 1       {"format": "orchestry-backup", "v": 1, "cluster_id": …, "index": …, "parts": N, …}
    N lines      one RestorePart each, as `cluster.state.codec` writes it
    last line    {"end": true, "sha256": …}   over all the bytes before it

Not in it: members, leadership, controllers, runs and remembered requests, which belong to one
cluster, which images it pulled, which belongs to one host, and what was observed of replicas,
which is seen anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cluster.state.codec import encode_part
from cluster.state.commands import RestorePart
from cluster.state.model import App, ClusterState, Release, Revision, Secret
from cluster.state.volume_names import past_volumes

FORMAT = "orchestry-backup"
FORMAT_VERSION = 1
PART_BYTES = 256 * 1024
REVISIONS_BYTES_MAX = 512 * 1024  # with the document, of one app
_APP_BYTES = 1024  # what one takes beside its document
_NOTE_BYTES = 256
_SECRET_BYTES = 2048  # what a version takes beside its values, at most


def parts(state: ClusterState) -> list[RestorePart]:
    """The state in parts of about PART_BYTES; the events first, which leave all room to apps.

    An app is never split. The log had room for its spec, so it has room for its part.
    """
    several = state.events and (state.apps or state.releases or state.secrets)
    groups: list[list[App | Release | Secret]] = [[], []] if several else [[]]
    room = PART_BYTES
    for item, size in _items(state):
        if groups[-1] and size > room:
            groups.append([])
            room = PART_BYTES
        room -= size
        groups[-1].append(item)
    return [
        RestorePart(
            "", number, len(groups), state.cluster_id, state.leadership.epoch,
            state.next_event_id, tuple(item for item in group if isinstance(item, App)),
            state.events if number == 0 else (),
            tuple(sorted(state.config.items())) if number == 0 else (),
            tuple(token for _, token in sorted(state.tokens.items())) if number == 0 else (),
            tuple(item for item in group if isinstance(item, Release)),
            tuple(item for item in group if isinstance(item, Secret)),
        )
        for number, group in enumerate(groups)
    ]


def _items(state: ClusterState) -> Iterator[tuple[App | Release | Secret, int]]:
    """What is never split, with about how many bytes it takes."""
    for _, app in sorted(state.apps.items()):
        if app.deleting:
            continue
        fitting = _fitting(app)
        kept = replace(
            app, revisions=fitting, past_volumes=past_volumes(app, fitting), reports=(),
            attempts=(), reached=False, problem="", problem_code="", scaling_until_ms=0, pre=0)
        yield kept, _size(kept.document) + sum(_size(one.document) for one in kept.revisions) + (
            _APP_BYTES + sum(map(len, kept.past_volumes)) + _NOTE_BYTES * sum(
                len(one.notes) + 1 for one in (*kept.deployments, kept.rollout) if one))
    for _, release in sorted(state.releases.items()):
        texts = [text for revision in release.revisions
                 for text in (revision.values, *(app.document for app in revision.apps))]
        yield release, sum(_size(text) + _APP_BYTES for text in texts)
    for _, secret in sorted(state.secrets.items()):
        yield secret, sum(len(one.sealed) + _SECRET_BYTES for one in secret.versions)


def _fitting(app: App) -> tuple[Revision, ...]:
    """The newest of its revisions that fit into a part beside its document."""
    found: list[Revision] = []
    room = REVISIONS_BYTES_MAX - _size(app.document)
    for one in reversed(app.revisions):
        if _size(one.document) <= room:
            room -= _size(one.document)
            found.insert(0, one)
    return tuple(found)


def _size(document: str) -> int:
    return len(json.dumps(document))


def lines(state: ClusterState, about: dict[str, Any]) -> Iterator[bytes]:
    """The backup, line by line; `about` goes into the first one."""
    found = parts(state)
    digest = hashlib.sha256()
    head = {
        "format": FORMAT, "v": FORMAT_VERSION, "cluster_id": state.cluster_id,
        "index": state.index, "epoch": state.leadership.epoch, "parts": len(found),
        "apps": sum(len(part.apps) for part in found), **about,
    }
    for value in (head, *map(encode_part, found)):
        line = json.dumps(value, separators=(",", ":")).encode() + b"\n"
        digest.update(line)
        yield line
    yield json.dumps({"end": True, "sha256": digest.hexdigest()}).encode() + b"\n"
