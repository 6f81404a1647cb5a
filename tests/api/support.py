"""A controller of one for the API's tests: real log and state machine, an engine of text."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from api.app import create_app
from cluster import config
from cluster.clock import SystemClock
from cluster.config.effective import Effective
from cluster.consensus.local_log import LocalLog
from cluster.control.actions import ActionFile
from cluster.control.checks import Check, HealthChecks
from cluster.control.driver import Timing
from cluster.control.images import PullCounts
from cluster.control.judge import Record
from cluster.control.telemetry import Telemetry
from cluster.control.vitals import Component, certificate_part, secrets_part
from cluster.engine.base import Engine, EngineError, EngineInfo, LogLine
from cluster.history.connect import sqlite_engine
from cluster.history.history import History
from cluster.history.sql import SqlStore
from cluster.live.bus import Bus
from cluster.live.sharing import Limits
from cluster.sealing import Keyring
from cluster.state.commands import AnnounceController, BeginEpoch, FinishDelete, ReportApp, Stamp
from cluster.state.model import Applied, ClusterState, Health, Replica
from cluster.tls.identity import Identity
from tests.history_files import history_file
from tests.live import until

ACT_S = 30.0
HEALTHY: tuple[Health, ...] = ("healthy",)
SPEC: dict[str, Any] = {
    "apiVersion": "v1", "kind": "App", "metadata": {"name": "shop"},
    "spec": {
        "image": "shop:1", "ports": [{"containerPort": 80}],
        "resources": {"cpu": "100m", "memory": "64Mi"},
    },
    "scaling": {"minReplicas": 2},
}


def spec(name: str = "shop", **sections: Any) -> dict[str, Any]:
    """SPEC under another name, with other sections."""
    return {**SPEC, "metadata": {"name": name}, **sections}


@dataclass(frozen=True)
class Part:
    """A component."""

    status: str = "healthy"
    detail: str = ""
    response_time_ms: float | None = 1.0
    extra: Mapping[str, Any] = field(default_factory=dict)


class TextEngine:
    """The door to the engine: answers log lines, or fails as told, for all or for one."""

    def __init__(self) -> None:
        self.lines: dict[str, list[LogLine]] = {}
        self.fault: EngineError | None = None
        self.faults: dict[str, EngineError] = {}
        self.held: dict[str, threading.Event] = {}

    def logs(self, container_id: str, *, tail: int, since_ns: int = 0) -> Sequence[LogLine]:
        fault = self.fault or self.faults.get(container_id)
        if container_id in self.held:
            self.held[container_id].wait(60)
        if fault is not None:
            raise fault
        lines = [line for line in self.lines.get(container_id, []) if line.at_ns >= since_ns]
        return lines[-tail:] if tail else []


def _on_disk() -> tuple[SqlStore, str]:
    store = SqlStore(sqlite_engine(history_file()))
    store.migrate()
    return store, ""


class Node:
    """What api.controller.Controller asks for, over a LocalLog."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self.settings = config.load({
            "CONTROLLER_NODE_ID": "one", "RATE_LIMIT_PER_HOUR": "0", "RATE_LIMIT_PER_MINUTE": "0",
            **(environ or {})})
        self.id = self.settings.node_id
        self.configured = Effective(self.settings)
        self.keyring = Keyring(self.settings.secrets_keys)
        self.identity = Identity(self.settings, SystemClock())
        self.local = LocalLog(self.id)
        self.log = self.local
        self.text_engine = TextEngine()
        self.engine: Engine = self.text_engine  # type: ignore[assignment]
        self.clock = SystemClock()
        self.started_at_ms = self.clock.wall_ms()
        self.actions = ActionFile(Path("/nowhere/actions.jsonl"), self.clock.wall_ms)
        names = ("database", "docker", "nginx", "raft")
        self.parts: dict[str, Part] = {name: Part() for name in names}
        self.history = History(self.id, self.log, self.clock, open_local=_on_disk)
        self.local.subscribe_events(self.history.applied)
        self.telemetry = Telemetry(self.history.measured)
        self.pulls = PullCounts()
        self.limits = Limits(
            self.clock, per_hour=self.settings.rate_limit_per_hour,
            per_minute=self.settings.rate_limit_per_minute,
            trusted_proxies=self.settings.rate_limit_trusted_proxies,
            redis_url=self.settings.redis_url, cluster_id=lambda: self.log.state().cluster_id)
        self.bus: Bus | None = None
        self.acts = True
        self.checks = HealthChecks()
        self.records: dict[str, Record] = {}
        self.cut: list[tuple[str, float]] = []
        self.host: EngineInfo | None = EngineInfo("1", 4, 8 * 1024**3, 0)

    def keep_history(self) -> None:
        """Open a history, and write there what came so far."""
        if not self.log.state().cluster_id:
            self.submit(BeginEpoch(self.id, 1500, "c" * 32))
        assert self.history.open()
        self.history.flush()

    def lease_valid(self) -> bool:
        return self.acts

    def loop_timings(self) -> Mapping[str, Timing]:
        return {"scale": Timing(3, 0.25, 1)}

    def check_health(self, app: str) -> Check | None:
        return self.checks.ask(app)

    def health_records(self) -> Mapping[str, Record]:
        return self.records

    def hand_over(self) -> None:
        """There is nobody to hand over to."""

    def transfer(self, to: str | None = None) -> str | None:
        """Nobody takes over."""
        return None

    def cut_off(self, fault: str, seconds: float) -> None:
        """Note it."""
        self.cut.append((fault, seconds))

    def components(self) -> Mapping[str, Part | Component]:
        self.identity.refresh()
        return {**self.parts, "tls": certificate_part(self.identity),
                "secrets": secrets_part(self.keyring, self.log.state())}

    def capacity(self) -> EngineInfo | None:
        return self.host

    def submit(self, command: Any) -> Applied:
        """Change the state as a control loop would."""
        return self.local.submit(command, Stamp(self.clock.wall_ms(), self.id)).applied

    def announce(self, node: str, url: str) -> None:
        """Make `node` known to the cluster."""
        self.submit(AnnounceController(node, url, f"{node}.local", "1.0.0"))

    def report(
        self, name: str, *healths: Health, problem: str = "", problem_code: str = "",
        container_ids: Sequence[str] = (),
    ) -> None:
        """Report one replica for each of `healths`."""
        app = self.local.state().apps[name]
        replicas = tuple(
            Replica(
                slot=slot, revision=app.revision,
                container_id=dict(enumerate(container_ids, 1)).get(slot, f"id-{name}-{slot}"),
                container_name=f"{name}.{slot}", ip=f"10.0.0.{slot}", port=80,
                phase="running", health=health, started_at_ms=1_700_000_000_000,
            )
            for slot, health in enumerate(healths, 1)
        )
        self.submit(ReportApp(name, app.revision, replicas, problem, problem_code))


