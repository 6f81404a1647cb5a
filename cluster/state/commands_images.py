"""Commands about images; see cluster.state.commands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PinImage:
    """Leader: the name in the spec of a template stands for this image; see Pin."""

    app: str
    template: int
    image: str
    ref: str
    image_id: str


@dataclass(frozen=True, slots=True)
class BeginPull:
    """Leader: a pull of this name is about to begin; see BegunPull."""

    image: str
    here: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TellPulls:
    """Leader: how far pulls are, by name, the bytes that came and those that are known of."""

    progress: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class NotePulled:
    """Leader: pulls of a name are over, and brought this image, or gave it this name.

    `image_id` is "" when they brought none that is ours; see PulledImage.
    """

    image_id: str
    image: str


@dataclass(frozen=True, slots=True)
class ForgetPulled:
    """Leader: the image that was noted at this index of the log is not on the host any more."""

    image_id: str
    index: int
