"""Steps that pin images to the templates of apps, and know which ones the cluster has pulled."""

from __future__ import annotations

from dataclasses import replace

from immutables import Map

from cluster.state import commands as c
from cluster.state.model import App, ClusterState
from cluster.state.pins import BegunPull, Pin, PulledImage
from cluster.state.step import Step, noted, with_app

PULLED_MAX = 10_000
NAMES_MAX = 8
BEGUN_MAX = 32
ALONE_MAX_MS = 60_000
"""How long a host may be without a leader, and what is new there still be from its pulls."""


def pin_image(state: ClusterState, command: c.PinImage, stamp: c.Stamp) -> Step:
    """Pin an image to a template for good: the first one holds, and is never another."""
    app = state.apps.get(command.app)
    known = templates_of(app) if app is not None else ()
    if app is None or command.template not in known or pin_of(app, command.template) is not None:
        return state, ()
    pin = Pin(command.template, command.image, command.ref, command.image_id)
    rollout = app.rollout
    if rollout is not None and command.template == app.made_from:
        rollout = replace(rollout, notes=noted(
            rollout, stamp, f"{command.image} is {command.ref} in this revision"))
    pins = (*(one for one in app.pins if one.template in known), pin)
    return with_app(state, replace(app, pins=pins, rollout=rollout)), ()


def pin_of(app: App, template: int) -> Pin | None:
    """What is pinned to a template."""
    return next((pin for pin in app.pins if pin.template == template), None)


def has_made_none(app: App) -> bool:
    """True when its template has no replica: none starts before its image is known."""
    return pin_of(app, app.made_from) is None and not any(
        one.revision == app.made_from for one in app.reports)


def templates_of(app: App) -> set[int]:
    """All templates that replicas have, or may have again after a rollback."""
    found = {app.made_from, *(one.template for one in app.revisions)}
    if app.rollout is not None:
        found |= {template for template, _ in app.rollout.old}
    return found


def begin_pull(state: ClusterState, command: c.BeginPull, stamp: c.Stamp) -> Step:
    """Know what was on the host before a pull, unless there are too many."""
    if command.image not in state.pulls and len(state.pulls) >= BEGUN_MAX:
        return state, ()
    begun = BegunPull(command.image, command.here, state.leadership.epoch, stamp.at_ms)
    return replace(state, pulls=state.pulls.set(begun.name, begun)), ()


def tell_pulls(state: ClusterState, command: c.TellPulls, stamp: c.Stamp) -> Step:
    """Know how far they are, one entry for all of them and all who wait."""
    pulls = state.pulls
    for name, done_bytes, total_bytes in command.progress:
        begun = pulls.get(name)
        if begun is not None:
            pulls = pulls.set(name, replace(
                begun, done_bytes=done_bytes, total_bytes=total_bytes))
    return replace(state, pulls=pulls), ()


def kept_pulls(state: ClusterState, now_ms: int) -> Map[str, BegunPull]:
    """The pulls of the leader before that count in a new epoch: none when it is long gone.

    Somebody else may have brought the same image since.
    """
    lead = state.leadership
    alone_ms = now_ms - max(lead.acquired_at_ms, lead.renewed_at_ms)
    return state.pulls if alone_ms <= ALONE_MAX_MS else Map()


def note_pulled(state: ClusterState, command: c.NotePulled, stamp: c.Stamp) -> Step:
    """Know an image as ours by one more name; of too many, the later ones stay on the host."""
    if command.image in state.pulls:
        state = replace(state, pulls=state.pulls.delete(command.image))
    found = state.pulled.get(command.image_id)
    if not command.image_id or (found is None and len(state.pulled) >= PULLED_MAX):
        return state, ()
    found = found or PulledImage(command.image_id, (), state.index)
    names = (*(name for name in found.names if name != command.image), command.image)
    found = replace(found, names=names[-NAMES_MAX:])
    return replace(state, pulled=state.pulled.set(found.id, found)), ()


def forget_pulled(state: ClusterState, command: c.ForgetPulled, stamp: c.Stamp) -> Step:
    """It is gone: who brings it again may keep it."""
    found = state.pulled.get(command.image_id)
    if found is None or found.index != command.index:
        return state, ()
    return replace(state, pulled=state.pulled.delete(found.id)), ()
