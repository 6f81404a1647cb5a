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
    Pulled,
    PullOrder,
    PullProgress,
    Tell,
)
from orchestry.admission import registry_of, repository

LAYER_BYTES = 1024**2


def digest_of(text: str) -> str:
    """A digest that is the same for the same text."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def named(image: str) -> str:
    """The name with the tag that it stands for."""
    name, at, digest = image.partition("@")
    if at:
        return f"{repository(name)}@{digest}"
    tag = name.rpartition("/")[2].partition(":")[2]
    return f"{repository(name)}:{tag or 'latest'}"


@dataclass(slots=True)
class FakeImages:
    """What is here, and what registries have.

    A name that no registry has stands for an image that was built here, unless `is_missing`
    says that it is not: it comes into being when it is first asked for. `refuse` maps a name
    to what its registry answers instead, `logins` a registry to the only login that it takes.
    `pulled` lists what was asked of registries.
    """

    is_missing: Callable[[str], bool]
    registry: dict[str, Image] = field(default_factory=dict)
    refuse: dict[str, EngineError] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)
    _here: dict[str, Image] = field(default_factory=dict)
    _gone: set[str] = field(default_factory=set)

    def push(self, name: str, content: str) -> Image:
        """Give a registry an image under a name, which had another one perhaps."""
        digest = f"{name.partition('@')[0].rpartition(':')[0] or name}@{digest_of(content)}"
        image = Image(digest_of(f"image {content}"), (digest,))
        self.registry[named(name)] = self.registry[named(digest)] = image
        return image

    def look(self, name: str) -> Image | None:
        """The image here that a name, a digest or an id stands for."""
        if name.startswith("sha256:"):
            return next((one for one in self._here.values() if one.id == name), None)
        full = named(name)
        found = self._here.get(full)
        if found is not None or full in self.registry or full in self._gone:
            return found
        if "@" in name or self.is_missing(name):
            return None
        return self._here.setdefault(full, Image(digest_of(f"built as {full}")))

    def pull(self, order: PullOrder, guard: Guard, tell: Tell) -> Pulled:
        """Fetch it from its registry."""
        guard()
        full, host = named(order.image), registry_of(order.image)
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
        is_new = self.look(image.id) is None
        for name in (full, *(named(digest) for digest in image.digests)):
            self._here[name] = image
            self._gone.discard(name)
        tell(PullProgress(LAYER_BYTES, LAYER_BYTES))
        return Pulled(image, is_new)

    def remove(self, image_id: str, used: Collection[str]) -> bool:
        """Remove it, unless it is used or has names of several repositories."""
        names = [name for name, image in self._here.items() if image.id == image_id]
        if image_id in used or len({repository(name) for name in names}) > 1:
            return False
        self.lose(image_id)
        return True

    def lose(self, image_id: str) -> None:
        """It is gone, whoever did it."""
        for name in [name for name, image in self._here.items() if image.id == image_id]:
            del self._here[name]
            self._gone.add(name)
