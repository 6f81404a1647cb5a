"""SIGNALS: what an app can be scaled on; the one table that the policy, its help and
`decide` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, Protocol

from orchestry.spec.model import Scaling


class Reading(Protocol):
    """What was measured of one app over its window; None is "not measured", never 0.

    `cpu_percent` and `memory_percent` are sums over the replicas, each in percent of its own
    limit; the others are of the whole app, summed over the ingresses.
    """

    @property
    def cpu_percent(self) -> float | None:
        """Sum of the replicas' shares of their CPU limits."""

    @property
    def memory_percent(self) -> float | None:
        """Sum of the replicas' shares of their memory limits."""

    @property
    def rps(self) -> float | None:
        """Requests per second."""

    @property
    def p95_ms(self) -> float | None:
        """95th percentile of the response time."""

    @property
    def connections(self) -> float | None:
        """Connections in flight."""


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing to scale on.

    A *linear* signal falls in proportion when replicas are added: `read` gives the total, and
    total / `target` is the number of replicas needed. A *guard* has no such law; it can only
    ask for one bounded step. `source` says whether replicas or the ingress measure it.
    """

    name: str
    read: Callable[[Reading], float | None]
    target: Callable[[Scaling], float]
    kind: Literal["linear", "guard"]
    source: Literal["replica", "ingress"]
    unit: str
    help: str


SIGNALS: Final[Mapping[str, Signal]] = MappingProxyType({
    signal.name: signal
    for signal in (
        Signal(
            "cpu", lambda r: r.cpu_percent, lambda p: p.max_cpu_percent,
            "linear", "replica", "%", "CPU of a replica, in percent of its own limit",
        ),
        Signal(
            "memory", lambda r: r.memory_percent, lambda p: p.max_memory_percent,
            "linear", "replica", "%",
            "memory of a replica without reclaimable cache, in percent of its own limit",
        ),
        Signal(
            "rps", lambda r: r.rps, lambda p: p.target_rps_per_replica,
            "linear", "ingress", "requests/s", "requests per second and replica",
        ),
        Signal(
            "latency", lambda r: r.p95_ms, lambda p: p.max_p95_latency_ms,
            "guard", "ingress", "ms", "95th percentile of the response time",
        ),
        Signal(
            "connections", lambda r: r.connections, lambda p: p.max_conn_per_replica,
            "linear", "ingress", "connections", "connections in flight per replica",
        ),
    )
})
