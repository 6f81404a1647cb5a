"""The cluster's own bridge network on the Docker host."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from cluster.engine.base import EngineError
from cluster.engine.docker_api import ApiRefusal, DockerApi
from cluster.engine.docker_format import LABEL_CLUSTER, LABEL_SHARED


class ClusterNetworks:
    """Finds or creates a cluster's network and remembers its id; thread-safe.

    `name` None stands for `orchestry-<cluster>`, `subnet` None for a range of Docker's choice.
    A network of that name that others made is used when it is labelled as shared.
    """

    def __init__(self, api: DockerApi, name: str | None, subnet: str | None) -> None:
        self._api = api
        self._name = name
        self._subnet = subnet
        self._ids: dict[str, str] = {}
        self._lock = threading.Lock()

    def id_of(self, cluster_id: str) -> str:
        """The network's id; raises `rejected` when its name is another's."""
        known = self._ids.get(cluster_id)
        if known:
            return known
        with self._lock:  # the daemon itself would create two of one name
            if cluster_id not in self._ids:
                self._ids[cluster_id] = self._made(cluster_id)
            return self._ids[cluster_id]

    def forget(self, cluster_id: str) -> None:
        """The network is gone: look for it again, or create it, when it is asked for."""
        self._ids.pop(cluster_id, None)

    def _made(self, cluster_id: str) -> str:
        name = self._name or f"orchestry-{cluster_id[:8]}"
        found = self._find(name, cluster_id)
        if found is None:
            ipam = {"Driver": "default", "Config": [{"Subnet": self._subnet}]}
            try:
                self._api.call(
                    "create_network", name, driver="bridge", labels={LABEL_CLUSTER: cluster_id},
                    ipam=ipam if self._subnet else None, check_duplicate=True,
                )
            except ApiRefusal as error:
                if error.fault == "no_resources":
                    reason = f"network {name}: {error.reason}; set DOCKER_SUBNET to a free range"
                    raise EngineError("no_resources", reason) from error
                if error.status != 409:  # 409: created by another controller meanwhile
                    raise
            found = self._find(name, cluster_id)
        if found is None:
            raise EngineError("timeout", f"network {name} keeps changing under our hands")
        return found

    def _find(self, name: str, cluster_id: str) -> str | None:
        """The oldest network of ours: two daemon calls at once can create two of one name."""
        named = [n for n in self._api.call("networks", names=[name]) if n["Name"] == name]
        ours = [n for n in named if _usable(n["Labels"] or {}, cluster_id)]
        if named and not ours:
            raise EngineError(
                "rejected",
                f"network {name} exists and is not this cluster's: remove it, set "
                "DOCKER_NETWORK to another name, or create it with the label "
                f"{LABEL_SHARED}=true",
            )
        return min(((n["Created"], n["Id"]) for n in ours), default=(None, None))[1]


def _usable(labels: Mapping[str, str], cluster_id: str) -> bool:
    """Ours, or given to us; one that was given is never removed by us."""
    return labels.get(LABEL_CLUSTER) == cluster_id or labels.get(LABEL_SHARED) == "true"
