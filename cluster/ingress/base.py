"""Ingress: the HTTP router in front of the replicas, as the control loops see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Peer:
    """One replica that may get traffic; `id` is stable for its life (container id)."""

    id: str
    address: str
    port: int
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Share:
    """`weight` percent of a route's requests, and the ids of the peers that get them.

    With 0 they get none, unless no other peer of the route is there.
    """

    weight: int
    peers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """Requests for one of `hosts` whose path starts with `path` go to one of `peers`.

    No peers means that the app is known but nothing can serve it: a JSON 503. With `wakes`
    requests wait instead, `wake_timeout_s` at most, until there is a peer. With `shares` each
    peer is in one of them, and those of a share without peers go to the others.
    """

    app: str
    hosts: tuple[str, ...]
    path: str
    peers: tuple[Peer, ...]
    wakes: bool = False
    wake_timeout_s: float = 30.0
    shares: tuple[Share, ...] = ()


@dataclass(frozen=True, slots=True)
class Certificate:
    """Of one or more hosts, wildcards of one label included; `chain` and `key` are PEM."""

    hosts: tuple[str, ...]
    chain: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Https:
    """What an ingress serves over TLS.

    With `redirect_port`, requests in the clear for a host with a certificate are sent there.
    `hsts_s` is for how long browsers shall remember that; 0: they are not told. `challenges`
    are answers below /.well-known/acme-challenge/, by token; with `acme` a request for another
    token there waits some seconds for its answer before it goes its usual way.
    """

    certificates: tuple[Certificate, ...] = ()
    redirect_port: int = 0
    hsts_s: int = 0
    challenges: tuple[tuple[str, str], ...] = ()
    acme: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """All routes, pushed as one value; (epoch, version) orders pushes."""

    cluster_id: str
    epoch: int
    version: int
    routes: tuple[Route, ...]
    https: Https = Https()


@dataclass(frozen=True, slots=True)
class IngressState:
    """What an ingress holds; `boot_id` changes when it has restarted and lost its table.

    A request that a worker has begun is in the counters `counted_after_s` later, if the worker
    has the time; 0.2 from an ingress of a version that does not say.
    """

    boot_id: str
    epoch: int
    version: int
    counted_after_s: float = 0.2


@dataclass(frozen=True, slots=True)
class PeerStats:
    """Counters of one peer since the ingress's start; they fall only at a new boot id.

    `latency_counts[i]` counts answers whose first byte came within
    `IngressStats.latency_bounds_ms[i]` (and after the bound before); the last one is beyond.
    `retried` are requests that it was sent and did not take, which went to another peer; None
    from an ingress that does not count them.
    """

    app: str
    peer_id: str
    requests: int
    errors: int
    in_flight: int
    bytes_sent: int
    latency_counts: tuple[int, ...]
    retried: int | None = None


@dataclass(frozen=True, slots=True)
class IngressStats:
    """All peers that had traffic, and how many requests wait for an app at zero, by app.

    `refused` counts those that found no replica, like PeerStats. `settled` is (epoch, version)
    of a table: every request that was sent on under an older one is in these counters. None from
    an ingress of a version that does not say.
    """

    boot_id: str
    latency_bounds_ms: tuple[float, ...]
    peers: tuple[PeerStats, ...]
    waiting: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    settled: tuple[int, int] | None = None


class IngressError(Exception):
    """A push failed; `stale` means that a newer epoch was there before."""

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stale = stale


class Ingress(Protocol):
    """One ingress; every call is bounded in time and raises only IngressError."""

    name: str

    def push(self, table: Table) -> IngressState:
        """Replace the table; refused when its (epoch, version) is older than what is there."""

    def state(self) -> IngressState:
        """What it holds now."""

    def stats(self, *, wait_ms: int = 0) -> IngressStats:
        """All counters since its start; after `wait_ms`, or as soon as they are settled."""


