"""routes: from apps and healthy replicas to the ingress table; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from cluster.control.canary import is_last
from cluster.control.judge import Record
from cluster.control.plan import NO_SPECS
from cluster.engine.base import Container
from cluster.ingress.base import Peer, Route, Share
from cluster.state.addresses import hosts
from cluster.state.model import App
from orchestry.spec.model import AppSpec


def serving(
    observed: Sequence[Container],
    records: Mapping[str, Record],
    *,
    draining: Collection[str],
    frozen: Collection[int],
) -> Iterable[Container]:
    """The replicas of an app that may get traffic, of whatever template.

    A replica enters after its first success and leaves when it dies, drains or turns
    unhealthy - unless most replicas of its template fail at once (`frozen`): then the check
    is in doubt, and those that have served keep serving.
    """
    for container in observed:
        record = records.get(container.id)
        if container.phase != "running" or record is None or container.id in draining:
            continue
        in_doubt = container.revision in frozen and record.health == "unhealthy"
        if record.health == "healthy" or in_doubt:
            yield container


def route(
    app: App, spec: AppSpec, peers: Iterable[Container], *, domain: str,
    old_specs: Mapping[int, AppSpec] = NO_SPECS,
) -> Route | None:
    """The route of one app; None for apps that HTTP does not reach.

    Replicas of older templates get requests at the port of theirs.
    """
    if not hosts(spec, domain) or app.deleting:
        return None
    found = [peer for peer in peers if peer.ip]
    scaling = spec.scaling
    sleeps = scaling.mode == "auto" and 0 in (
        scaling.min_replicas, *(entry.min_replicas for entry in scaling.schedule))
    return Route(
        app=app.name,
        hosts=hosts(spec, domain),
        path=spec.ingress.path,
        peers=tuple(sorted(
            (Peer(peer.id, peer.ip,
                  old_specs.get(peer.revision, spec).ports[0].container_port)
             for peer in found),
            key=lambda peer: peer.id,
        )),
        wakes=app.running and sleeps,
        shares=shares(app, spec, found),
    )


def shares(app: App, spec: AppSpec, peers: Sequence[Container]) -> tuple[Share, ...]:
    """How the requests of an app are shared out between revisions; () for evenly.

    By the weight of a canary, until the new replicas have more than that. What neither it nor
    most others are of gets nothing: it was given up. On the way back the revision that is gone
    back to gets everything as soon as it has replicas enough.
    """
    rollout = app.rollout
    if rollout is None:
        return ()
    by_template: dict[int, list[str]] = {}
    for peer in peers:
        by_template.setdefault(peer.revision, []).append(peer.id)
    if rollout.kind == "rollback":
        mine = by_template.pop(app.made_from, [])
        if len(mine) < max(1, app.replicas):
            return ()
        return _shares((100, mine), (0, [one for ids in by_template.values() for one in ids]))
    canary = rollout.canary
    if canary is None:
        return ()
    new = by_template.pop(canary.template, [])
    if canary.template == app.made_from and is_last(rollout, canary, spec.deploy.steps) and (
        100 * len(new) >= canary.weight * len(peers)
    ):
        return ()
    most = max(by_template, key=lambda one: (len(by_template[one]), -one), default=0)
    rest = [one for template, ids in by_template.items() if template != most for one in ids]
    return _shares((canary.weight, new), (100 - canary.weight, by_template.get(most, [])),
                   (0, rest))


def _shares(*parts: tuple[int, list[str]]) -> tuple[Share, ...]:
    """None when there is nothing to share out."""
    if sum(bool(ids) for _, ids in parts) < 2:
        return ()
    return tuple(Share(weight, tuple(sorted(ids))) for weight, ids in parts)
