"""What the fake engine knows of its containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from cluster.engine.base import Container, Fault, RunRequest
from cluster.engine.fake_log import FakeLog

IDLE_BYTES = 4 * 1024**2


@dataclass(frozen=True, slots=True)
class ImageBehaviour:
    """What containers of an image do."""

    missing: bool = False
    crash_after_s: float | None = None
    healthy: bool = True
    start_latency_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Effect:
    """One thing that happened to a container; `identity` is its name."""

    at_s: float
    verb: Literal["run", "stop", "remove"]
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
    cpu_s: float = 0.0
    cpu_cores: float = 0.0
    memory_bytes: int = IDLE_BYTES
    log: FakeLog = field(default_factory=FakeLog)


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """What the next call meets."""

    fault: Fault
    reason: str
    after_effect: bool
