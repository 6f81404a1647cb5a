"""Engine: the container runtime, as the control loops see it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from cluster.engine.execution import ExecOrder, Execution

Fault = Literal[
    "unavailable",     # the daemon does not answer
    "timeout",         # it took too long; the outcome is unknown
    "image_missing",   # not here, or not in its registry
    "unauthorized",    # the registry does not give the image out
    "registry_down",   # the registry does not answer, or not as it should
    "name_taken",      # a container that is not ours has our name
    "no_resources",    # memory, disk, addresses
    "rejected",        # the engine refuses the request
    "gone",            # the container to read from is not there
]


FILES_FOLDER = "/run/secrets"
"""Where a container has its secrets that are files."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A named Docker volume at a path in the container."""

    volume: str
    path: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Volume:
    """One volume that carries our labels, as observed.

    `used_by` are the names of all containers that mount it, running or not, ours or not.
    `size_bytes` is None when it was not asked for, or cannot be told.
    """

    name: str
    app: str
    created_at_ms: int = 0
    used_by: tuple[str, ...] = ()
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class RunRequest:
    """One replica to run; (cluster_id, app, revision, slot) is its identity and name.

    `stop_grace_s` becomes the container's own stop timeout. `epoch` is a label only: it
    never takes part in the identity. `environment` may hold secrets, and is not in its `repr`;
    `files`, name and text, are only in memory, in FILES_FOLDER, before the first instruction.
    `image` is the name that the owner gave, `pinned` the one image that it stands for, by
    digest or id; without one the name is used.
    `run` is not 0 for a container that runs once, and is then all of its identity within the app.
    `address_in` names further variables, whose value is the container's own address.
    """

    cluster_id: str
    app: str
    slot: int
    revision: int
    epoch: int
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    files: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    cpu_millicores: int = 100
    memory_bytes: int = 128 * 1024**2
    pids: int = 512
    mounts: tuple[Mount, ...] = ()
    user: str = ""
    read_only_root_filesystem: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    stop_grace_s: int = 30
    pinned: str = ""
    run: int = 0
    address_in: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Image:
    """An image on this host; `digests` are `repository@sha256:…`, as registries know it."""

    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image on this host, as it is listed; names and digests are as Docker says them.

    `size_bytes` is that of all its layers, also of those that other images have as well.
    """

    id: str
    names: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Login:
    """How a registry knows us; the password is not in its `repr`."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is; of layers whose size is not told yet, nothing is counted."""

    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PullOrder:
    """What to pull; it fails after `idle_s` without progress, and after `whole_s` in any case.

    `image` is a name with a tag or a digest; without either the tag is `latest`.
    """

    image: str
    login: Login | None = None
    idle_s: float = 60.0
    whole_s: float = 1800.0


def gone(container_id: str) -> EngineError:
    """There is no such container."""
    return EngineError("gone", f"container {container_id[:12]} is gone")


def container_name(cluster_id: str, app: str, revision: int, slot: int, run: int = 0) -> str:
    """The one name that this replica, or run, can have; Docker itself refuses a second one."""
    if run:
        return f"{app}.run{run}.{cluster_id[:8]}"
    return f"{app}.{slot}.r{revision}.{cluster_id[:8]}"


