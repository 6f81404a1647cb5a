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
