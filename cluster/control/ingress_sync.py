"""IngressSync: every ingress holds the routes that the fleet can serve."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cluster.config import Settings
from cluster.config.effective import Configured
from cluster.config.keys import spec_defaults
from cluster.control.fleet import Fleet
from cluster.control.loop import Effect, Fenced, Turn
from cluster.control.routes import route, serving
from cluster.control.specs import old_specs, spec_for
from cluster.control.workers import Outcome, Workers
from cluster.engine.base import Container
from cluster.ingress.base import (
    Certificate,
    Https,
    Ingress,
    IngressError,
    IngressState,
    Route,
    Table,
)
from cluster.state.model import App
from cluster.tls.hosts import HostCertificates
from orchestry.spec.model import Defaults

logger = logging.getLogger(__name__)

CHECK_S = 1.0
RETRY_S = 0.5
LOOK_GAP_S = 0.1
SETTLE_WAIT_MS = 100
"""How long an ingress may take to tell that its counters are settled."""
MARGIN_S = 0.05
"""How much later than it says an ingress, which does not tell when, may have counted a request."""


@dataclass(frozen=True, slots=True)
class _Out:
    """Since when, and which table, an ingress sends no requests to a container."""

    since_s: float
    table: tuple[int, int]


@dataclass
class _Held:
    """What one ingress is known to hold; `peers` is None while that is not known."""

    boot_id: str = ""
    counted_after_s: float = MARGIN_S
    epoch: int = 0
    version: int = 0
    peers: frozenset[str] | None = None
    weights: dict[str, int] = field(default_factory=dict)
    """Of each app whose requests are shared out, the percentage of the first share."""
    check_s: float = 0.0
    fault: str = ""
    out: dict[str, _Out] = field(default_factory=dict)
    """Containers that drain."""
    looked_s: float = float("-inf")
    settled: tuple[int, int] | None = None
    busy: frozenset[str] = frozenset()
    """Peers with requests in flight at `looked_s`."""

    def is_counted(self, out: _Out) -> bool:
        """Whether what was last looked at tells of all requests that a container was sent."""
        if self.settled is None:
            return self.looked_s >= out.since_s + self.counted_after_s
        return self.settled >= out.table

    def next_look_s(self) -> float:
        """When to look for requests in flight; at once after a new table."""
        if max(out.since_s for out in self.out.values()) > self.looked_s:
            return self.looked_s
        return self.looked_s + LOOK_GAP_S


@dataclass
class _Wanted:
    """The table to hold, and what it was made from."""

    routes: tuple[Route, ...] | None = None
    https: Https = field(default_factory=Https)
    version: int = 0
    made_from: tuple[object, ...] = field(default=())


class IngressSync:
    """Pushes on every change; looks each second whether an ingress lost its table."""

    name = "ingress"

    def __init__(
        self, ingresses: Sequence[Ingress], fleet: Fleet, workers: Workers, *,
        configured: Configured, https: Callable[[], Https] = Https,
    ) -> None:
        self._ingresses = list(ingresses)
        self._fleet = fleet
        self._workers = workers
        self._configured = configured
        self._https = https
        self._held: dict[str, _Held] = {}
        self._wanted = _Wanted()
        self.reset()

    def reset(self) -> None:
        """A new epoch: push anew, since an ingress accepts the newest epoch only."""
        self._held = {ingress.name: _Held() for ingress in self._ingresses}
        self._wanted = _Wanted()

    def out_of_ingress(self, container_id: str) -> bool:
        """True when every ingress is known not to send requests to this container."""
        return all(
            held.peers is not None and container_id not in held.peers
            for held in self._held.values()
        )

    def serves(self, container_id: str) -> bool:
        """True when every ingress that answers is known to send this container requests."""
        return all(
            held.peers is not None and container_id in held.peers
            for held in self._held.values() if not held.fault
        )

    def shares(self, app: str, weight: int) -> bool:
        """True when every ingress that answers is known to give a canary of this weight its part.
        """
        return all(held.peers is not None and held.weights.get(app) == weight
                   for held in self._held.values() if not held.fault)

    def is_blind(self) -> bool:
        """True while it is not known what the ingresses hold; never without any."""
        held = self._held.values()
        return bool(held) and (
            all(one.fault for one in held)
            or any(one.peers is None for one in held if not one.fault))

    def drained(self, container_id: str) -> bool:
        """True when no ingress waits for an answer of a container that is out of them all."""
        return all(
            (out := held.out.get(container_id)) is not None
            and held.is_counted(out) and container_id not in held.busy
            for held in self._held.values()
        )

    def step(self, turn: Turn) -> None:
        """Make the table when something changed, and push it where it is not held."""
        if self._fleet.holds(turn.state):
            return
        self._make(turn)
        for ingress in self._ingresses:
            held = self._held[ingress.name]
            if held.version != self._wanted.version:
                if turn.now_s >= held.check_s or not held.fault:
                    self._push(turn, ingress, held)
            elif turn.now_s >= held.check_s:
                self._check(turn, ingress, held)
            self._watch_drain(turn, ingress, held)

    def _watch_drain(self, turn: Turn, ingress: Ingress, held: _Held) -> None:
        """Look for requests in flight, while there is something to drain."""
        draining, peers = self._fleet.draining, held.peers
        now = _Out(turn.now_s, (held.epoch, held.version))
        held.out = {
            one: held.out.get(one, now)
            for one in draining if peers is not None and one not in peers
        }
        if not held.out or turn.now_s < held.next_look_s():
            return
        asked_s = turn.now_s

        def done(outcome: Outcome) -> None:
            if self._held.get(ingress.name) is held and outcome.error is None:
                held.looked_s, held.settled = asked_s, outcome.value.settled
                held.busy = frozenset(
                    peer.peer_id for peer in outcome.value.peers if peer.in_flight)

        self._workers.start(
            "stats", f"drain:{ingress.name}", lambda: ingress.stats(wait_ms=SETTLE_WAIT_MS), done)

    def _make(self, turn: Turn) -> None:
        made_from = (turn.state.apps, self._fleet.version, turn.state.config)
        wanted, https = self._wanted, self._https()
        if https != wanted.https:
            wanted.https = https
            wanted.version += 1
        if wanted.routes is not None and wanted.made_from[1] == made_from[1] and (
            wanted.made_from[0] is made_from[0] and wanted.made_from[2] is made_from[2]
        ):
            return
        by_app = self._fleet.by_app()
        domain = self._configured(turn.state.config).domain
        defaults = spec_defaults(turn.state.config)
        routes, before = [], {one.app: one for one in wanted.routes or ()}
        for app in sorted(turn.state.apps.values(), key=lambda app: app.name):
            made = before.get(app.name)  # what cannot be told stays as it is
            with turn.apart(app.name):
                made = self._route(app, by_app.get(app.name, []), domain, defaults)
            if made is not None:
                routes.append(made)
        wanted.made_from = made_from
        if tuple(routes) != wanted.routes:
            wanted.routes = tuple(routes)
            wanted.version += 1

    def _route(
        self, app: App, observed: list[Container], domain: str, defaults: Defaults
    ) -> Route | None:
        spec = spec_for(app, defaults)
        return None if spec is None else route(
            app, spec, self._peers(app, observed), domain=domain,
            old_specs=old_specs(app, defaults))

    def _peers(self, app: App, observed: Sequence[Container]) -> list[Container]:
        if not app.running:
            return []
        return list(serving(
            observed, self._fleet.records, draining=self._fleet.draining,
            frozen={revision for name, revision in self._fleet.frozen if name == app.name},
        ))

    def _push(self, turn: Turn, ingress: Ingress, held: _Held) -> None:
        wanted = self._wanted
        table = Table(
            turn.state.cluster_id, turn.lease.epoch, wanted.version, wanted.routes or (),
            wanted.https,
        )
        peers = frozenset(peer.id for route in table.routes for peer in route.peers)
        weights = {route.app: route.shares[0].weight for route in table.routes if route.shares}

        def job() -> IngressState:
            with turn.act(Effect(f"ingress {ingress.name}", "push", target=str(table.version))):
                return ingress.push(table)

        def done(outcome: Outcome) -> None:
            if self._held.get(ingress.name) is not held:
                return  # asked under an older lease
            if outcome.error is None:
                held.boot_id = outcome.value.boot_id
                held.epoch, held.version = table.epoch, table.version
                held.counted_after_s = outcome.value.counted_after_s + MARGIN_S
                held.peers, held.weights = peers, weights
                self._answers(ingress, held)
            else:
                self._failed(ingress, held, outcome.error, turn.now_s)

        if self._workers.start("ingress", f"ingress:{ingress.name}", job, done):
            held.check_s = turn.now_s + CHECK_S

    def _check(self, turn: Turn, ingress: Ingress, held: _Held) -> None:
        epoch = turn.lease.epoch

        def done(outcome: Outcome) -> None:
            if self._held.get(ingress.name) is not held:
                return
            if outcome.error is not None:
                self._failed(ingress, held, outcome.error, turn.now_s)
                return
            self._answers(ingress, held)
            there: IngressState = outcome.value
            if (there.boot_id, there.epoch, there.version) != (
                held.boot_id, epoch, held.version
            ):
                logger.info("ingress %s lost its table: pushed again", ingress.name)
                held.version, held.peers = 0, None

        if self._workers.start("ingress", f"ingress:{ingress.name}", ingress.state, done):
            held.check_s = turn.now_s + CHECK_S

    def _answers(self, ingress: Ingress, held: _Held) -> None:
        if held.fault:
            held.fault = ""
            self._fleet.tell("health", "", f"Ingress {ingress.name} answers again")

    def _failed(
        self, ingress: Ingress, held: _Held, error: Exception, now_s: float
    ) -> None:
        held.check_s = now_s + RETRY_S
        if isinstance(error, Fenced):
            return
        if isinstance(error, IngressError) and error.stale:
            self._fleet.overtake(f"ingress {ingress.name} holds a table")
        reason = error.reason if isinstance(error, IngressError) else repr(error)
        if not isinstance(error, IngressError):
            logger.error("ingress %s", ingress.name, exc_info=error)
        if not held.fault:
            logger.warning("ingress %s: %s", ingress.name, reason)
            self._fleet.tell("error", "", f"Ingress {ingress.name} fails: {reason}")
        held.fault = reason
        held.version, held.peers = 0, None


def host_https(settings: Settings, hosts: HostCertificates) -> Callable[[], Https]:
    """What ingresses need for HTTPS, as the settings and the files of certificates say."""
    made: list[tuple[object, object, Https]] = []

    def https() -> Https:
        current, challenges = hosts.current, hosts.challenges
        if not made or made[0][0] is not current or made[0][1] != challenges:
            made[:] = [(current, challenges, Https(
                tuple(Certificate(one.hosts, one.chain, one.key) for one in current),
                settings.ingress_tls_port if settings.ingress_redirect else 0,
                settings.ingress_hsts_s, challenges or (), challenges is not None,
            ))]
        return made[0][2]

    return https
