"""The cluster's own bridge network on the Docker host."""

from __future__ import annotations

import ipaddress
import random
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from cluster.engine.base import EngineError
from cluster.engine.docker_api import ApiRefusal, DockerApi
from cluster.engine.docker_format import LABEL_CLUSTER, LABEL_SHARED

NO_ADDRESSES: Final = (
    "instance.ip: the cluster's network was made without a subnet, so Docker promises nobody an "
    "address there: make it again with one (docker network create --subnet), or set DOCKER_SUBNET")
RANGE_TRIES: Final = 3
SMALL: Final = 16
HOSTS_MAX: Final = 2**16
_TAKEN, _NEVER = "address already in use", "user specified ip address"


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
            try:
                if self._subnet:
                    self._create(name, cluster_id, self._subnet)
                else:
                    self._create_anywhere(name, cluster_id)
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

    def _create(self, name: str, cluster_id: str, subnet: str = "") -> None:
        ipam = {"Driver": "default", "Config": [{"Subnet": subnet}]}
        self._api.call(
            "create_network", name, driver="bridge", labels={LABEL_CLUSTER: cluster_id},
            ipam=ipam if subnet else None, check_duplicate=True)

    def _create_anywhere(self, name: str, cluster_id: str) -> None:
        """A range of Docker's choice, but named: Docker promises addresses in no other.

        Which one it would choose, a network tells that goes again at once.
        """
        for _ in range(RANGE_TRIES):
            probe = f"{name}-range"
            try:
                self._create(probe, cluster_id)
                subnet = self._subnet_of(probe)
                self._api.call("remove_network", probe)
                return self._create(name, cluster_id, subnet)
            except ApiRefusal as error:
                if error.status == 409 and self._find(name, cluster_id):
                    return None
                # Taken by somebody meanwhile, or left by one who died here.
                with suppress(ApiRefusal):
                    self._api.call("remove_network", probe)
        return self._create(name, cluster_id)

    def _subnet_of(self, network: str) -> str:
        """The IPv4 range of a network; empty when it has none."""
        configs = self._api.call("inspect_network", network)["IPAM"]["Config"] or ()
        subnets = [one.get("Subnet", "") for one in configs]
        return next((one for one in subnets if "." in one), "")

    def some_address(self, network_id: str) -> str:
        """An address that may be free, rather one that Docker gives away last.

        Raises `rejected` when the network has none.
        """
        subnet = self._subnet_of(network_id)
        if not subnet:
            raise EngineError("rejected", NO_ADDRESSES)
        whole = ipaddress.IPv4Network(subnet)
        size = min(whole.num_addresses, HOSTS_MAX)
        first = size // 2 if size > SMALL else 1
        return str(whole[random.randrange(first, size - 1)])  # noqa: S311 - nothing secret

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


def is_about_addresses(error: EngineError) -> bool:
    """Whether a container did not start because of the address that was asked for."""
    return any(sign in error.reason.lower() for sign in (_TAKEN, _NEVER))


def must_be_possible(error: ApiRefusal) -> None:
    """Raise `rejected` when no other address would do on that network."""
    if _NEVER in error.reason.lower():
        raise EngineError("rejected", NO_ADDRESSES) from error
