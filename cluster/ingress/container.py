"""ContainerNginx: the ingress as a container, for hosts that have no nginx.

Replicas are reached on the cluster's container network. The admin listener is published
on loopback only and wants a random token, since containers of that network reach it too.
Clients' addresses are those that the container engine shows, often its gateway's.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from cluster.ingress import image
from cluster.ingress.backoff import Backoff
from cluster.ingress.base import IngressError
from cluster.ingress.client import NginxIngress
from cluster.ingress.nginx import TOKEN_VARIABLE

START_DEADLINE_S = 30.0
STOP_GRACE_S = 10
POLL_S = 0.05


class ContainerRunner(Protocol):
    """What is needed of a container engine; each method raises only `errors`."""

    errors: tuple[type[Exception], ...]

    def image_exists(self, tag: str) -> bool:
        """Is the image on this host?"""

    def build_image(self, tag: str, context: Mapping[str, bytes]) -> None:
        """Build it from files in memory."""

    def run(
        self, name: str, tag: str, *, ports: Mapping[int, tuple[str, int]],
        environment: Mapping[str, str],
    ) -> None:
        """Start it on the cluster's network; what runs so already is left alone.

        `ports` maps a port of the container to the address and port to publish it at.
        """

    def is_running(self, name: str) -> bool:
        """Does it run?"""

    def stop(self, name: str, *, grace_s: int) -> None:
        """Stop and remove it; already gone is a success."""


class ContainerNginx:
    """One ingress container; `directory` keeps its token. All calls raise only IngressError."""

    def __init__(
        self, runner: ContainerRunner, directory: Path, *, name: str, port: int,
        admin_port: int, base: str = "",
    ) -> None:
        self.name = name
        self._runner = runner
        self._ports = {
            image.HTTP_PORT: ("127.0.0.1", port),
            image.ADMIN_PORT: ("127.0.0.1", admin_port),
        }
        self._admin_port = admin_port
        self._base = base
        self._token = _token(directory)
        self._backoff = Backoff()
        self._started = False

    @property
    def endpoint(self) -> str:
        """Where controllers push: the value for INGRESS_ADMIN. It contains the token."""
        return f"http://{self._token}@127.0.0.1:{self._admin_port}"

    def start(self) -> None:
        """Build the image if it is missing, run it or take over what runs already."""
        context = image.context(self._base)
        tag = image.tag(context)
        try:
            if not self._runner.image_exists(tag):
                self._runner.build_image(tag, context)
            self._runner.run(self.name, tag, ports=self._ports,
                             environment={TOKEN_VARIABLE: self._token})
        except self._runner.errors as error:
            raise IngressError(f"the ingress container does not start: {error}") from error
        self._started = True
        self._await_ready()
        self._backoff.started()

    def alive(self) -> bool:
        """Whether it runs."""
        try:
            return self._runner.is_running(self.name)
        except self._runner.errors as error:
            raise IngressError(f"the ingress container is out of sight: {error}") from error

    def ensure(self) -> bool:
        """Start it again if it died; True when this call did. To be called each second."""
        if not self._started:
            raise IngressError("the ingress was not started")
        if self.alive() or not self._backoff.may_start():
            return False
        self.start()
        return True

    def stop(self, *, grace_s: int = STOP_GRACE_S) -> None:
        """Requests have `grace_s` to finish; then the container is removed."""
        self._started = False
        try:
            self._runner.stop(self.name, grace_s=grace_s)
        except self._runner.errors as error:
            raise IngressError(f"the ingress container does not stop: {error}") from error

    def _await_ready(self) -> None:
        deadline_s = time.monotonic() + START_DEADLINE_S
        ingress = NginxIngress(self.name, self.endpoint)
        while True:
            try:
                ingress.state()
                return
            except IngressError as error:
                if time.monotonic() > deadline_s:
                    raise IngressError(
                        f"the ingress container runs but does not answer: {error.reason}; "
                        f"see `docker logs {self.name}`"
                    ) from error
            time.sleep(POLL_S)


def _token(directory: Path) -> str:
    """The token of an earlier start, so that a running container can be taken over."""
    path = directory / "token"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32))
        token = path.read_text().strip()
    except OSError as error:
        raise IngressError(f"cannot keep the ingress's token: {error}") from error
    if not token.isalnum():
        raise IngressError(f"{path} holds no token: remove it, and the next start makes one")
    return token
