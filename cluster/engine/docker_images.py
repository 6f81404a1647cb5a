"""Images of one Docker daemon: looked up, pulled with progress and reasons, removed."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import docker.utils

from cluster.engine.base import (
    EngineError,
    Fault,
    Guard,
    Image,
    Login,
    PullOrder,
    PullProgress,
    StoredImage,
    Tell,
    no_guard,
    tell_nobody,
)
from cluster.engine.docker_api import ApiRefusal, DockerApi, lacks_resources, short
from cluster.engine.docker_logins import HUB, HUB_LOGIN, header_of, login_of_file
from orchestry.admission import registry_of

MASK = "********"

_MISSING = (
    "not found", "manifest unknown", "name unknown", "no such image", "no matching manifest",
)
_REFUSED = (
    "unauthorized", "denied", "no basic auth credentials", "authentication required", "forbidden",
)
_PORTS = re.compile(r"\b(read|write|dial) (tcp|udp) \S+->")
"""Where a connection of the daemon came from: it differs each time and helps nobody."""


class DockerImages:
    """The part of the Engine protocol that is about images; thread-safe."""

    def __init__(self, api: DockerApi) -> None:
        self._api = api

    def look(self, name: str) -> Image | None:
        """The image that a name, a digest or an id stands for here."""
        try:
            found = self._api.call("inspect_image", name)
        except ApiRefusal as error:
            if error.status == 404:
                return None
            raise
        return Image(found["Id"], tuple(found.get("RepoDigests") or ()))

    def stored(self) -> tuple[StoredImage, ...]:
        """All that are here."""
        return tuple(
            StoredImage(
                one["Id"], _given(one.get("RepoTags")), _given(one.get("RepoDigests")),
                int(one.get("Size") or 0))
            for one in self._api.call("images"))

    def pull(
        self, order: PullOrder, *, guard: Guard = no_guard, tell: Tell = tell_nobody
    ) -> Image:
        """Fetch it; see Engine.pull."""
        guard()
        repository, tag = docker.utils.parse_repository_tag(order.image)
        header = _header(registry_of(order.image), order.login)
        watch = _Watch(order)
        try:
            with self._api.stream(
                "POST", "/images/create", {"fromImage": repository, "tag": tag or "latest"},
                silence_s=order.idle_s, headers={"X-Registry-Auth": header} if header else None,
            ) as response:
                for line in response.iter_lines():
                    if line and watch.take(json.loads(line)):
                        tell(watch.progress())
                    watch.check()
                    guard()
        except ApiRefusal as error:
            if error.fault in ("no_resources", "unavailable"):
                raise
            raise refusal(order, error.reason) from None
        except EngineError as error:
            if error.fault == "timeout":
                raise watch.late() from None
            raise
        found = self.look(order.image)
        if found is None:
            raise EngineError("image_missing", f"{order.image} was removed just after its pull")
        return found

    def remove(self, image_id: str) -> bool:
        """Remove it by its id, never by force: the daemon refuses what is still in use."""
        try:
            self._api.call("remove_image", image_id, force=False)
        except ApiRefusal as error:
            if error.status == 404:
                return True
            if error.status == 409:
                return False
            raise
        return True


def _header(registry: str, login: Login | None) -> str:
    """What the daemon is to say to a registry: our login, or that of this account's files."""
    if login is None:
        return login_of_file(registry)
    return header_of({
        "username": login.username, "password": login.password,
        "serveraddress": HUB_LOGIN if registry == HUB else registry})


def _given(names: list[str] | None) -> tuple[str, ...]:
    """Without those that stand for none."""
    return tuple(name for name in names or () if "<none>" not in name)


@dataclass(slots=True)
class _Watch:
    """What a pull has said so far."""

    order: PullOrder
    began_s: float = field(default_factory=time.monotonic)
    moved_s: float = field(default_factory=time.monotonic)
    layers: dict[str, tuple[str, int, int]] = field(default_factory=dict)

    def take(self, said: Mapping[str, Any]) -> bool:
        """Take one message; True when it is progress."""
        if said.get("error"):
            raise ApiRefusal("rejected", str(said["error"]), 500)
        status, layer = str(said.get("status") or ""), str(said.get("id") or "")
        if status.startswith(("Retrying in", "Waiting")):
            return False
        detail = said.get("progressDetail") or {}
        _, before, total = self.layers.get(layer, ("", 0, 0))
        done = before
        if status == "Downloading":
            done, total = int(detail.get("current") or 0), int(detail.get("total") or total)
        elif status in ("Download complete", "Pull complete", "Already exists"):
            done = total
        # While a layer is unpacked, what it has unpacked is progress too.
        mark = f"{status} {detail.get('current')}" if status == "Extracting" else status
        after = (mark, done, total)
        if self.layers.get(layer) == after:
            return False
        self.layers[layer] = after
        self.moved_s = time.monotonic()
        return True

    def progress(self) -> PullProgress:
        """How far it is."""
        return PullProgress(
            sum(done for _, done, _ in self.layers.values()),
            sum(total for _, _, total in self.layers.values()))

    def check(self) -> None:
        """Raise when it takes too long."""
        now_s = time.monotonic()
        idle, whole = now_s - self.moved_s, now_s - self.began_s
        if idle > self.order.idle_s or whole > self.order.whole_s:
            raise self.late()

    def late(self) -> EngineError:
        """Why it ends now."""
        if time.monotonic() - self.began_s > self.order.whole_s:
            why = f"not done within {self.order.whole_s:g} s"
        else:
            why = f"no progress for {self.order.idle_s:g} s"
        return EngineError(
            "timeout", f"pulling {self.order.image}: {why}; it is tried again, and what came so "
            "far may be kept")


def refusal(order: PullOrder, said: str) -> EngineError:
    """What the owner of an app reads when a pull is refused, by a registry or by this host."""
    image, registry = order.image, registry_of(order.image)
    text = said.lower()
    fault: Fault
    if lacks_resources(said):
        fault, words = "no_resources", (
            f"image {image} does not fit on this host: make room on its disk; it is tried again")
    elif any(sign in text for sign in _REFUSED):
        fault, words = "unauthorized", (
            f"registry {registry} does not give out {image}: check its name, or give the cluster "
            f"a login with `orchestry registry login {registry}`")
    elif any(sign in text for sign in _MISSING):
        fault, words = "image_missing", (
            f"image {image} is not in registry {registry}: check its name and tag in `spec.image`")
    else:
        fault, words = "registry_down", (
            f"registry {registry} does not give out {image}: check that this host reaches it; it "
            "is tried again")
    reason = _PORTS.sub(r"\1 \2 ", without_login(said, order.login))
    return EngineError(fault, short(f"{words} ({short(reason)})"))


def without_login(text: str, login: Login | None) -> str:
    """The text without a password that a registry may have sent back."""
    if login is None:
        return text
    pair = f"{login.username}:{login.password}".encode()
    for secret in (base64.b64encode(pair).decode(), login.password):
        if secret:
            text = text.replace(secret, MASK)
    return text
