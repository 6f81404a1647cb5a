"""The ingress of `orchestry dev` in a container, for machines that have no nginx."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Literal

from api.dev_plan import DevError
from cluster.engine.docker import DockerEngine
from cluster.engine.docker_ingress import DockerIngressRunner
from cluster.ingress.base import IngressError
from cluster.ingress.container import ContainerNginx

CHECK_S = 1.0
BASE_IMAGE_VARIABLE = "INGRESS_BASE_IMAGE"


def kind() -> Literal["local", "container"]:
    """A local nginx on Linux, where there is one; else a container."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    local = sys.platform == "linux" and shutil.which("nginx", path=path) is not None
    return "local" if local else "container"


class ContainerIngress:
    """Runs on the cluster's network, so it starts once the cluster has its id.

    INGRESS_BASE_IMAGE names an image that has nginx and its Lua module already; without
    one they come from Debian when the image is built.
    """

    def __init__(
        self, engine: DockerEngine, folder: Path, *, port: int, admin_port: int
    ) -> None:
        self._engine = engine
        self._folder = folder
        self._port, self._admin_port = port, admin_port
        self._base = os.environ.get(BASE_IMAGE_VARIABLE, "")
        self._runner = DockerIngressRunner(engine, "")
        self._nginx: ContainerNginx | None = None
        self._checked_s = 0.0
        self.endpoint = self._container("").endpoint

    def _container(self, cluster_id: str) -> ContainerNginx:
        self._runner.close()
        self._runner = DockerIngressRunner(self._engine, cluster_id)
        return ContainerNginx(
            self._runner, self._folder, name=f"orchestry-ingress-{cluster_id[:8]}",
            port=self._port, admin_port=self._admin_port, base=self._base)

    def start(self, cluster_id: str) -> None:
        """Build its image if it is missing, and run it.

        Raises:
            DevError: it does not start.
        """
        try:
            self._nginx = self._container(cluster_id)
            self._nginx.start()
        except IngressError as error:
            raise DevError(
                f"{error.reason}; with nginx and its Lua module on this machine no container is"
                f" needed, and {BASE_IMAGE_VARIABLE} names an image that has them") from error

    def keep_running(self) -> str:
        """Start it again if it died; returns what there is to tell."""
        if self._nginx is None or time.monotonic() - self._checked_s < CHECK_S:
            return ""
        self._checked_s = time.monotonic()
        try:
            return "the container had died and runs again" if self._nginx.ensure() else ""
        except IngressError as error:
            return error.reason

    def stop(self, *, hurry: bool) -> str:
        """Stop and remove it; returns why that failed, "" when it did not."""
        try:
            if self._nginx is not None:
                self._nginx.stop(grace_s=0 if hurry else 5)
        except IngressError as error:
            return error.reason
        finally:
            self._runner.close()
        return ""

    def stop_leftover(self, cluster_id: str) -> None:
        """Remove the one of an earlier run that was killed: it holds the port."""
        self._runner.close()
        self._runner = DockerIngressRunner(self._engine, cluster_id)
        self._runner.stop(f"orchestry-ingress-{cluster_id[:8]}", grace_s=0)
