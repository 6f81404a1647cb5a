"""DockerIngressRunner: runs the ingress's container next to the replicas."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cluster.engine.base import EngineError
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_api import ApiRefusal, DockerApi
from cluster.engine.docker_format import LABEL_INGRESS

LABEL_SETTINGS = "orchestry.ingress.settings"


class DockerIngressRunner:
    """Containers on the network of `engine`'s cluster; raises only EngineError."""

    errors: tuple[type[Exception], ...] = (EngineError,)

    def __init__(
        self, engine: DockerEngine, cluster_id: str, *, base_url: str | None = None,
        timeout_s: float = 10,
    ) -> None:
        self._engine = engine
        self._cluster_id = cluster_id
        self._api = DockerApi(base_url, timeout_s)

    def image_exists(self, tag: str) -> bool:
        """Is the image on this host?"""
        return self._engine.image(tag) is not None

    def build_image(self, tag: str, context: Mapping[str, bytes]) -> None:
        """Build it from files in memory."""
        self._engine.build_image(tag, dict(context))

    def run(
        self, name: str, tag: str, *, ports: Mapping[int, tuple[str, int]],
        environment: Mapping[str, str],
    ) -> None:
        """Start it; one that runs with the same settings stays, any other is replaced."""
        network = self._engine.network_id(self._cluster_id)
        settings = json.dumps([network, tag, sorted(ports.items()), sorted(environment.items())])
        digest = hashlib.sha256(settings.encode()).hexdigest()
        there = self._inspected(name)
        if there is not None:
            if there["State"]["Running"] and there["Config"]["Labels"][LABEL_SETTINGS] == digest:
                return
            self.stop(name, grace_s=10)
        config = {
            "Image": tag,
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "Labels": {LABEL_INGRESS: self._cluster_id, LABEL_SETTINGS: digest},
            "ExposedPorts": {f"{port}/tcp": {} for port in ports},
            "HostConfig": {
                "NetworkMode": network,
                "PortBindings": {
                    f"{port}/tcp": [{"HostIp": address, "HostPort": str(published)}]
                    for port, (address, published) in ports.items()
                },
                "RestartPolicy": {"Name": "no"},
                "SecurityOpt": ["no-new-privileges:true"],
                "CapDrop": ["ALL"],
                "LogConfig": {
                    "Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"},
                },
            },
        }
        self._api.call("create_container_from_config", config, name)
        try:
            self._api.call("start", name)
        except EngineError:
            self._api.call("remove_container", name, force=True)
            raise

    def is_running(self, name: str) -> bool:
        """Does it run?"""
        there = self._inspected(name)
        return there is not None and bool(there["State"]["Running"])

    def stop(self, name: str, *, grace_s: int) -> None:
        """Stop and remove it; already gone is a success."""
        if self._inspected(name) is None:
            return
        try:
            self._api.call("stop", name, timeout=grace_s)
            self._api.call("remove_container", name, force=True)
        except ApiRefusal as error:
            if error.status != 404:
                raise

    def close(self) -> None:
        """Close idle connections."""
        self._api.close()

    def _inspected(self, name: str) -> dict[str, Any] | None:
        """The container as it is; EngineError when the name is another's."""
        try:
            found: dict[str, Any] = self._api.call("inspect_container", name)
        except ApiRefusal as error:
            if error.status == 404:
                return None
            raise
        if (found["Config"]["Labels"] or {}).get(LABEL_INGRESS) != self._cluster_id:
            raise EngineError("name_taken", f"a container {name} that is not this cluster's "
                                            "ingress exists: remove it")
        return found
