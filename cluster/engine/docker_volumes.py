"""Volumes of applications on a Docker daemon: made, listed and removed, by their labels."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from cluster.engine.base import EngineError, Guard, RunRequest, Volume
from cluster.engine.docker_api import ApiRefusal, DockerApi
from cluster.engine.docker_format import LABEL_APP, LABEL_CLUSTER, cluster_filter, unix_ns

SIZES_SILENCE_S = 30.0
"""Docker walks through every volume of the host before it says a word."""
SIZES_BYTES_MAX = 32 * 1024**2
_COUNTS = "already running"
_PAUSE_S = 0.1


class DockerVolumes:
    """What of the Engine protocol is about volumes."""

    def __init__(self, api: DockerApi) -> None:
        self._api = api
        self._counting = threading.Lock()

    def ensure(self, request: RunRequest, guard: Guard) -> None:
        """Make those that the replica mounts and that are not there; never another app's."""
        labels = {LABEL_CLUSTER: request.cluster_id, LABEL_APP: request.app}
        for name in sorted({mount.volume for mount in request.mounts}):
            guard()
            volume = self._api.call("create_volume", name, labels=labels)
            if not labels.items() <= (volume["Labels"] or {}).items():
                raise EngineError(
                    "rejected",
                    f"volume {name} exists and is not this app's: rename it in `spec.volumes`, "
                    f"or remove the old one with `docker volume rm {name}`",
                )

    def all(self, cluster_id: str, *, sizes: bool) -> Sequence[Volume]:
        """Those of a cluster by name, with the names of all containers that mount them."""
        found = self._listed(cluster_filter(cluster_id))
        users: dict[str, list[str]] = {}
        if found:
            for item in self._api.call("containers", all=True):
                for mount in item.get("Mounts") or ():
                    if mount.get("Type") == "volume" and item["Names"]:
                        users.setdefault(mount.get("Name", ""), []).append(
                            item["Names"][0].removeprefix("/"))
        bytes_of = self._sizes() if found and sizes else {}
        return sorted((
            Volume(
                item["Name"], item["Labels"].get(LABEL_APP, ""),
                created_at_ms=unix_ns(item.get("CreatedAt") or "") // 1_000_000,
                used_by=tuple(sorted(users.get(item["Name"], ()))),
                size_bytes=bytes_of.get(item["Name"]),
            )
            for item in found
        ), key=lambda volume: volume.name)

    def remove(self, cluster_id: str, name: str, guard: Guard) -> None:
        """Remove one of the cluster's; already gone is a success."""
        try:
            labels = self._api.call("inspect_volume", name)["Labels"] or {}
            if labels.get(LABEL_CLUSTER) != cluster_id:
                raise EngineError("rejected", f"volume {name} is not this cluster's")
            guard()
            self._api.call("remove_volume", name)
        except ApiRefusal as error:
            if error.status != 404:
                raise

    def purge(self, cluster_id: str) -> bool:
        """Remove all of a cluster; whether there was one."""
        listed = self._listed(cluster_filter(cluster_id))
        for item in listed:
            try:
                self._api.call("remove_volume", item["Name"])
            except ApiRefusal as error:
                if error.status != 404:
                    raise
        return bool(listed)

    def _listed(self, filters: Mapping[str, Any]) -> list[dict[str, Any]]:
        return self._api.call("volumes", filters=filters)["Volumes"] or []

    def _sizes(self) -> dict[str, int]:
        """Bytes by name; Docker counts them file by file, and says -1 where it cannot."""
        deadline_s = time.monotonic() + SIZES_SILENCE_S
        if not self._counting.acquire(timeout=SIZES_SILENCE_S):
            raise _busy()
        try:
            body = self._counted(deadline_s)
        finally:
            self._counting.release()
        if len(body) > SIZES_BYTES_MAX:
            raise EngineError("rejected", "Docker's answer about sizes is too long")
        found = {}
        for item in json.loads(body).get("Volumes") or ():
            size = (item.get("UsageData") or {}).get("Size", -1)
            if size >= 0:
                found[item["Name"]] = size
        return found

    def _counted(self, deadline_s: float) -> bytes:
        """Docker does one at a time, and refuses while it does so for another program."""
        while True:
            try:
                with self._api.stream(
                    "GET", "/system/df", {"type": "volume"}, silence_s=SIZES_SILENCE_S
                ) as response:
                    return bytes(response.raw.read(SIZES_BYTES_MAX + 1, decode_content=True))
            except ApiRefusal as error:
                if _COUNTS not in error.reason:
                    raise
                if time.monotonic() > deadline_s:
                    raise _busy() from error
                time.sleep(_PAUSE_S)


def _busy() -> EngineError:
    return EngineError("timeout", "Docker counts sizes for others still")
