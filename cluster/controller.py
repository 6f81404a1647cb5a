"""Controller: one controller process without its HTTP."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Literal

from cluster.clock import Clock, SystemClock
from cluster.config import Settings, readers
from cluster.config.effective import Effective
from cluster.consensus.log import ReplicatedLog
from cluster.consensus.secure import RaftTls
from cluster.consensus.syncobj_log import RaftConfig, SyncObjLog
from cluster.control.actions import ActionFile
from cluster.control.bootstrap import Bootstrap
from cluster.control.checks import Check, HealthChecks
from cluster.control.driver import Driver, Timing
from cluster.control.fleet import Fleet
from cluster.control.follow import Follower, LiveConfig, limiting, set_log_level
from cluster.control.images import PullCounts
from cluster.control.ingress_sync import host_https
from cluster.control.judge import Record
from cluster.control.loop import Loop
from cluster.control.loops import make_loops
from cluster.control.part_watch import PartWatch
from cluster.control.probe import HttpProber
from cluster.control.roster import Roster
from cluster.control.telemetry import Telemetry
from cluster.control.vitals import (
    Component,
    Vitals,
    certificate_part,
    database_part,
    redis_part,
    secrets_part,
)
from cluster.control.workers import ThreadWorkers
from cluster.engine.base import Engine, EngineInfo
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_api import DockerTls
from cluster.history.history import History
from cluster.history.http import make_fetch
from cluster.history.open import open_history
from cluster.ingress.base import Ingress
from cluster.ingress.client import NginxIngress
from cluster.live.redis_bus import RedisBus
from cluster.live.relay_mark import RelayMark
from cluster.live.sharing import Limits
from cluster.sealing import Keyring
from cluster.state.commands import AnnounceController, Stamp
from cluster.state.levels import LEVEL
from cluster.state.model import ClusterState
from cluster.tls.hosts import HostCertificates
from cluster.tls.identity import Identity
from orchestry import __version__

logger = logging.getLogger(__name__)

STEP_S = 0.05
LONG_STEP_S = 0.005
REST = 3
REST_MAX_S = 0.5
ANNOUNCE_RETRY_S = 1.0
WATCH_S = 1.0
ACTIONS_FILE = "actions.jsonl"
STOP_S = 5.0
YIELD_S = 1.0
YIELD_POLL_S = 0.005
TRANSFER_S = 2.0


def calm_collector() -> None:
    """Look for cycles of garbage seldom: with thousands of apps a full look takes 0.1 s.

    The state is made of values without cycles, which are freed at once without it.
    """
    gc.set_threshold(50_000, 20, 50)


class Controller:
    """Builds and owns the log, the engine, the loops and their threads."""

    def __init__(
        self,
        settings: Settings,
        log: ReplicatedLog,
        engine: Engine,
        ingresses: Sequence[Ingress],
        clock: Clock,
        *,
        history: History | None = None, identity: Identity | None = None,
    ) -> None:
        self.id = settings.node_id
        self.identity = identity or Identity(settings, clock)
        self._hosts = HostCertificates(settings.ingress_certs, clock)
        self._hosts.refresh()
        self.settings = settings
        self.log = log
        self.engine = engine
        self.clock = clock
        self.started_at_ms = clock.wall_ms()
        self.configured = Effective(settings)
        self.keyring = Keyring(settings.secrets_keys)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._workers = ThreadWorkers(self._wake.set)
        self._vitals = Vitals(log, engine, ingresses, clock)
        self.actions = ActionFile(settings.data_dir / ACTIONS_FILE, clock.wall_ms)
        self.history = history or History(settings.node_id, log, clock)
        self.limits = Limits(
            clock, per_hour=settings.rate_limit_per_hour, per_minute=settings.rate_limit_per_minute,
            trusted_proxies=settings.rate_limit_trusted_proxies,
            redis_url=settings.redis_url, cluster_id=lambda: log.state().cluster_id,
        )
        self.bus = None if not settings.redis_url else RedisBus(
            settings.redis_url, lambda: log.state().cluster_id, clock)
        log.subscribe_events(self.history.applied)
        self.telemetry = Telemetry(self.history.measured)
        self.pulls = PullCounts()
        self._fleet = fleet = Fleet(clock)
        self._checks = HealthChecks()
        roster: list[Loop] = []
        if isinstance(log, SyncObjLog):
            roster.append(Roster(settings.raft_addresses, log.incarnations))
        loops, self._observer = make_loops(
            engine, ingresses, HttpProber(clock), fleet=fleet, workers=self._workers, clock=clock,
            telemetry=self.telemetry, configured=self.configured, checks=self._checks,
            keyring=self.keyring, pulls=self.pulls,
            https=host_https(settings, self._hosts),
        )
        self._driver = Driver(
            self.id, log, loops=[*loops, *roster], fleet=fleet, workers=self._workers, clock=clock,
            lease_ttl_s=settings.lease_ttl_s, recorder=self.actions, adopt=settings.adopt,
        )
        self._bootstrap = Bootstrap(
            settings, clock, acting=self._driver.keeper.acting, submit=log.submit)
        self._follower = Follower(self.configured, set_log_level, limiting(self.limits))
        self._announce_s = 0.0
        self._parts = PartWatch(self.id)
        self._watched_s = 0.0
        self._transferring = threading.Lock()
        self._threads = [
            threading.Thread(target=self._control, name="control", daemon=True),
            threading.Thread(target=self._listen, name="engine-events", daemon=True),
        ]

    @classmethod
    def from_settings(cls, settings: Settings) -> Controller:
        """The real thing.

        Raises:
            ConsensusError: the data folder or the addresses cannot be used.
            TlsError: a certificate, its key or a CA cannot be used.
        """
        clock = SystemClock()
        identity = Identity(settings, clock)
        log = SyncObjLog(
            RaftConfig(
                controller_id=settings.node_id,
                addresses=settings.raft_addresses,
                data_dir=settings.data_dir,
                secret=settings.secret or None,
                durability=settings.durability,
                joins=settings.joins,
                tls=None if settings.cluster_tls == "off" else RaftTls(
                    settings.cluster_tls, identity),
            )
        )
        engine: Engine
        if settings.engine == "fake":
            from cluster.engine.fake import FakeEngine

            engine = FakeEngine(clock)
        else:
            engine = DockerEngine(
                settings.docker_network or None,
                base_url=settings.docker_host or None,
                timeout_s=settings.docker_timeout_s,
                subnet=settings.docker_subnet or None,
                tls=None if not settings.docker_tls_ca else DockerTls(
                    settings.docker_tls_ca, settings.docker_tls_cert, settings.docker_tls_key),
                serves=lambda: log.state().cluster_id,
            )
        ingresses = [
            NginxIngress(readers.without_token(endpoint), endpoint)
            for endpoint in settings.ingress_admin
        ]
        live = LiveConfig(Effective(settings), log, clock, settings.node_id)
        history = open_history(
            settings.data_dir, settings.node_id, log, clock,
            database_url=settings.database_url, pool_size=live.pool_size,
            bytes_max=settings.history_max_bytes,
            fetch=make_fetch(
                RelayMark(settings.secret, clock).headers, identity.for_call),
            retention=live.retention,
        )
        return cls(
            settings, log, engine, ingresses, clock, history=history, identity=identity)

    def start(self) -> None:
        """Join the cluster.

        Raises:
            ConsensusError: the Raft port is taken, or the folder is not ours.
        """
        calm_collector()
        if isinstance(self.log, SyncObjLog):
            self.log.start()
        self.history.start()
        self.limits.start()
        if self.bus is not None:
            self.bus.start()
        self.log.subscribe(self._changed)
        self._vitals.start()
        for thread in self._threads:
            thread.start()

    def hand_over(self) -> None:
        """Stop acting and let another lead, while HTTP still answers; bounded in time."""
        self._yield_lease()
        self._stop.set()
        self._wake.set()
        self._threads[0].join(STOP_S)
        if isinstance(self.log, SyncObjLog) and self.log.is_raft_leader():
            self.log.hand_over()

    def transfer(self, to: str | None = None) -> str | None:
        """Let `to`, or the controller that is best prepared, lead; the new leader's id.

        None when nobody took over in time: this controller then goes on leading.
        """
        log = self.log
        if not isinstance(log, SyncObjLog) or not self._transferring.acquire(blocking=False):
            return None
        try:
            self._yield_lease()
            return log.settled_leader(TRANSFER_S) if log.hand_over(to, TRANSFER_S) else None
        finally:
            self._driver.resume()
            self._transferring.release()

    def _yield_lease(self) -> None:
        """Let calls under way end, begin no other, and give the lease up, all within a second."""
        until_s = self.clock.monotonic_s() + YIELD_S
        self._driver.stand_aside(until_s + TRANSFER_S)
        while self.lease_valid() and self.clock.monotonic_s() < until_s:
            self._wake.set()
            self._stop.wait(YIELD_POLL_S)

    def stop(self) -> None:
        """Stop acting, hand over leadership, leave; bounded in time."""
        self._stop.set()
        self._wake.set()
        self._vitals.stop()
        self._threads[0].join(STOP_S)
        self._workers.stop()
        if isinstance(self.log, SyncObjLog):
            self.log.stop()
        self.history.stop()
        self.limits.stop()
        if self.bus is not None:
            self.bus.stop()

    def cut_off(self, fault: Literal["partition", "db-down"], seconds: float) -> None:
        """Do for so long as if the other controllers, or PostgreSQL, could not be reached."""
        if fault == "db-down":
            self.history.cut_off(seconds)
        elif isinstance(self.log, SyncObjLog):
            self.log.cut_off(seconds)

    def lease_valid(self) -> bool:
        """True while this controller may act for the cluster."""
        return self._driver.keeper.acting() is not None

    def check_health(self, app: str) -> Check | None:
        """Check the replicas of an app now; None when too many checks are open already."""
        check = self._checks.ask(app)
        self._wake.set()
        return check

    def health_records(self) -> Mapping[str, Record]:
        """What the checks said, by container id; empty unless this controller may act."""
        return self._fleet.records if self.lease_valid() else {}

    def loop_timings(self) -> Mapping[str, Timing]:
        """How long the steps of each control loop took."""
        return self._driver.timings

    def capacity(self) -> EngineInfo | None:
        """The size of the host; None while the engine has never answered."""
        return self._vitals.capacity()

    def components(self) -> Mapping[str, Component]:
        """How database, docker, nginx, raft and redis do."""
        return {
            "database": database_part(self.history),
            **self._vitals.components(quarantine=self._fleet.quarantine.reason),
            "redis": redis_part(self.limits),
            "tls": certificate_part(self.identity, self._hosts),
            "secrets": secrets_part(self.keyring, self.log.state()),
        }

    def _changed(self, state: ClusterState) -> None:
        self.actions.epoch(state.leadership.epoch, state.leadership.holder)
        self._wake.set()

    def _control(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(STEP_S)
            self._wake.clear()
            began_s = self.clock.monotonic_s()
            try:
                self._follower.follow(self.log.state())
                self._announce()
                self._bootstrap.step(self.log.state())
                self._watch_parts()
                self._driver.step()
            except Exception:
                logger.exception("a step of the control loop failed")
            took_s = self.clock.monotonic_s() - began_s
            if took_s > LONG_STEP_S:
                # With thousands of apps each write would begin another such step, and requests
                # would wait for the interpreter.
                self._stop.wait(min(REST * took_s, REST_MAX_S))
        self._driver.keeper.release()

    def _announce(self) -> None:
        """Tell the cluster where clients reach this controller, until it knows."""
        now_s = self.clock.monotonic_s()
        if now_s < self._announce_s or self.log.leader_id() is None:
            return
        self._announce_s = now_s + ANNOUNCE_RETRY_S
        known = self.log.state().controllers.get(self.id)
        mine = AnnounceController(
            self.id, self.settings.api_url, socket.gethostname(), __version__, LEVEL,
            self.keyring.first, self.keyring.ids,
        )
        if known is not None and mine == AnnounceController(
            known.id, known.api_url, known.hostname, known.version, known.level,
            known.secrets_key, known.secrets_keys,
        ):
            return
        self.log.submit(mine, Stamp(self.clock.wall_ms(), self.id))

    def _watch_parts(self) -> None:
        """Tell the cluster about parts of this controller that fail or are back."""
        now_s = self.clock.monotonic_s()
        if now_s < self._watched_s:
            return
        self._watched_s = now_s + WATCH_S
        self.identity.refresh()
        self._hosts.refresh()
        if self.log.leader_id() is None:
            return
        for event in self._parts.step(self.components(), now_s):
            self.log.submit(event, Stamp(self.clock.wall_ms(), self.id))

    def _listen(self) -> None:
        """Pass the engine's hints on; every controller listens, only the leader acts."""
        while not self._stop.wait(0.2):
            cluster_id = self.log.state().cluster_id
            if not cluster_id:
                continue
            try:
                for event in self.engine.events(cluster_id, self._stop):
                    if self.lease_valid():
                        self._observer.hint(event)
                        self._wake.set()
            except Exception:
                logger.exception("the engine's event stream failed")
                self._stop.wait(1.0)
