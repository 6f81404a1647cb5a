"""What the fake engine knows of its containers."""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Literal

from cluster.engine.base import (
    Container,
    EngineError,
    EngineEvent,
    Fault,
    Guard,
    RunRequest,
    Usage,
    Volume,
    gone,
)
from cluster.engine.execution import ExecOrder
from cluster.engine.fake_exec import FakeExecution
from cluster.engine.fake_log import FakeLog

IDLE_BYTES = 4 * 1024**2
QUEUE_EVENTS = 1_000
STOP_POLL_S = 0.05
FIRST_ADDRESS = IPv4Address("10.128.0.2")


@dataclass(frozen=True, slots=True)
class ImageBehaviour:
    """What containers of an image do; one that crashes ends with `exit_code`."""

    missing: bool = False
    crash_after_s: float | None = None
    exit_code: int = 1
    oom: bool = False
    healthy: bool = True
    start_latency_s: float = 0.0
    run_s: float | None = 0.2
    """How long one takes that runs once; None for ever."""
    run_exit_code: int = 0


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that happened to a container or a volume; `identity` is its name."""

    at_s: float
    verb: Literal["run", "stop", "remove", "remove volume"]
    identity: str
    epoch: int


@dataclass(slots=True)
class Record:
    """One container and what it does."""

    container: Container
    cluster_id: str
    behaviour: ImageBehaviour
    ready_at_s: float
    crash_at_s: float | None
    request: RunRequest
    counted_s: float
    image_id: str = ""
    exit_code: int = 1
    cpu_s: float = 0.0
    cpu_cores: float = 0.0
    memory_bytes: int = IDLE_BYTES
    log: FakeLog = field(default_factory=FakeLog)
    executions: list[FakeExecution] = field(default_factory=list)
    removed: bool = False

    def execute(self, order: ExecOrder) -> FakeExecution:
        """Begin a command in it."""
        if self.container.phase != "running":
            raise EngineError("rejected", f"container {self.container.id[:12]} is not running")
        made = FakeExecution(order, self.runs)
        self.executions = [
            *(one for one in self.executions if one.state().exit_code is None), made]
        return made

    def runs(self) -> bool:
        """Does its process run? Raises `gone` once it is removed."""
        if self.removed:
            raise gone(self.container.id)
        return self.container.phase == "running"

    def kill_executions(self) -> None:
        """It has ended, and so does what ran in it."""
        for one in self.executions:
            one.kill()

    def count_cpu(self, now_s: float) -> None:
        """Add what it used since it was counted last."""
        self.cpu_s += self.cpu_cores * (now_s - self.counted_s)
        self.counted_s = now_s

    def work(self, now_s: float, cpu_cores: float, memory_bytes: int) -> None:
        """From now on it takes so much."""
        self.count_cpu(now_s)
        self.cpu_cores = min(cpu_cores, self.request.cpu_millicores / 1000)
        self.memory_bytes = memory_bytes

    def usage(self, now_s: float) -> Usage:
        """Its counters."""
        self.count_cpu(now_s)
        return Usage(
            self.container.id, now_s, self.cpu_s, self.request.cpu_millicores / 1000,
            self.memory_bytes, self.request.memory_bytes)


def begun(
    request: RunRequest, name: str, number: int, behaviour: ImageBehaviour, *,
    now_s: float, now_ms: int, image_id: str,
) -> Record:
    """The container of a request, which runs from now on; `number` makes it another one."""
    container = Container(
        id=hashlib.sha256(str(number).encode()).hexdigest(),
        name=name, app=request.app, slot=request.slot, revision=request.revision,
        epoch=request.epoch, phase="running", ip=str(FIRST_ADDRESS + number),
        started_at_ms=now_ms, run=request.run,
    )
    crash_s = behaviour.run_s if request.run else behaviour.crash_after_s
    return Record(
        container, request.cluster_id, behaviour,
        ready_at_s=now_s + behaviour.start_latency_s,
        crash_at_s=None if crash_s is None else now_s + crash_s,
        request=request, counted_s=now_s, image_id=image_id,
        exit_code=behaviour.run_exit_code if request.run else behaviour.exit_code,
    )


def usages(
    records: Mapping[str, Record], container_ids: Sequence[str], now_s: float
) -> Sequence[Usage]:
    """The counters of those that run."""
    found = (records.get(container_id) for container_id in container_ids)
    return [
        one.usage(now_s) for one in found if one is not None and one.container.phase == "running"]


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """What the next call meets."""

    fault: Fault
    reason: str
    after_effect: bool


class Hints:
    """What one listener is told; beyond QUEUE_EVENTS nothing more."""

    def __init__(self, cluster_id: str) -> None:
        self._cluster_id = cluster_id
        self._queue: queue.Queue[EngineEvent] = queue.Queue(QUEUE_EVENTS)

    def listen(self, of_cluster: str, hint: EngineEvent) -> None:
        """Take a hint, when it is about this cluster or all."""
        if of_cluster in ("", self._cluster_id):
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(hint)

    def until(self, stop: threading.Event) -> Iterator[EngineEvent]:
        """Block and yield them."""
        while not stop.is_set():
            with contextlib.suppress(queue.Empty):
                yield self._queue.get(timeout=STOP_POLL_S)


class FakeVolumes:
    """The volumes of the host: whose they are, and since when."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str, int]] = {}

    def take(self, request: RunRequest, at_ms: int) -> None:
        """Make what a replica mounts."""
        owner = (request.cluster_id, request.app)
        for mount in request.mounts:
            if self._known.setdefault(mount.volume, (*owner, at_ms))[:2] != owner:
                raise EngineError("rejected", f"volume {mount.volume} is not this app's")

    def names(self) -> Sequence[str]:
        """All of them."""
        return sorted(self._known)

    def of(
        self, cluster_id: str, records: Collection[Record], size_bytes: int | None
    ) -> Sequence[Volume]:
        """Those of a cluster, by name."""
        return [
            Volume(name, app, at_ms, _users(name, records), size_bytes)
            for name, (owner, app, at_ms) in sorted(self._known.items()) if owner == cluster_id
        ]

    def remove(
        self, cluster_id: str, name: str, records: Collection[Record], guard: Guard
    ) -> bool:
        """Remove one; False when it is not there."""
        if name not in self._known:
            return False
        if self._known[name][0] != cluster_id:
            raise EngineError("rejected", f"volume {name} is not this cluster's")
        if _users(name, records):
            raise EngineError("rejected", f"remove {name}: volume is in use")
        guard()
        del self._known[name]
        return True


def _users(name: str, records: Collection[Record]) -> tuple[str, ...]:
    return tuple(sorted(
        record.container.name for record in records
        if any(mount.volume == name for mount in record.request.mounts)))
