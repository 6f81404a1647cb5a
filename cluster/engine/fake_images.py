"""Images of the fake engine: those on its host, and a registry that has others."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from cluster.engine.base import (
    EngineError,
    Guard,
    Image,
    Login,
    PullOrder,
    PullProgress,
    StoredImage,
    Tell,
)
from orchestry.admission import full_name, registry_of, repository

LAYER_BYTES = 1024**2
BUILT = "sha256:bbbbbbbb"
"""How ids of images begin that were built here."""


def digest_of(text: str) -> str:
    """A digest that is the same for the same text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@dataclass(slots=True)
class FakeImages:
    """What is here, and what registries have.

    A name that no registry has stands for an image that was built here, unless `is_missing`
    says that it is not: it comes into being when it is first asked for. `refuse` maps a name
    to what its registry answers instead, `logins` a registry to the only login that it takes.
    `pulled` lists what was asked of registries, `removed` the ids of images that went by request.
    """

    is_missing: Callable[[str], bool]
    registry: dict[str, Image] = field(default_factory=dict)
    refuse: dict[str, EngineError] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    _here: dict[str, Image] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)

    def push(self, name: str, content: str) -> Image:
        """Give a registry an image under a name, which had another one perhaps."""
        digest = f"{name.partition('@')[0].rpartition(':')[0] or name}@{digest_of(content)}"
        image = Image(digest_of(f"image {content}"), (digest,))
        self.registry[full_name(name)] = self.registry[full_name(digest)] = image
        return image

    def look(self, name: str) -> Image | None:
        """The image here that a name, a digest or an id stands for."""
        if name.startswith("sha256:"):
            known = next((one for one in self._here.values() if one.id == name), None)
            built = name.startswith(BUILT) and name not in self._gone
            return known or (Image(name) if built else None)
        full = full_name(name)
        found = self._here.get(full)
        if found is not None or full in self.registry or full in self._gone:
            return found
        short = full.removeprefix("docker.io/library/")  # as tests call it
        if "@" in name or self.is_missing(name) or self.is_missing(short):
            return None
        return self._here.setdefault(full, Image(
            BUILT + digest_of(f"built as {full}")[len(BUILT):]))

    def pull(self, order: PullOrder, guard: Guard, tell: Tell) -> Image:
        """Fetch it from its registry."""
        guard()
        full, host = full_name(order.image), registry_of(order.image)
        self.pulled.append(order.image)
        if full in self.refuse:
            raise self.refuse[full]
        if host in self.logins and self.logins[host] != order.login:
            raise EngineError(
                "unauthorized", f"registry {host} does not give out {order.image}")
        image = self.registry.get(full)
        if image is None:
            raise EngineError(
                "image_missing", f"image {order.image} is not in registry {host}")
        tell(PullProgress(LAYER_BYTES // 2, LAYER_BYTES))
        guard()
        for name in (full, *(full_name(digest) for digest in image.digests)):
            self._here[name] = image
            self._gone.discard(name)
        tell(PullProgress(LAYER_BYTES, LAYER_BYTES))
        return image

    def stored(self) -> tuple[StoredImage, ...]:
        """All that are here, of one layer each."""
        return tuple(
            StoredImage(
                image_id, tuple(sorted(name for name in self._names(image_id) if "@" not in name)),
                tuple(sorted(name for name in self._names(image_id) if "@" in name)), LAYER_BYTES)
            for image_id in sorted({one.id for one in self._here.values()}))

    def tag(self, image_id: str, name: str) -> None:
        """Somebody gives an image one more name."""
        image = self.look(image_id)
        assert image is not None
        self._here[full_name(name)] = image

    def remove(self, image_id: str, used: Collection[str]) -> bool:
        """Remove it, unless it is used or has several names."""
        names = self._names(image_id)
        tags = [name for name in names if "@" not in name]
        if image_id in used or len(tags) > 1 or len({repository(name) for name in names}) > 1:
            return False
        if names:
            self.removed.append(image_id)
        self.lose(image_id)
        return True

    def lose(self, image_id: str) -> None:
        """It is gone, whoever did it."""
        self._gone.add(image_id)
        for name in self._names(image_id):
            del self._here[name]
            self._gone.add(name)

    def _names(self, image_id: str) -> list[str]:
        return [name for name, image in self._here.items() if image.id == image_id]
