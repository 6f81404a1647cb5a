"""Usage of containers: from cgroup files where they are on this host, else from Docker's API."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from typing import Any

from cluster.engine.base import EngineError, Usage
from cluster.engine.cgroups import Cgroups
from cluster.engine.docker_api import ApiRefusal, DockerApi

WHOLE_S = 2.0
"""A container whose answer has not come by then is missing in this round."""
PARALLEL = 100
"""Docker answers with its next measurement, up to a second later: calls wait, they do not work."""


class UsageReader:
    """Measures containers; thread-safe as long as one thread calls `read` at a time."""

    def __init__(self, api: DockerApi, cgroups: Cgroups | None = None) -> None:
        self._api = api
        self._cgroups = cgroups or Cgroups()
        self._host: tuple[int, int] | None = None
        self._cores: dict[str, float] = {}
        self._asking: set[str] = set()
        self._answered_s: dict[str, float] = {}
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(PARALLEL, "usage")

    def read(self, container_ids: Sequence[str]) -> Sequence[Usage]:
        """Counters of those that run.

        Raises:
            EngineError: Docker does not answer at all.
        """
        if self._host is None:
            info = self._api.call("info")
            self._host = int(info["NCPU"]), int(info["MemTotal"])
        cpus, memory_bytes = self._host
        wanted = frozenset(container_ids)
        self._cgroups.keep_only(wanted)
        with self._lock:
            for known in (self._cores, self._answered_s):
                for gone in known.keys() - wanted:
                    del known[gone]
        found, left = [], []
        for container_id in container_ids:
            one = self._cgroups.read(container_id, cpus=cpus, memory_bytes=memory_bytes)
            if one is not None:
                found.append(one)
            else:
                left.append(container_id)
        return [*found, *self._through_api(left, cpus)] if left else found

    def _through_api(self, container_ids: Sequence[str], cpus: int) -> list[Usage]:
        with self._lock:  # one that hangs since an earlier round is not asked for again
            # Those that waited longest come first: all have their turn, however many there are.
            free = sorted((i for i in container_ids if i not in self._asking),
                          key=lambda i: self._answered_s.get(i, 0.0))
            self._asking.update(free)
        jobs = [self._pool.submit(self._ask, i, cpus) for i in free]
        done, pending = wait(jobs, WHOLE_S)
        for job, container_id in zip(jobs, free, strict=True):
            if job in pending and job.cancel():
                with self._lock:
                    self._asking.discard(container_id)
        errors = [job.exception() for job in done if job.exception() is not None]
        found = [one for job in done if job.exception() is None
                 and (one := job.result()) is not None]
        silent = [e for e in errors if isinstance(e, EngineError) and e.retryable]
        if silent and not found:
            raise silent[0]
        return found

    def _ask(self, container_id: str, cpus: int) -> Usage | None:
        """One container; None when it does not run, or its answer means nothing."""
        try:
            answer = self._api.call("stats", container_id, stream=False, one_shot=True)
            with self._lock:
                cores = self._cores.get(container_id)
            if cores is None:
                config = self._api.call("inspect_container", container_id)["HostConfig"]
                cores = cores_of(config, cpus)
                with self._lock:
                    self._cores[container_id] = cores
        except ApiRefusal:
            return None
        finally:
            with self._lock:
                self._asking.discard(container_id)
        with self._lock:
            self._answered_s[container_id] = time.monotonic()
        return usage_of(container_id, answer, cores)

    def close(self) -> None:
        """Ask nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def cores_of(config: Mapping[str, Any], cpus: int) -> float:
    """The CPU limit in the HostConfig of a container, at most the host's; pure."""
    if config.get("NanoCpus"):
        return min(float(config["NanoCpus"]) / 1e9, cpus)
    quota, period = config.get("CpuQuota") or 0, config.get("CpuPeriod") or 100_000
    return min(quota / period, cpus) if quota > 0 else float(cpus)


def usage_of(container_id: str, answer: Mapping[str, Any], cores: float) -> Usage | None:
    """From an answer of `GET /containers/{id}/stats`; None when it means nothing; pure.

    A container that has just ended is answered with zeros and a time of year 1.
    """
    try:
        at = datetime.fromisoformat(_micro(answer["read"]))
        used_ns = int(answer["cpu_stats"]["cpu_usage"]["total_usage"])
        memory = answer["memory_stats"]
        pages = memory["stats"]
        cache = int(pages["total_inactive_file" if "total_inactive_file" in pages
                          else "inactive_file"])
        size, limit = int(memory["usage"]) - cache, int(memory["limit"])
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    if at.year < 2000 or used_ns < 0 or size < 0 or limit <= 0:
        return None
    return Usage(container_id, at.timestamp(), used_ns / 1e9, cores, size, limit, "engine")


def _micro(text: str) -> str:
    """Docker writes up to nine digits, and leaves zeros at the end out; Python takes six."""
    head, _, rest = text.partition(".")
    digits = rest.rstrip("Z")
    return f"{head}.{digits[:6]:0<6}+00:00" if rest else text
