"""unused_images: which images on the host came by our pulls and are of no use any more; pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cluster.control.specs import spec_of_template
from cluster.engine.base import StoredImage
from cluster.state.images import pin_of, templates_of
from cluster.state.model import App, ClusterState
from cluster.state.pins import PulledImage
from cluster.state.revisions import last_good
from orchestry.admission import full_name, repository


@dataclass(frozen=True, slots=True)
class Needed:
    """What stays: by id, by full name or digest, and all of some repositories."""

    ids: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    repositories: set[str] = field(default_factory=set)


def needed(state: ClusterState, keep: int) -> Needed | None:
    """What apps, jobs, runs and the revisions that are kept need; None when that is not known.

    A template that has no pin yet may be made from whatever comes to its repository.
    """
    runs: dict[str, set[int]] = {}
    for run in state.runs.values():
        if not run.is_over:
            runs.setdefault(run.app, set()).add(run.template)
    found = Needed()
    for app in state.apps.values():
        if app.deleting:
            templates = {pin.template for pin in app.pins}
        else:
            now = {app.made_from, *runs.get(app.name, ())}
            templates = now | kept(app, keep)
        for template in templates:
            pin = pin_of(app, template)
            if pin is not None:
                found.ids.add(pin.image_id)
                found.names.add(full_name(pin.ref))
                continue
            spec = spec_of_template(app, template)
            if spec is None and template in templates_of(app):
                return None
            if spec is None:  # of a run that began long ago: its container holds it, or it ends
                continue
            if template in now:
                found.repositories.add(repository(spec.image))
            found.names.add(full_name(spec.image))
    return found


def kept(app: App, keep: int) -> set[int]:
    """Templates before the present one: the last `keep`, those that roll, the last healthy one."""
    before = (one.template for one in reversed(app.revisions) if one.template != app.made_from)
    found = set(list(dict.fromkeys(before))[:keep])
    if app.rollout is not None:
        found |= {template for template, _ in app.rollout.old}
    good = last_good(app)
    return found if good is None else found | {good.template}


def in_doubt(pulled: Mapping[str, PulledImage], needs: Needed) -> frozenset[str]:
    """The ids of all that might go, whatever the host says."""
    return frozenset(
        one.id for one in pulled.values()
        if one.id not in needs.ids and not needs.names & set(one.names)
        and not needs.repositories & {repository(name) for name in one.names})


def unused(
    pulled: Mapping[str, PulledImage], stored: Collection[StoredImage], needs: Needed
) -> list[StoredImage]:
    """Those that may go, the longest known first.

    An image that has a name which no pull of ours gave it is somebody else's as well.
    """
    found = []
    for image in stored:
        ours = pulled.get(image.id)
        if ours is None or image.id in needs.ids:
            continue
        names = {full_name(name) for name in image.names}
        known = names | {full_name(digest) for digest in image.digests} | set(ours.names)
        if (
            names <= set(ours.names) and not needs.names & known
            and not needs.repositories & {repository(name) for name in known}
        ):
            found.append((ours.index, image.id, image))
    return [image for _, _, image in sorted(found, key=lambda one: one[:2])]
