"""Hosts: what the machines of the controllers have and use."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import psutil

from api import relay
from api.controller import Controller
from cluster.live.relay_mark import RelayMark

PATH = "/cluster/host"
MEASURED_S = 1.0
ASK_S = 1.0
PARALLEL_MAX = 4
_GB = 1024**3


class Hosts:
    """This controller's own machine, and the others by asking their controllers.

    CPU is a mean over the time since the last measurement, a second at least.
    """

    def __init__(self, controller: Controller, mark: RelayMark) -> None:
        self._controller = controller
        self._mark = mark
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._cpu_percent: float | None = None
        self._cpu_s = time.monotonic()
        psutil.cpu_percent()  # the mean begins here

    def own(self) -> dict[str, Any]:
        """The `system` of the contract, of this machine."""
        memory, disk = psutil.virtual_memory(), psutil.disk_usage("/")
        controller = self._controller
        docker = controller.components()["docker"]
        return {
            "cpu_percent": self._cpu(),
            "memory_used_gb": round((memory.total - memory.available) / _GB, 2),
            "memory_total_gb": round(memory.total / _GB, 2),
            "disk_used_gb": round(disk.used / _GB, 2), "disk_total_gb": round(disk.total / _GB, 2),
            "containers_running": docker.extra.get("containers_running"),
            "containers_total": sum(
                len(app.reports) for app in controller.log.state().apps.values()),
        }

    def _cpu(self) -> float | None:
        with self._lock:
            now_s = time.monotonic()
            if now_s - self._cpu_s >= MEASURED_S:
                self._cpu_percent, self._cpu_s = psutil.cpu_percent(), now_s
            return self._cpu_percent

    def all(self) -> dict[str, dict[str, Any] | None]:
        """By controller; None for one that does not answer within a second."""
        controller = self._controller
        urls = {node: info.api_url for node, info in controller.log.state().controllers.items()
                if node != controller.id}
        with self._lock:
            if self._pool is None and urls:
                self._pool = ThreadPoolExecutor(PARALLEL_MAX, "hosts")
            pool = self._pool
        found: dict[str, dict[str, Any] | None] = {controller.id: self.own()}
        if pool is not None:
            found |= zip(urls, pool.map(self._ask, urls.values()), strict=True)
        return dict(sorted(found.items()))

    def of(self, node: str) -> dict[str, Any] | None:
        """One controller's machine; None when it does not answer."""
        controller = self._controller
        if node == controller.id:
            return self.own()
        info = controller.log.state().controllers.get(node)
        return None if info is None else self._ask(info.api_url)

    def _ask(self, url: str) -> dict[str, Any] | None:
        found = relay.fetch(f"{url}{PATH}", {}, self._mark, self._controller.identity,
                            timeout_s=ASK_S)
        if found is None or found[0] != 200:
            return None
        try:
            system: Mapping[str, Any] = orjson.loads(found[2])["system"]
            return dict(system)
        except (ValueError, KeyError, TypeError):
            return None
