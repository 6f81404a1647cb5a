"""Answers about volumes.

Written by tools/gen_answers.py; do not edit.
"""

from typing import TypedDict


class Volume(TypedDict):
    """One volume; `orphaned` when its application is deleted, `removing` while it goes."""

    name: str
    app: str
    in_use: bool
    used_by: list[str]
    orphaned: bool
    goes_with_app: bool
    removing: bool
    created_at: str
    size_bytes: int | None


class Volumes(TypedDict):
    """The volumes that the caller may see, by name."""

    volumes: list[Volume]
    total: int


class VolumeRemoved(TypedDict):
    """A volume that is gone, with all that was in it."""

    message: str
    name: str
    app: str
