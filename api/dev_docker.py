"""Docker, as `orchestry dev` needs it: there at all, the demo image, and tidying up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from api import dev_demo
from api.dev_ingress import ContainerIngress
from api.dev_plan import DevError, Options
from cluster.engine.base import EngineError
from cluster.engine.docker import DockerEngine
from cluster.ingress.base import IngressError

STOP_GRACE_S = 10
STOPS_IN_PARALLEL = 16
DAEMON_TIMEOUT_S = 60
_DAEMON_SCRIPT = Path(__file__).parent.parent / "tools" / "dockerd.sh"


class DevDocker:
    """A Docker daemon that answers: the one that is there, else one started for this run."""

    def __init__(self) -> None:
        """Connect to Docker.

        Raises:
            DevError: no daemon answers and none can be started; the text says what to do.
        """
        self._engine = DockerEngine()
        self._started_daemon = False
        reason = self._unreachable()
        if reason and self._can_start_daemon():
            self._daemon("start")
            self._started_daemon = True
            reason = self._unreachable()
        if reason:
            self.close()
            raise DevError(f"{reason}; {_remedy(reason)}")

    def _unreachable(self) -> str:
        try:
            self._engine.info()
        except EngineError as error:
            return error.reason
        return ""

    @staticmethod
    def _can_start_daemon() -> bool:
        """Only where no service manager does: a container, a bare machine, and as root."""
        return (
            os.geteuid() == 0 and "DOCKER_HOST" not in os.environ and _DAEMON_SCRIPT.exists()
            and shutil.which("dockerd") is not None)

    @staticmethod
    def _daemon(verb: str) -> None:
        try:
            done = subprocess.run(
                [_DAEMON_SCRIPT, verb], timeout=DAEMON_TIMEOUT_S, stdin=subprocess.DEVNULL,
                stdout=sys.stderr, check=False)
        except subprocess.TimeoutExpired as error:
            raise DevError(f"dockerd did not {verb} within {DAEMON_TIMEOUT_S} s") from error
        if done.returncode:
            raise DevError(f"dockerd could not {verb}; the reason is above")

    def ingress(self, options: Options, admin_port: int) -> ContainerIngress:
        """An ingress in a container; one that an earlier run left behind is removed.

        Raises:
            DevError: Docker refused.
        """
        try:
            found = ContainerIngress(
                self._engine, options.folder / "ingress", port=options.ingress_port,
                admin_port=admin_port)
            for cluster_id in cluster_ids(options.folder):
                found.stop_leftover(cluster_id)
        except (EngineError, IngressError) as error:
            raise DevError(f"the ingress container cannot be prepared: {error.reason}") from error
        return found

    def build_demo(self) -> None:
        """Build the image of the demo.

        Raises:
            DevError: it cannot be built, or its base cannot be pulled.
        """
        try:
            self._engine.build_image(dev_demo.IMAGE, dev_demo.context())
        except EngineError as error:
            hint = "" if dev_demo.static_busybox() else (
                "; with the package busybox-static on this machine nothing has to be pulled")
            raise DevError(f"its image cannot be built: {error.reason}{hint}") from error

    def stop_containers(self, folder: Path, *, hurry: bool) -> None:
        """Stop and remove the containers of the apps; volumes stay."""
        grace_s = 0 if hurry else STOP_GRACE_S
        try:
            for cluster_id in cluster_ids(folder):
                containers = self._engine.observe(cluster_id)
                with ThreadPoolExecutor(STOPS_IN_PARALLEL) as pool:
                    list(pool.map(
                        lambda item: self._engine.stop(item.id, grace_s=grace_s), containers))
        except EngineError as error:
            sys.stderr.write(f"orchestry dev: containers may be left: {error.reason}\n")

    def purge(self, folder: Path) -> None:
        """Remove containers, volumes and the network of the cluster in `folder`.

        Raises:
            DevError: Docker refused.
        """
        try:
            for cluster_id in cluster_ids(folder):
                self._engine.purge(cluster_id)
        except EngineError as error:
            raise DevError(f"the old cluster cannot be removed: {error.reason}") from error

    def close(self) -> None:
        """Close the connection, and stop a daemon that was started for this run."""
        self._engine.close()
        if self._started_daemon:
            with contextlib.suppress(DevError):
                self._daemon("stop")


def cluster_ids(folder: Path) -> set[str]:
    """The cluster that the controllers of this folder belong to; one, or none yet."""
    found = set()
    for file in (folder / "nodes").glob("*/node.json"):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            found.add(json.loads(file.read_text()).get("cluster_id"))
    return {item for item in found if isinstance(item, str) and item}


def _remedy(reason: str) -> str:
    if shutil.which("docker") is None and shutil.which("dockerd") is None:
        return "install it (Debian, Ubuntu: apt-get install docker.io; or run `make up`)"
    if "ermission" in reason:
        return "let this user use it: sudo usermod -aG docker $USER, then log in again"
    return "start it (systemctl start docker), or set DOCKER_HOST"
