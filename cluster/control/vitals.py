"""Vitals: how the parts around this controller do, measured in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cluster.clock import Clock
from cluster.consensus.log import ReplicatedLog
from cluster.engine.base import Engine, EngineError, EngineInfo
from cluster.history.history import History
from cluster.ingress.base import Ingress, IngressError
from cluster.live.sharing import Limits
from cluster.sealing import Keyring
from cluster.state.members import keys_in_use
from cluster.state.model import ClusterState
from cluster.tls.certificates import shown_time
from cluster.tls.hosts import HostCertificates
from cluster.tls.identity import Identity

PERIOD_S = 2.0
SIZE_EVERY_S = 30.0
"""The engine counts all its containers for that, and asks programs for their versions."""


@dataclass(frozen=True, slots=True)
class Component:
    """One part, as `GET /health` shows it."""

    status: Literal["healthy", "degraded", "unavailable", "disabled"]
    detail: str = ""
    response_time_ms: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


NOT_ASKED = Component("unavailable", "not asked yet")
"""How the engine does when nobody knows: a controller has just started."""


def certificate_part(identity: Identity, hosts: HostCertificates | None = None) -> Component:
    """How the certificates of this controller do; unlike the others they are at hand."""
    status = identity.status()
    faults = "; ".join(filter(None, (status.fault, hosts.fault() if hosts is not None else "")))
    extra = {"expires_at": None if status.ends_ms is None else shown_time(status.ends_ms)}
    if not identity.on and not faults:
        return Component("disabled", "ORCHESTRY_TLS_CERT is not set", extra=extra)
    return Component("degraded" if faults else "healthy", faults, extra=extra)


def redis_part(limits: Limits) -> Component:
    """How the Redis does in which requests are counted."""
    found = limits.answers()
    if found is None:
        return Component("disabled", "REDIS_URL is not set")
    if not found.up:
        return Component("unavailable", found.reason)
    return Component("healthy", response_time_ms=found.response_time_ms)


def database_part(history: History) -> Component:
    """How the history does."""
    found = history.status()
    return Component(found.status, found.detail, found.response_time_ms, {
        "backend": found.backend, "events_behind": found.events_behind})


def secrets_part(keyring: Keyring, state: ClusterState) -> Component:
    """Whether this controller can open what the cluster keeps, and what the others would seal."""
    of_others = {
        info.secrets_key for name, info in state.controllers.items()
        if info.secrets_key and (not state.members or name in state.members)}
    missing = sorted(
        key_id for key_id in keys_in_use(state) | of_others if not keyring.knows(key_id))
    if missing:
        return Component(
            "degraded", f"Key {', '.join(missing)} for secrets is in use, and this controller does "
            "not have it: give all controllers the same ORCHESTRY_SECRETS_KEY")
    if not keyring.first:
        return Component("disabled", "ORCHESTRY_SECRETS_KEY is not set")
    return Component("healthy")


class Vitals:
    """Asks engine and ingresses every 2 s, each in a thread of its own; reading never waits.

    Followers do, too: `/health` tells of each controller whether it reaches its engine. For the
    size of the host, and how many containers run, the engine is asked less often.
    """

    def __init__(
        self, log: ReplicatedLog, engine: Engine, ingresses: Sequence[Ingress], clock: Clock
    ) -> None:
        self._log = log
        self._engine = engine
        self._ingresses = list(ingresses)
        self._clock = clock
        self._capacity: EngineInfo | None = None
        self._size_due_s = float("-inf")
        self._docker = NOT_ASKED
        self._nginx = Component("disabled", "no ingress is configured")
        self._stop = threading.Event()
        # An engine that hangs must not keep the ingresses from being asked.
        self._threads = [
            threading.Thread(target=self._run, args=(measure,), name=f"vitals-{name}", daemon=True)
            for name, measure in (
                ("engine", self._measure_engine), ("ingress", self._measure_ingresses))]

    def start(self) -> None:
        """Begin to measure."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Measure no more; a call under way ends by its own deadline."""
        self._stop.set()

    def capacity(self) -> EngineInfo | None:
        """The host's size; None while the engine has never answered."""
        return self._capacity

    def components(self, *, quarantine: str = "") -> Mapping[str, Component]:
        """docker, nginx and raft as last measured; `quarantine` is why the engine is in it."""
        docker = self._docker
        if quarantine and docker.status == "healthy":
            docker = replace(
                docker, status="degraded",
                detail=f"in quarantine, nothing that is asked of it ends: {quarantine}")
        return {"docker": docker, "nginx": self._nginx, "raft": self._raft()}

    def _run(self, measure: Callable[[], None]) -> None:
        while not self._stop.is_set():
            measure()
            self._stop.wait(PERIOD_S)

    def measure(self) -> None:
        """Ask everything once."""
        self._measure_engine()
        self._measure_ingresses()

    def _measure_engine(self) -> None:
        self._docker = self._ask_engine()

    def _measure_ingresses(self) -> None:
        self._nginx = self._ask_ingresses()

    def _ask_engine(self) -> Component:
        began_s = self._clock.monotonic_s()
        try:
            if self._capacity is None or began_s >= self._size_due_s:
                self._capacity = self._engine.info()
                self._size_due_s = began_s + SIZE_EVERY_S
            else:
                self._engine.ping()
        except EngineError as error:
            self._size_due_s = began_s  # an engine that only says that it is there is not well
            return Component("unavailable", error.reason, extra={"containers_running": 0})
        extra = {"containers_running": self._capacity.containers_running}
        return Component("healthy", "", self._since_ms(began_s), extra)

    def _ask_ingresses(self) -> Component:
        routes = sum(1 for app in self._log.state().apps.values() if not app.deleting)
        if not self._ingresses:
            return Component("disabled", "no ingress is configured", extra={"configs_active": 0})
        began_s, faults, epochs = self._clock.monotonic_s(), [], []
        for ingress in self._ingresses:
            try:
                epochs.append(ingress.state().epoch)
            except IngressError as error:
                faults.append(f"{ingress.name}: {error.reason}")
        if faults:
            status: Literal["degraded", "unavailable"] = "degraded" if epochs else "unavailable"
            return Component(status, "; ".join(faults), extra={"configs_active": 0})
        active = routes if any(epochs) else 0
        return Component("healthy", "", self._since_ms(began_s), {"configs_active": active})

    def _raft(self) -> Component:
        status = self._log.status()
        extra = {"role": status.role, "applied_index": status.applied_index}
        if status.fault:
            return Component("degraded", status.fault, extra=extra)
        if status.leader_id is None:
            return Component("unavailable", "no leader is elected", extra=extra)
        return Component("healthy", "", extra=extra)

    def _since_ms(self, began_s: float) -> float:
        return round((self._clock.monotonic_s() - began_s) * 1000, 1)
