"""The source of live logs over every engine: what containers write comes once, to everybody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from cluster.clock import SystemClock
from cluster.consensus.local_log import LocalLog
from cluster.engine.base import Container, LogLine
from cluster.live.follow import LogSource
from cluster.state.commands import RegisterApp, ReportApp, Stamp, StartApp
from cluster.state.model import Replica
from orchestry.spec.parse import canonical
from tests.api.support import spec
from tests.contract.engine_hosts import Host, request_for, until


class Watched:
    """An app on the engine of a host, the reports about it, and who watches."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.log = LocalLog()
        self.source = LogSource(host.engine, self.log, SystemClock())
        self.log.submit(RegisterApp("web", canonical(spec("web")), 1), self._stamp())
        self.log.submit(StartApp("web"), self._stamp())

    def _stamp(self) -> Stamp:
        return Stamp(time.time_ns() // 1_000_000, "local")

    def report(self, *containers: Container) -> None:
        app = self.log.state().apps["web"]
        self.log.submit(ReportApp("web", app.revision, tuple(
            Replica(c.slot + 1, 1, c.id, c.name, c.ip, 80, "running", "healthy",
                    started_at_ms=c.started_at_ms) for c in containers)), self._stamp())

    def watch(self, since_ns: int = 0) -> list[tuple[str, LogLine]]:
        got: list[tuple[str, LogLine]] = []

        def take(lines: Sequence[tuple[str, LogLine]]) -> None:
            got.extend(lines)

        self.source.subscribe("web", None, take, since_ns=since_ns)
        return got


@pytest.fixture
def watched(host: Host) -> Iterator[Watched]:
    made = Watched(host)
    try:
        yield made
    finally:
        made.source.close()
    until(lambda: not [t for t in threading.enumerate() if t.name.startswith("live-log")])


def texts(got: list[tuple[str, LogLine]], name: str) -> list[str]:
    """What one replica said through the test."""
    return [line.text for replica, line in got if replica == name and line.text.startswith("say ")]


def test_everybody_gets_every_line_once(watched: Watched) -> None:
    """Over replicas that come and go, and subscribers who come early, amid the lines and late."""
    host = watched.host
    first = host.engine.run(request_for(host, 0))
    watched.report(first)
    early = watched.watch()
    said: dict[str, list[str]] = {"web-1": [], "web-2": []}

    def say(container: Container, *words: str) -> None:
        lines = [f"say {word}" for word in words]
        host.say(container, "".join(f"{line}\n" for line in lines).encode())
        said[f"web-{container.slot + 1}"] += lines

    say(first, "a", "b")
    until(lambda: texts(early, "web-1") == said["web-1"])
    amid = watched.watch()
    second = host.engine.run(request_for(host, 1))
    say(second, "before it is reported")
    watched.report(first, second)
    say(second, *map(str, range(300)))
    say(first, "c")
    for got in (early, amid):
        until(lambda got=got: texts(got, "web-2") == said["web-2"])  # type: ignore[misc]
    host.engine.stop(second.id, grace_s=0)
    watched.report(first)
    say(first, "d")
    until(lambda: texts(early, "web-1") == said["web-1"])
    late = watched.watch()
    from_now = watched.watch(max(line.at_ns for _, line in early))
    say(first, "e")
    for got in (early, amid):
        until(lambda got=got: texts(got, "web-1") == said["web-1"])  # type: ignore[misc]
        assert texts(got, "web-2") == said["web-2"]
    until(lambda: texts(late, "web-1") == said["web-1"])
    until(lambda: texts(from_now, "web-1") == ["say e"])
    assert texts(late, "web-2") == []
