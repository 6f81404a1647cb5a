"""Sizes of volumes, which Docker counts for one program at a time."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.engine import docker_volumes
from cluster.engine.base import EngineError
from cluster.engine.docker_api import ApiRefusal
from cluster.engine.docker_format import LABEL_APP, LABEL_CLUSTER
from cluster.engine.docker_volumes import DockerVolumes

BUSY = "a disk usage operation is already running"


class Body(io.BytesIO):
    """As urllib3 reads it."""

    def read(self, size: int | None = -1, decode_content: bool = True) -> bytes:
        """So many bytes."""
        return super().read(size)


class Daemon:
    """It has one volume, and refuses to count so many times."""

    def __init__(self, *refusals: str) -> None:
        self.refusals = list(refusals)

    def call(self, method: str, **_: Any) -> Any:
        """What is listed."""
        labels = {LABEL_CLUSTER: "c1", LABEL_APP: "shop"}
        return [] if method == "containers" else {"Volumes": [{"Name": "data", "Labels": labels}]}

    @contextmanager
    def stream(self, *_: Any, **__: Any) -> Iterator[Any]:
        """The sizes."""
        if self.refusals:
            raise ApiRefusal("rejected", self.refusals.pop(0), 500)
        told = {"Volumes": [{"Name": "data", "UsageData": {"Size": 8}}]}
        yield SimpleNamespace(raw=Body(json.dumps(told).encode()))


def sizes(daemon: Daemon) -> list[int | None]:
    """As the engine tells them."""
    found = DockerVolumes(daemon).all("c1", sizes=True)  # type: ignore[arg-type]
    return [one.size_bytes for one in found]


def test_while_docker_counts_for_others_it_is_asked_again() -> None:
    """Another controller of the host, or a person, asked at the same time: ours comes after."""
    assert sizes(Daemon(BUSY, BUSY)) == [8]


def test_who_counts_for_ever_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds, and the reason is told."""
    monkeypatch.setattr(docker_volumes, "SIZES_SILENCE_S", 0.01)
    with pytest.raises(EngineError, match="for others still") as told:
        sizes(Daemon(*[BUSY] * 100))
    assert told.value.fault == "timeout"


def test_other_refusals_are_told_at_once() -> None:
    """They are no matter of time."""
    with pytest.raises(EngineError, match="no such type"):
        sizes(Daemon("no such type", BUSY))