class Loops:
    """Stands in for the leader's loops: makes every app what it is wanted to be."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._stop = threading.Event()
        self._wake = threading.Event()
        node.log.subscribe(lambda state: self._wake.set())
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Reconcile until the block ends."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            for app in self._node.log.state().apps.values():
                wanted = app.replicas if app.running else 0
                if app.deleting and not app.reports:
                    self._node.submit(FinishDelete(app.name, app.revision, 1))
                elif len(app.reports) != wanted:
                    self._node.report(app.name, *wanted * HEALTHY)
            self._wake.wait(0.05)
            self._wake.clear()


@contextmanager
def once(node: Node, ready: Callable[[ClusterState], bool], act: Callable[[], object]
         ) -> Iterator[None]:
    """Another thread that acts as soon as the state is so; it has by the end of the block."""
    done = list[object]()

    def wait() -> None:
        until("the state is so", lambda: ready(node.log.state()), ACT_S, gap_s=0.01)
        done.append(act())

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert done, "the state never was so"


def runs(state: ClusterState) -> bool:
    """Whether the app `shop` was started."""
    return state.apps["shop"].running


def shop(*health: Health) -> tuple[Node, FlaskClient]:
    """A node whose app `shop` runs, with replicas of these healths; and a client."""
    node, _, client = make()
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    assert client.post("/api/v1/apps/shop/start", json={"wait": False}).status_code == 200
    node.report("shop", *health)
    return node, client


def make(environ: Mapping[str, str] | None = None) -> tuple[Node, Flask, FlaskClient]:
    """A node, its app and a client."""
    node = Node(environ)
    app = create_app(node)
    return node, app, app.test_client()