EXIT_UNKNOWN = -1
"""The exit code of a container that has ended, nobody has seen yet how."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container that carries our labels, as observed."""

    id: str
    name: str
    app: str
    slot: int
    revision: int
    epoch: int
    phase: Literal["created", "running", "exited"]
    ip: str = ""
    started_at_ms: int = 0
    finished_at_ms: int = 0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    run: int = 0
    still_runs: bool = False
    """It is told as exited because it is of no use, and has not ended."""


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """A hint that something changed; losing it costs time, never correctness."""

    kind: Literal["started", "died", "removed", "connected", "lost"]
    container_id: str = ""


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the host offers."""

    version: str
    cpus: int
    memory_bytes: int
    containers_running: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Counters of one running container at one moment.

    `at_s` is of the clock named `clock`, which belongs to the counters: only differences
    between two looks at the same container by the same clock mean something. `cpu_s` is CPU
    time since the start. `memory_bytes` is without page cache that can be reclaimed. A
    container without a limit has the host as its limit.
    """

    container_id: str
    at_s: float
    cpu_s: float
    cpu_limit_cores: float
    memory_bytes: int
    memory_limit_bytes: int
    clock: str = ""


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a container's output; `at_ns` is Unix time in nanoseconds.

    `text` is readable (cluster/engine/lines.py): no control characters but tabs, and of a line
    that is `truncated` only a part.
    """

    at_ns: int
    stream: Literal["stdout", "stderr"]
    text: str
    truncated: bool = False


LOG_LINES_MAX = 10_001
"""Of one container at once: one more than anybody is shown tells that there are more."""
LOGS_BYTES_MAX = 8 * 1024**2
"""Of one container at once: when lines are left out for it, those that stay have more."""


class EngineError(Exception):
    """The engine failed; `retryable` tells whether a later try of the same may do."""

    def __init__(self, fault: Fault, reason: str) -> None:
        super().__init__(reason)
        self.fault = fault
        self.reason = reason

    @property
    def retryable(self) -> bool:
        return self.fault in ("unavailable", "timeout", "no_resources")

    @property
    def silent(self) -> bool:
        """No answer came: the outcome is unknown, and the next call may hang as well."""
        return self.fault in ("unavailable", "timeout")


Guard = Callable[[], None]
Tell = Callable[[PullProgress], None]


def no_guard() -> None:
    """Nothing stands in the way."""


def tell_nobody(progress: PullProgress) -> None:
    """Nobody looks how far a pull is."""


class Engine(Protocol):
    """Every method is idempotent, bounded in time and raises only EngineError.

    A container without our labels, or of another cluster, is never touched.
    """

    def observe(self, cluster_id: str) -> Sequence[Container]:
        """All containers of this cluster, running or not."""

    def run(self, request: RunRequest, *, guard: Guard = no_guard) -> Container:
        """Start the replica, or return the one that already runs under this identity.

        `guard` is called before each step that changes something, and may raise: a start
        that was held up must not go on for a leader whose time is over.

        An exited container of the same identity is removed first; that of a `run` is returned,
        since it must not run twice. Raises `image_missing` when the image is not on this host:
        nothing is pulled for it.
        """

    def image(self, name: str) -> Image | None:
        """The image on this host that a name, a digest or an id stands for; None without."""

    def pull(
        self, order: PullOrder, *, guard: Guard = no_guard, tell: Tell = tell_nobody
    ) -> Image:
        """Fetch an image from its registry.

        `guard` is called before it and at each sign of progress; when it raises, the pull
        ends. Raises `image_missing`, `unauthorized`, `registry_down` or `no_resources` with what
        to do about it, never with the password; `timeout` by the order's limits.
        """

    def stored_images(self) -> Sequence[StoredImage]:
        """All images on this host, whoever brought them, but those that are only parts."""

    def remove_image(self, image_id: str) -> bool:
        """Remove an image from this host; already gone is a success.

        False when it stays: a container is made from it, running or not, or another image, or
        it has several names.
        """

    def stop(self, container_id: str, *, grace_s: int) -> None:
        """SIGTERM, `grace_s`, SIGKILL, remove; already gone is a success. 0 kills at once."""

    def volumes(self, cluster_id: str, *, sizes: bool = False) -> Sequence[Volume]:
        """All volumes of this cluster, by name; `sizes` may take long, up to 30 s."""

    def remove_volume(self, cluster_id: str, name: str, *, guard: Guard = no_guard) -> None:
        """Remove a volume of this cluster; already gone is a success.

        Raises `rejected` while a container has it, and when it is another's. `guard` is called
        right before it.
        """

    def logs(self, container_id: str, *, tail: int, since_ns: int = 0) -> Sequence[LogLine]:
        """The last lines, oldest first, at most LOG_LINES_MAX.

        Of more than LOGS_BYTES_MAX the oldest are left out. Raises `gone` when there is no
        such container.
        """

    def follow(
        self, container_id: str, *, since_ns: int, stop: threading.Event
    ) -> Iterator[LogLine]:
        """Lines later than `since_ns`, as they are written.

        Ends when the container has ended, or is gone, and all was read; within 0.5 s of
        `stop`; with EngineError when the stream breaks off. The lines of one stream come in
        the order in which they were written, and those of one time all or not at all.
        """

    def execute(self, container_id: str, order: ExecOrder) -> Execution:
        """Begin a command in a container that runs; the one call that, repeated, does it twice.

        Whoever gets it has to close its `sock`. A command that cannot begin ends with 126 or 127,
        and with the reason in its output. Raises `gone`, and `rejected` for one that does not run.
        """

    def usage(self, container_ids: Sequence[str]) -> Sequence[Usage]:
        """Counters of those that run; one that cannot be read is missing, never zero.

        Takes 2 s at most as a whole; raises when the engine does not answer at all.
        """

    def ping(self) -> None:
        """Nothing, at little cost; raises when the daemon is down."""

    def info(self) -> EngineInfo:
        """The host's size, at some cost to it; raises when the daemon is down."""

    def events(self, cluster_id: str, stop: threading.Event) -> Iterator[EngineEvent]:
        """Block and yield hints until `stop`; reconnects by itself, saying lost, connected."""
