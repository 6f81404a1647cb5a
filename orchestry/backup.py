"""Backups as files: read one back, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FORMAT = "orchestry-backup"
FORMAT_VERSION = 1


class BackupError(Exception):
    """The file cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup whose checksum was right; `parts` are for `POST /cluster/restore`."""

    head: dict[str, Any]
    parts: list[dict[str, Any]]
    sha256: str


def parse(lines: Iterable[bytes]) -> Backup:
    """Read a backup line by line.

    Raises:
        BackupError: truncated, altered, foreign or newer.
    """
    digest = hashlib.sha256()
    values: list[dict[str, Any]] = []
    end: dict[str, Any] | None = None
    for number, line in enumerate(lines, 1):
        if end is not None:
            raise BackupError("something follows its end: it was altered")
        value = _value(line, number)
        if number == 1:
            _check_head(value)
        if value.get("end") is True:
            end = value
            continue
        digest.update(line)
        values.append(value)
    if end is None:
        raise BackupError("it has no end: it was cut short; take another backup")
    if end.get("sha256") != digest.hexdigest():
        raise BackupError("its checksum differs: it was altered; take another backup")
    head, parts = values[0], values[1:]
    if head.get("parts") != len(parts):
        raise BackupError(f"it has {len(parts)} parts instead of {head.get('parts')}")
    return Backup(head, parts, digest.hexdigest())


def _value(line: bytes, number: int) -> dict[str, Any]:
    try:
        value = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    if number == 1:
        raise BackupError("it is no backup of Orchestry")
    raise BackupError(f"line {number} is damaged: it was cut short or altered")


def _check_head(head: dict[str, Any]) -> None:
    if head.get("format") != FORMAT:
        raise BackupError("it is no backup of Orchestry")
    if head.get("v") != FORMAT_VERSION:
        raise BackupError(
            f"it has format {head.get('v')!r}, this version reads {FORMAT_VERSION}: use the "
            "version of Orchestry that wrote it, or a newer one")
