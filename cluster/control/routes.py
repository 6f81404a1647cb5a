"""routes: from apps and healthy replicas to the ingress table; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from cluster.control.judge import Record
from cluster.engine.base import Container
from cluster.ingress.base import Peer, Route
from cluster.state.addresses import hosts
from cluster.state.model import App
from orchestry.spec.model import AppSpec


def serving(
    app: App,
    observed: Sequence[Container],
    records: Mapping[str, Record],
    *,
    draining: Collection[str],
    frozen: bool,
) -> Iterable[Container]:
    """The replicas that may get traffic.

    A replica enters after its first success and leaves when it dies, drains or turns
    unhealthy - unless most replicas fail at once (`frozen`): then the check is in doubt, and
    those that have served keep serving.
    """
    for container in observed:
        record = records.get(container.id)
        if container.phase != "running" or record is None or container.id in draining:
            continue
        if container.revision != app.revision:
            continue
        if record.health == "healthy" or (frozen and record.health == "unhealthy"):
            yield container


def route(app: App, spec: AppSpec, peers: Iterable[Container], *, domain: str) -> Route | None:
    """The route of one app; None for apps that HTTP does not reach."""
    if not hosts(spec, domain) or app.deleting:
        return None
    port = spec.ports[0].container_port
    scaling = spec.scaling
    sleeps = scaling.mode == "auto" and 0 in (
        scaling.min_replicas, *(entry.min_replicas for entry in scaling.schedule))
    return Route(
        app=app.name,
        hosts=hosts(spec, domain),
        path=spec.ingress.path,
        peers=tuple(sorted(
            (Peer(peer.id, peer.ip, port) for peer in peers if peer.ip),
            key=lambda peer: peer.id,
        )),
        wakes=app.running and sleeps,
    )
