"""Answers about volumes, described in /openapi.json; see api.answers."""

from __future__ import annotations

from api.answers import Answer, Count, Time


class Volume(Answer):
    """One volume; `orphaned` when its application is deleted, `removing` while it goes.

    An application that got the name of a deleted one has what that left only when it names it;
    `goes_with_app` tells whether the volume is removed when its application is.

    `used_by` are the names of the containers that mount it. `size_bytes` is null unless it was
    asked for and could be told.
    """

    name: str
    app: str
    in_use: bool
    used_by: list[str]
    orphaned: bool
    goes_with_app: bool
    removing: bool
    created_at: Time
    size_bytes: Count | None


class Volumes(Answer):
    """The volumes that the caller may see, by name."""

    volumes: list[Volume]
    total: Count


class VolumeRemoved(Answer):
    """A volume that is gone, with all that was in it."""

    message: str
    name: str
    app: str
