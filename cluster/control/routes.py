"""routes: from apps and healthy replicas to the ingress table; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from cluster.control.judge import Record
from cluster.control.plan import NO_SPECS
from cluster.engine.base import Container
from cluster.ingress.base import Peer, Route
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
             for peer in peers if peer.ip),
            key=lambda peer: peer.id,
        )),
        wakes=app.running and sleeps,
    )
