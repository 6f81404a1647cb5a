"""DockerEngine: replicas as containers of one Docker daemon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from cluster.engine.base import (
    LOG_LINES_MAX,
    Container,
    EngineError,
    EngineEvent,
    EngineInfo,
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
from cluster.engine.docker_api import NAME_POLL_S, ApiRefusal, DockerApi, DockerTls
from cluster.engine.docker_events import EventStream
from cluster.engine.docker_exec import execute
from cluster.engine.docker_files import ContainerFiles, context_archive
from cluster.engine.docker_format import (
    LABEL_CLUSTER,
    LABEL_EPOCH,
    LABEL_FILES_OF,
    Details,
    cluster_filter,
    container,
    container_config,
    details,
    engine_info,
    identity_labels,
    listed_details,
    number,
    one_per_identity,
)
from cluster.engine.docker_hanging import Hanging
from cluster.engine.docker_images import DockerImages
from cluster.engine.docker_log_api import LogFollow, last_lines
from cluster.engine.docker_network import ClusterNetworks, is_about_addresses, must_be_possible
from cluster.engine.docker_purge import purge
from cluster.engine.docker_usage import UsageReader
from cluster.engine.docker_volumes import DockerVolumes
from cluster.engine.execution import ExecOrder, Execution


class DockerEngine:
    """The Engine protocol on Docker's API.

    `network` is the bridge network to create and use, by default `orchestry-<cluster>`;
    `subnet` (CIDR) fixes its addresses. `base_url` None follows DOCKER_HOST; `tls` holds for
    tcp://. Calls end after `timeout_s` and their grace, pulls and builds later. Thread-safe.
    """

    def __init__(
        self,
        network: str | None = None,
        *,
        base_url: str | None = None,
        timeout_s: float = 10,
        subnet: str | None = None,
        tls: DockerTls | None = None,
        serves: Callable[[], str] = str,
    ) -> None:
        """`serves` tells whose containers are ours, "" while that is not known."""
        self._api = DockerApi(base_url, timeout_s, tls)
        self._networks = ClusterNetworks(self._api, network, subnet)
        self._usage = UsageReader(self._api)
        self._volumes = DockerVolumes(self._api)
        self._files = ContainerFiles(self._api)
        self._images = DockerImages(self._api)
        self._lock = threading.Lock()
        self._known: dict[str, Details] = {}
        self._hanging = Hanging()
        self._owned: set[str] = set()
        self._helpers: dict[str, str] = {}
        """Container -> the one that fills it, as last observed."""
        self._clusters: set[str] = set()
        self._serves = serves

    def observe(self, cluster_id: str) -> Sequence[Container]:
        """All containers of this cluster; only those that changed are inspected."""
        filters = cluster_filter(cluster_id)
        listed = self._api.call("containers", all=True, filters=filters)
        self._clusters.add(cluster_id)
        keys = {item["Id"]: f"{item['Id']} {item['State']}" for item in listed}
        with self._lock:
            known = {key: self._known[key] for key in keys.values() if key in self._known}
        changed = [
            item["Id"] for item in listed
            if keys[item["Id"]] not in known and item["State"] != "created"
        ]
        for container_id, state in self._hanging.look(self._state, changed):
            keys[container_id] = f"{container_id} {state['Status']}"
            known[keys[container_id]] = details(state)
        with self._lock:
            self._known = known
            self._owned = set(keys)
            self._helpers = {item["Labels"][LABEL_FILES_OF]: item["Id"] for item in listed
                             if LABEL_FILES_OF in item["Labels"]}
        found = [
            container(
                item["Id"], item["Names"][0], labels=item["Labels"], status=item["State"],
                networks=item["NetworkSettings"]["Networks"],
                network_id=item["HostConfig"]["NetworkMode"],
                details=known.get(keys[item["Id"]]) or listed_details(item),
                unproven=item["Id"] in self._helpers
                and not self._files.is_busy(item["Names"][0].removeprefix("/")),
            )
            for item in listed if item["Names"] and LABEL_FILES_OF not in item["Labels"]
        ]
        return one_per_identity(cluster_id, [one for one in found if one is not None])

    def run(self, request: RunRequest, *, guard: Guard = no_guard) -> Container:
        """Create and start at once; what is missing or in the way is seen to on refusal."""
        self._clusters.add(request.cluster_id)
        name = container_name(
            request.cluster_id, request.app, request.revision, request.slot, request.run
        )
        if not request.files:
            return self._run(request, name, guard)
        with self._files.alone(name):
            return self._run(request, name, guard)

    def _run(self, request: RunRequest, name: str, guard: Guard) -> Container:
        deadline_s = time.monotonic() + self._api.timeout_s
        while True:
            try:
                return self._create_and_start(request, name, guard)
            except ApiRefusal as error:
                if error.fault == "image_missing":
                    raise
                guard()
                running = self._remedy(error, request, name, guard)
                if running is not None:
                    return running
                if time.monotonic() > deadline_s:
                    reason = f"{name} keeps changing under our hands: {error.reason}"
                    raise EngineError("timeout", reason) from error

    def stop(self, container_id: str, *, grace_s: int) -> None:
        """Stop and remove; refuses a container of no cluster that this engine serves."""
        try:
            if not self._is_ours(container_id):
                raise EngineError("rejected", f"container {container_id[:12]} is not ours")
            if grace_s > 0:
                self._api.call("stop", container_id, timeout=grace_s)
            if container_id in self._helpers:
                self._api.remove_container(self._helpers[container_id])
            self._api.remove_container(container_id)
        except ApiRefusal as error:
            if error.status != 404:
                raise

    def volumes(self, cluster_id: str, *, sizes: bool = False) -> Sequence[Volume]:
        """All volumes of this cluster."""
        return self._volumes.all(cluster_id, sizes=sizes)

    def remove_volume(self, cluster_id: str, name: str, *, guard: Guard = no_guard) -> None:
        """Remove a volume of this cluster."""
        self._volumes.remove(cluster_id, name, guard)

    def logs(self, container_id: str, *, tail: int, since_ns: int = 0) -> Sequence[LogLine]:
        """The last lines, oldest first."""
        if tail <= 0:
            return ()
        self._must_be_ours(container_id)
        return last_lines(
            self._api, container_id, tail=min(tail, LOG_LINES_MAX), since_ns=since_ns)

    def follow(
        self, container_id: str, *, since_ns: int, stop: threading.Event
    ) -> Iterator[LogLine]:
        """Lines later than `since_ns`, as they are written."""
        try:
            self._must_be_ours(container_id)
        except EngineError as error:
            if error.fault == "gone":
                return
            raise

        def runs() -> bool:
            state = self._state(container_id)
            return state is not None and bool(state["Running"])

        yield from LogFollow(self._api, container_id, since_ns, runs).read(stop)

    def execute(self, container_id: str, order: ExecOrder) -> Execution:
        """Begin a command in a container."""
        self._must_be_ours(container_id)
        return execute(self._api, container_id, order)

    def usage(self, container_ids: Sequence[str]) -> Sequence[Usage]:
        """Counters of those that run."""
        return self._usage.read(container_ids)

    def ping(self) -> None:
        """It answers."""
        self._api.call("ping")

    def info(self) -> EngineInfo:
        """The host's size."""
        return engine_info(self._api.call("info"))

    def events(self, cluster_id: str, stop: threading.Event) -> Iterator[EngineEvent]:
        """Hints until `stop`; each also makes observe() look at its container again."""
        self._clusters.add(cluster_id)
        for hint in EventStream(self._api, cluster_id).read(stop):
            with self._lock:
                if hint.kind == "connected":
                    self._known = {}
                else:
                    for key in [k for k in self._known if k.startswith(f"{hint.container_id} ")]:
                        del self._known[key]
            yield hint

    def build_image(self, tag: str, context: Mapping[str, bytes | tuple[bytes, int]]) -> str:
        """Build from files in memory, path to content or (content, mode); returns the id."""
        return self._api.build(tag, context_archive(context))

    def image(self, name: str) -> Image | None:
        """The image on this host."""
        return self._images.look(name)

    def pull(
        self, order: PullOrder, *, guard: Guard = no_guard, tell: Tell = tell_nobody
    ) -> Image:
        """Fetch an image."""
        return self._images.pull(order, guard=guard, tell=tell)

    def stored_images(self) -> Sequence[StoredImage]:
        """All images on this host."""
        return self._images.stored()

    def remove_image(self, image_id: str) -> bool:
        """Remove an image that nothing uses."""
        return self._images.remove(image_id)

    def purge(self, cluster_id: str) -> None:
        """Remove everything of a cluster: containers, volumes, network."""
        purge(self._api, self._volumes, cluster_id)
        self._networks.forget(cluster_id)

    def network_id(self, cluster_id: str) -> str:
        """The cluster's network, created when it is missing."""
        return self._networks.id_of(cluster_id)

    def close(self) -> None:
        """Close idle connections; the engine stays usable."""
        self._api.close()

    def _create_and_start(self, request: RunRequest, name: str, guard: Guard) -> Container:
        self._volumes.ensure(request, guard)
        guard()
        network_id = self.network_id(request.cluster_id)
        address = self._networks.some_address(network_id) if request.address_in else ""
        config = container_config(request, network_id, address)
        created = self._api.call("create_container_from_config", config, name)
        container_id = created["Id"]
        with self._lock:
            self._owned.add(container_id)
        if request.files:
            self._start_with_files(container_id, request, name, guard)
        else:
            guard()
            self._start(container_id)
        return self._inspected(container_id)

    def _start_with_files(
        self, container_id: str, request: RunRequest, name: str, guard: Guard
    ) -> None:
        """Start it with its files; one that may be without them is removed, unless it is a run."""
        try:
            self._files.start(container_id, name, request, guard)
        except EngineError as error:
            # A run may have begun, which observations tell; none does at an address that is taken.
            if not request.run or is_about_addresses(error):
                self._api.remove_container(container_id)
            raise

    def _remedy(
        self, error: ApiRefusal, request: RunRequest, name: str, guard: Guard
    ) -> Container | None:
        """Make a refused run possible; returns the replica if it runs already."""
        text = error.reason.lower()
        if error.status == 409 and "name" in text:
            return self._settle(request, name, guard)
        if error.status == 404 and "network" in text:
            self._networks.forget(request.cluster_id)
        elif request.address_in and is_about_addresses(error):
            must_be_possible(error)
        elif "no such container" not in text and "marked for removal" not in text:
            raise error  # those two: somebody removed it between create and start
        return None

    def _settle(self, request: RunRequest, name: str, guard: Guard) -> Container | None:
        """The name is taken: by this very replica, by its remains, or by a stranger."""
        try:
            found = self._api.call("inspect_container", name)
            labels = found["Config"]["Labels"] or {}
            epoch = number(labels.get(LABEL_EPOCH, "0"))
            if not identity_labels(request).items() <= labels.items() or epoch is None:
                raise EngineError("name_taken", f"a container that is not ours is named {name}")
            if request.run and request.files:
                if found["State"]["Status"] == "created":
                    self._start_with_files(found["Id"], request, name, guard)
                return self._inspected(found["Id"])
            earlier = epoch < request.epoch
            if found["State"]["Status"] == "created" and (
                    request.run or not earlier) and not request.files:
                # A parallel caller may be about to start it: removing it would start a fight.
                # One of an earlier epoch may not, and its guard keeps it from that.
                with suppress(ApiRefusal):  # it is removed then, and made anew
                    self._start(found["Id"])
            # A helper that is left tells of a start that nobody ended.
            doubtful = bool(request.files) and self._files.drop(name)
            there = self._inspected(found["Id"])
            if (there.phase == "running" and not doubtful) or (
                    request.run and there.phase == "exited"):
                return there
            self._api.remove_container(there.id)
        except ApiRefusal as error:
            if error.status != 404:
                raise
            time.sleep(NAME_POLL_S)  # reserved by a call under way, or just removed
        return None

    def _start(self, container_id: str) -> None:
        """Start it; a container that Docker refuses to start is removed."""
        try:
            self._api.call("start", container_id)
        except ApiRefusal:
            self._api.remove_container(container_id)
            raise

    def _inspected(self, container_id: str) -> Container:
        found = self._api.call("inspect_container", container_id)
        state = found["State"]
        one = container(
            found["Id"], found["Name"], labels=found["Config"]["Labels"],
            status=state["Status"], networks=found["NetworkSettings"]["Networks"],
            network_id=found["HostConfig"]["NetworkMode"], details=details(state),
        )
        if one is None:
            raise EngineError("rejected", f"{found['Name']} has lost its labels")
        with self._lock:
            self._owned.add(one.id)
            self._known[f"{one.id} {state['Status']}"] = details(state)
        return one

    def _state(self, container_id: str) -> dict[str, Any] | None:
        try:
            found = self._api.call("inspect_container", container_id)
        except ApiRefusal as error:
            if error.status == 404:
                return None
            raise
        state: dict[str, Any] = found["State"]
        return state

    def _must_be_ours(self, container_id: str) -> None:
        try:
            if self._is_ours(container_id):
                return
        except ApiRefusal as error:
            raise gone(container_id) if error.status == 404 else error from error
        raise EngineError("rejected", f"container {container_id[:12]} is not ours")

    def _is_ours(self, container_id: str) -> bool:
        with self._lock:
            if container_id in self._owned:
                return True
        found = self._api.call("inspect_container", container_id)
        label = (found["Config"]["Labels"] or {}).get(LABEL_CLUSTER)
        return label is not None and label in {*self._clusters, self._serves()}
