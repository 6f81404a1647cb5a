"""Pins: which image the name in a spec stands for, and how far the pull of one is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pin:
    """The one image that all replicas of a template are made from.

    `image` is the name in the spec, `ref` what Docker is told: `repository@sha256:…`, or the id
    of an image that no registry knows. `image_id` is the id that it had.
    """

    template: int
    image: str
    ref: str
    image_id: str


@dataclass(frozen=True, slots=True)
class Pulling:
    """A pull that an app waits for, by its own name of the image; the bytes as of BegunPull."""

    image: str
    began_at_ms: int
    done_bytes: int = 0
    total_bytes: int = 0


HERE_UNKNOWN = ("?",)


@dataclass(frozen=True, slots=True)
class BegunPull:
    """A pull of a name that began in this epoch, and may have ended since.

    `here` has how the ids of all images begin that were on the host before, or is HERE_UNKNOWN.
    The bytes are of the layers that are known so far.
    """

    name: str
    here: tuple[str, ...]
    epoch: int
    began_at_ms: int = 0
    done_bytes: int = 0
    total_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PulledImage:
    """An image that was not on the host before the cluster pulled it, at this index of the log.

    `names` are those under which it was pulled, then and later, in full.
    """

    id: str
    names: tuple[str, ...]
    index: int
