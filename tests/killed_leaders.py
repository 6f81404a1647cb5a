"""Writes of each client while leaders are killed: no error, none lost, none twice."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orchestry
from tests.architecture.files import ROOT
from tests.live import LiveCluster, app_spec, call, until

SDK = ROOT / "sdk" / "node"
WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a client saw: apps acknowledged, ids and apps of the events, the slowest write."""

    apps: list[str]
    told: list[tuple[int, str | None]]
    slowest_s: float


# URLs, how many writes at least, whether more, seconds between two, seconds that all may take.
Writer = Callable[[list[str], int, Callable[[], bool], float, float], Found]


def urls(cluster: LiveCluster) -> list[str]:
    """All controllers, the leader last."""
    leader = cluster.led()
    return [cluster.url(node) for node in sorted(cluster.ids, key=lambda node: node == leader)]


@contextmanager
def killing(cluster: LiveCluster, every_s: float) -> Iterator[list[str]]:
    """The leader dies every few seconds and comes back; gives those that did."""
    done, killed = threading.Event(), list[str]()

    def kill() -> None:
        while not done.wait(every_s):
            leader = cluster.led()
            cluster.kill(leader)
            killed.append(leader)
            done.wait(every_s / 5)
            cluster.boot(leader)
            cluster.wait_ready()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield killed
    finally:
        done.set()
        killer.join()
        cluster.wait_ready()


class _Names:
    """Of the apps to write; `last` is known before it is written."""

    def __init__(self, count: int, go_on: Callable[[], bool]) -> None:
        self.last = ""
        self._count, self._go_on = count, go_on

    def __iter__(self) -> Iterator[str]:
        for number in itertools.count():
            name = f"app-{number}"
            if number >= self._count - 1 and not self._go_on():
                self.last = name
            yield name
            if self.last:
                return


def blocking(
    urls: list[str], count: int, go_on: Callable[[], bool], gap_s: float, timeout_s: float,
) -> Found:
    """Through `orchestry.Client`, whose stream is read by a thread."""
    apps, told, slowest_s = list[str](), list[tuple[int, str | None]](), 0.0
    names = _Names(count, go_on)
    with orchestry.Client(urls) as client:
        def watch() -> None:
            for event in client.stream_events(since_id=0):
                told.append((event["id"], event["app_name"]))
                if event["app_name"] and event["app_name"] == names.last:
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        for name in names:
            begun_s = time.monotonic()
            apps.append(client.register_app(app_spec(name, "none:1"))["app_name"])
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            time.sleep(gap_s)
        watcher.join(timeout_s)
        assert not watcher.is_alive(), f"the stream is at {told[-1:]}"
    return Found(apps, told, slowest_s)


def asynchronous(
    urls: list[str], count: int, go_on: Callable[[], bool], gap_s: float, timeout_s: float,
) -> Found:
    """Through `orchestry.AsyncClient`, whose stream is read by a task."""
    apps, told = list[str](), list[tuple[int, str | None]]()
    names = _Names(count, go_on)

    async def watch(client: orchestry.AsyncClient) -> None:
        async for event in client.stream_events(since_id=0):
            told.append((event["id"], event["app_name"]))
            if event["app_name"] and event["app_name"] == names.last:
                return

    async def write(client: orchestry.AsyncClient) -> float:
        slowest_s = 0.0
        for name in names:
            begun_s = time.monotonic()
            answer = await client.register_app(app_spec(name, "none:1"))
            apps.append(answer["app_name"])
            slowest_s = max(slowest_s, time.monotonic() - begun_s)
            await asyncio.sleep(gap_s)
        return slowest_s

    async def both() -> float:
        async with orchestry.AsyncClient(urls) as client, asyncio.timeout(timeout_s):
            slowest_s, _ = await asyncio.gather(write(client), watch(client))
            return slowest_s

    slowest_s = asyncio.run(both())
    return Found(apps, told, slowest_s)


def node(
    urls: list[str], count: int, go_on: Callable[[], bool], gap_s: float, timeout_s: float,
) -> Found:
    """Through `orchestry-client` for Node."""
    deadline_s = time.monotonic() + timeout_s
    with tempfile.TemporaryDirectory() as folder:
        more = Path(folder) / "more"
        more.touch()
        environ = {**os.environ, "ORCHESTRY_URL": ",".join(urls), "WRITES": str(count),
                   "GAP_MS": str(round(gap_s * 1000)), "GO_ON": str(more)}
        process = subprocess.Popen(
            ["node", "acceptance/writes.js"], cwd=SDK, env=environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            until("no more is to be written", lambda: (
                not go_on() or process.poll() is not None), timeout_s)
            more.unlink()
            said, complained = process.communicate(timeout=deadline_s - time.monotonic())
        finally:
            process.kill()
            with process:
                pass
    assert process.returncode == 0, complained
    found = json.loads(said)
    return Found(found["apps"], [(number, app) for number, app, _ in found["told"]],
                 found["slowest_ms"] / 1000)


def judge(cluster: LiveCluster, found: Found) -> None:
    """Every write was acknowledged, happened once and was told once, without a gap."""
    wanted = [f"app-{number}" for number in range(len(found.apps))]
    assert found.apps == wanted
    assert [number for number, _ in found.told] == list(range(1, len(found.told) + 1))
    assert [app for _, app in found.told if app] == wanted

    # A controller that has just come back still catches up.
    def listing() -> Any:
        path = "/api/v1/apps?consistency=linearizable"
        status, body, _ = call("GET", cluster.url(cluster.ids[0], path))
        return body if status == 200 else None

    listed = until("the list", listing, WAIT_S)
    assert sorted(app["name"] for app in listed["apps"]) == sorted(wanted)
    assert len({app["revision"] for app in listed["apps"]}) == len(wanted)


def registered(cluster: LiveCluster) -> list[str]:
    """The app of each event that says one was registered, on a controller that has them all."""
    found: list[str] = []
    before = ""
    while True:
        url = cluster.url(cluster.ids[0], f"/api/v1/events?type=config&limit=1000{before}")
        page = until("events", lambda url=url: _page(url), WAIT_S)  # type: ignore[misc]
        found += [event["app_name"] for event in page["events"]
                  if event["message"] == "Application registered"]
        if not page["has_more"]:
            return found
        before = f"&before={page['events'][-1]['id']}"


def _page(url: str) -> Any:
    """A page of events once nothing of them is missing any more."""
    status, body, _ = call("GET", url)
    return body if status == 200 and body["complete"] else None
