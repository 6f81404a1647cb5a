"""purge: everything of a cluster leaves a host."""

from __future__ import annotations

import time

from cluster.engine.docker_api import ApiRefusal, DockerApi, in_parallel
from cluster.engine.docker_format import LABEL_INGRESS, cluster_filter
from cluster.engine.docker_volumes import DockerVolumes

TRIES = 10
PAUSE_S = 0.5
_GONE = 404
_IN_USE = frozenset({403, 409})


def purge(api: DockerApi, volumes: DockerVolumes, cluster_id: str) -> None:
    """Remove containers, volumes and network until a look finds none.

    What a controller asked for before it was killed goes on in the daemon: its container may come
    after the first look, and is then in the network that is to go.

    Raises:
        EngineError: the daemon does not answer, or something that is not the cluster's uses what
            is.
    """
    for left in reversed(range(TRIES)):
        try:
            if not _once(api, volumes, cluster_id):
                return
        except ApiRefusal as error:
            if not left or error.status not in _IN_USE:
                raise
            time.sleep(PAUSE_S)


def _once(api: DockerApi, volumes: DockerVolumes, cluster_id: str) -> bool:
    """Whether there was anything."""
    filters, found = cluster_filter(cluster_id), False
    for owned in (filters, {"label": [f"{LABEL_INGRESS}={cluster_id}"]}):
        listed = api.call("containers", all=True, filters=owned)
        in_parallel(api.remove_container, [item["Id"] for item in listed])
        found = found or bool(listed)
    found = volumes.purge(cluster_id) or found
    for network in api.call("networks", filters=filters):
        found = True
        try:
            api.call("remove_network", network["Id"])
        except ApiRefusal as error:
            if error.status != _GONE:
                raise
    return found
