"""Paths and queries about volumes; see api.models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.models import Flag, ReadQuery

VOLUME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,199}$"


class VolumePath(BaseModel):
    """A volume in the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    volume_name: str = Field(
        pattern=VOLUME_PATTERN, description="Name of the volume in Docker",
        examples=["orchestry-shop-data"])


class VolumesQuery(ReadQuery):
    """What to tell of volumes."""

    sizes: Flag = Field(
        False, description="Also their sizes, which Docker counts file by file")
