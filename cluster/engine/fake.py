"""FakeEngine: containers in memory and in the clock's time, with faults on demand."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from cluster.clock import Clock
from cluster.engine.base import (
    Container,
    EngineError,
    EngineEvent,
    EngineInfo,
    Fault,
    Guard,
    Image,
    LogLine,
    PullOrder,
    RunRequest,
    StoredImage,
    Tell,
    Usage,
    Volume,
    container_name,
    gone,
    no_guard,
    tell_nobody,
)
from cluster.engine.execution import ExecOrder, Execution
from cluster.engine.fake_images import FakeImages
from cluster.engine.fake_log import follow
from cluster.engine.fake_parts import (
    IDLE_BYTES,
    Effect,
    FakeVolumes,
    Hints,
    ImageBehaviour,
    PlannedFault,
    Record,
    begun,
    usages,
)
from cluster.engine.lines import readable

EFFECTS_MAX = 100_000


class FakeEngine:
    """The Engine protocol without a daemon; one instance is the host that all nodes share.

    `hang` makes every call a timeout without effect, `down` an unavailable daemon; `hanging` are
    ids and names of containers and volumes on which no operation ends. Those in `unmeasured` are
    missing from `usage`. `behaviours` maps an image to what its containers do, `images` has those
    of the host and of registries, `effects` what was done; `listeners` are told hints at once.
    """

    def __init__(self, clock: Clock, *, start_latency_s: float = 0.0) -> None:
        self.hang = False
        self.hanging: set[str] = set()
        self.behaviours: dict[str, ImageBehaviour] = {}
        self.effects: deque[Effect] = deque(maxlen=EFFECTS_MAX)
        self.listeners: list[Callable[[str, EngineEvent], None]] = []
        self._clock = clock
        self._default = ImageBehaviour(start_latency_s=start_latency_s)
        self.images = FakeImages(lambda name: self._behaviour(name).missing)
        self._down = False
        self._lock = threading.RLock()
        self._records: dict[str, Record] = {}
        self._volumes = FakeVolumes()
        self._clusters: set[str] = set()
        self._sick: set[str] = set()
        self._planned: deque[PlannedFault] = deque()
        self.unmeasured: set[str] = set()
        self._count = 0

    # --- the Engine protocol ---

    def observe(self, cluster_id: str) -> Sequence[Container]:
        """All containers of this cluster."""
        with self._call():
            self._clusters.add(cluster_id)
            return tuple(r.container for r in self._records.values() if r.cluster_id == cluster_id)

    def run(self, request: RunRequest, *, guard: Guard = no_guard) -> Container:
        """Start the replica; it answers probes once its start latency is over."""
        with self._call():
            guard()
            self._clusters.add(request.cluster_id)
            name = container_name(
                request.cluster_id, request.app, request.revision, request.slot, request.run)
            self._is_free(name)
            present = self._named(name)
            if present is not None:
                if present.cluster_id != request.cluster_id:
                    raise EngineError(
                        "name_taken", f"a container that is not ours is named {name}"
                    )
                if present.container.phase == "running" or request.run:
                    return present.container
            if self.images.look(request.pinned or request.image) is None:
                raise EngineError("image_missing", f"No such image: {request.image}")
            self._volumes.take(request, self._clock.wall_ms())
            if present is not None:
                self._remove(present, "remove")
            return self._start(request, name)

    def stop(self, container_id: str, *, grace_s: int) -> None:
        """Stop and remove, in no time."""
        with self._call():
            self._is_free(container_id)
            record = self._records.get(container_id)
            if record is None:
                return
            if record.cluster_id not in self._clusters:
                raise EngineError("rejected", f"container {container_id[:12]} is not ours")
            self._end(record, exit_code=0)
            self._remove(record, "stop")

    def image(self, name: str) -> Image | None:
        """The image on this host."""
        with self._call():
            return self.images.look(name)

    def pull(
        self, order: PullOrder, *, guard: Guard = no_guard, tell: Tell = tell_nobody
    ) -> Image:
        """Fetch an image, in no time."""
        with self._call():
            return self.images.pull(order, guard, tell)

    def stored_images(self) -> Sequence[StoredImage]:
        """All images on this host."""
        with self._call():
            return self.images.stored()

    def remove_image(self, image_id: str) -> bool:
        """Remove an image that no container is made from."""
        with self._call():
            return self.images.remove(image_id, {r.image_id for r in self._records.values()})

    def volumes(self, cluster_id: str, *, sizes: bool = False) -> Sequence[Volume]:
        """All volumes of this cluster; they are empty."""
        with self._call():
            return self._volumes.of(cluster_id, self._records.values(), 0 if sizes else None)

    def remove_volume(self, cluster_id: str, name: str, *, guard: Guard = no_guard) -> None:
        """Remove a volume of this cluster."""
        with self._call():
            self._is_free(name)
            if self._volumes.remove(cluster_id, name, self._records.values(), guard):
                self.effects.append(Effect(self._clock.monotonic_s(), "remove volume", name, 0))

    def logs(self, container_id: str, *, tail: int, since_ns: int = 0) -> Sequence[LogLine]:
        """The last lines, oldest first."""
        if tail <= 0:
            return ()
        with self._call():
            return self._present(container_id).log.last(tail, since_ns)

    def follow(
        self, container_id: str, *, since_ns: int, stop: threading.Event
    ) -> Iterator[LogLine]:
        """Lines later than `since_ns`, as they are written; a fault ends it."""
        with self._call():
            record = self._readable(container_id)
        if record is None:
            return

        def look(read: int) -> tuple[Sequence[LogLine], int, bool]:
            with self._lock:
                self._answers()
                self._advance()
                return *record.log.after(read), record.container.phase != "running"

        yield from follow(look, since_ns, stop)

    def execute(self, container_id: str, order: ExecOrder) -> Execution:
        """Begin a command in a container."""
        with self._call():
            return self._present(container_id).execute(order)

    def usage(self, container_ids: Sequence[str]) -> Sequence[Usage]:
        """Counters of those that run, by the loads that were set."""
        with self._call():
            measured = [one for one in container_ids if one not in self.unmeasured]
            return usages(self._records, measured, self._clock.monotonic_s())

    def set_load(
        self, container_id: str, *, cpu_cores: float, memory_bytes: int = IDLE_BYTES
    ) -> None:
        """From now on the container works so much; CPU ends at its limit."""
        with self._lock:
            self._records[container_id].work(self._clock.monotonic_s(), cpu_cores, memory_bytes)

    def ping(self) -> None:
        """It answers, or does not."""
        with self._call():
            return

    def info(self) -> EngineInfo:
        """A host of 4 processors and 16 GiB."""
        with self._call():
            running = sum(r.container.phase == "running" for r in self._records.values())
            return EngineInfo("fake", 4, 16 * 1024**3, running)

    def events(self, cluster_id: str, stop: threading.Event) -> Iterator[EngineEvent]:
        """Block and yield hints until `stop`."""
        hints = Hints(cluster_id)
        with self._lock:
            self._clusters.add(cluster_id)
            hints.listen("", EngineEvent("lost" if self._down else "connected"))
            self.listeners.append(hints.listen)
        try:
            yield from hints.until(stop)
        finally:
            self.listeners.remove(hints.listen)

    # --- faults and knobs ---

    @property
    def down(self) -> bool:
        """Is the daemon dead? Its containers live on. Setting it tells lost or connected."""
        return self._down

    @down.setter
    def down(self, down: bool) -> None:
        with self._lock:
            if down != self._down:
                self._down = down
                self._tell("", EngineEvent("lost" if down else "connected"))

    def fail_next(
        self, fault: Fault, reason: str = "told to fail", *, after_effect: bool = False
    ) -> None:
        """Fail the next call; `after_effect` does the work first, as a lost answer would."""
        with self._lock:
            self._planned.append(PlannedFault(fault, reason, after_effect))

    def say(
        self, container_id: str, *lines: bytes, at_ns: int | None = None,
        stream: Literal["stdout", "stderr"] = "stdout",
    ) -> None:
        """Let the container write lines."""
        with self._lock:
            for line in lines:
                text, cut = readable(line)
                at = self._clock.wall_ms() * 1_000_000 if at_ns is None else at_ns
                self._records[container_id].log.write(LogLine(at, stream, text, cut))

    def kill(self, container_id: str, *, exit_code: int = 137, oom: bool = False) -> None:
        """End the container's process; a container gone or ended stays so."""
        with self._lock:
            record = self._records.get(container_id)
            if record is not None:
                self._end(record, exit_code=exit_code, oom=oom)

    def set_sick(self, container_id: str, *, sick: bool = True) -> None:
        """Make one container fail its probes, or heal it."""
        with self._lock:
            (self._sick.add if sick else self._sick.discard)(container_id)

    def containers(self) -> Sequence[Container]:
        """All containers as they are on the host, whatever the daemon says."""
        with self._lock:
            self._advance()
            return tuple(record.container for record in self._records.values())

    def files(self, container_id: str) -> Mapping[str, str]:
        """The secrets that a container has as files, by name."""
        with self._lock:
            return dict(self._records[container_id].request.files)

    def kept_volumes(self) -> Sequence[str]:
        """The names of all volumes on the host, whatever the daemon says."""
        with self._lock:
            return self._volumes.names()

    def made_from(self, container_id: str) -> str:
        """The id of the image that a container is made from."""
        with self._lock:
            return self._records[container_id].image_id

    def exists(self, container_id: str) -> bool:
        """Is the container there, running or not, ours or not?"""
        with self._lock:
            return container_id in self._records

    def healthy(self, container: Container) -> bool:
        """Would a probe of this container succeed now?"""
        with self._lock:
            self._advance()
            record = self._records.get(container.id)
            return (
                record is not None
                and record.container.phase == "running"
                and record.behaviour.healthy
                and container.id not in self._sick
                and self._clock.monotonic_s() >= record.ready_at_s
            )

    def add_foreign(self, name: str, cluster_id: str = "", image: str = "stranger") -> str:
        """Place a running container that is not ours, or another cluster's; returns its id."""
        with self._lock:
            stranger = RunRequest(cluster_id, "stranger", 0, 1, 0, image)
            return self._start(stranger, name, quiet=True).id

    # --- inside ---

    @contextlib.contextmanager
    def _call(self) -> Iterator[None]:
        with self._lock:
            self._answers()
            planned = self._planned.popleft() if self._planned else None
            if planned is not None and not planned.after_effect:
                raise EngineError(planned.fault, planned.reason)
            self._advance()
            yield
            if planned is not None:
                raise EngineError(planned.fault, planned.reason)

    def _answers(self) -> None:
        if self._down:
            raise EngineError("unavailable", "Docker does not answer: fake engine is down")
        if self.hang:
            raise EngineError("timeout", "Docker did not answer: fake engine hangs")

    def _is_free(self, container: str) -> None:
        if container in self.hanging:
            raise EngineError("timeout", "Docker did not answer: told to hang")

    def _present(self, container_id: str) -> Record:
        self._is_free(container_id)
        record = self._readable(container_id)
        if record is None:
            raise gone(container_id)
        return record

    def _readable(self, container_id: str) -> Record | None:
        record = self._records.get(container_id)
        if record is not None and record.cluster_id not in self._clusters:
            raise EngineError("rejected", f"container {container_id[:12]} is not ours")
        return record

    def _advance(self) -> None:
        """Let the crashes happen that are due by now."""
        now_s = self._clock.monotonic_s()
        for record in self._records.values():
            if record.crash_at_s is not None and record.crash_at_s <= now_s:
                self._end(record, exit_code=record.exit_code, oom=record.behaviour.oom)

    def _behaviour(self, image: str) -> ImageBehaviour:
        return self.behaviours.get(image, self._default)

    def _named(self, name: str) -> Record | None:
        return next((r for r in self._records.values() if r.container.name == name), None)

    def _start(self, request: RunRequest, name: str, *, quiet: bool = False) -> Container:
        self._count += 1
        behaviour, now_s = self._behaviour(request.image), self._clock.monotonic_s()
        image = self.images.look(request.pinned or request.image)
        record = begun(
            request, name, self._count, behaviour, now_s=now_s, now_ms=self._clock.wall_ms(),
            image_id=image.id if image else "")
        container = record.container
        at_ns = container.started_at_ms * 1_000_000
        record.log.write(LogLine(at_ns, "stdout", f"listening as {container.id[:12]}"))
        record.log.write(LogLine(at_ns, "stderr", "this line goes to stderr"))
        self._records[container.id] = record
        if not quiet:
            self._note("run", container)
            self._tell(request.cluster_id, EngineEvent("started", container.id))
        return container

    def _end(self, record: Record, *, exit_code: int, oom: bool = False) -> None:
        record.crash_at_s = None
        if record.container.phase == "running":
            record.container = replace(
                record.container, phase="exited", ip="", exit_code=exit_code, oom_killed=oom,
                finished_at_ms=self._clock.wall_ms(),
            )
            record.kill_executions()
            self._tell(record.cluster_id, EngineEvent("died", record.container.id))

    def _remove(self, record: Record, verb: Literal["stop", "remove"]) -> None:
        self._records.pop(record.container.id).removed = True
        self._sick.discard(record.container.id)
        self._note(verb, record.container)
        self._tell(record.cluster_id, EngineEvent("removed", record.container.id))

    def _note(self, verb: Literal["run", "stop", "remove"], container: Container) -> None:
        now_s = self._clock.monotonic_s()
        self.effects.append(Effect(now_s, verb, container.name, container.epoch))

    def _tell(self, cluster_id: str, hint: EngineEvent) -> None:
        for listener in tuple(self.listeners):
            listener(cluster_id, hint)
