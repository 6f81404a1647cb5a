"""Commands about secrets of applications; see cluster.state.commands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SetSecret:
    """Keep the next version of a secret, sealed by the proposer under the key `key_id`.

    `version` is the one that it was sealed for: one more than the newest.
    """

    name: str
    version: int
    key_id: str
    fields: tuple[str, ...]
    sealed: str


@dataclass(frozen=True, slots=True)
class DeleteSecret:
    """Forget a secret; with `force` also one that apps use."""

    name: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class ResealSecret:
    """Keep versions of a secret, as (version, sealed), under another key.

    `changed` is the log index of the change that they were read after.
    """

    name: str
    changed: int
    key_id: str
    sealed: tuple[tuple[int, str], ...]
