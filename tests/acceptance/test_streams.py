"""Streams on three controllers with real Docker: every node tells the same, and resumes."""

from __future__ import annotations

import json
import threading
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import ask, begin, say, served

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

WAIT_S = 60.0


class Stream:
    """A WebSocket, and all that came through it, read by a thread of its own."""

    def __init__(self, cluster: LiveCluster, node: str, path: str) -> None:
        url = cluster.url(node, path).replace("http:", "ws:")
        self.socket: ClientConnection = connect(url, legacy=True, open_timeout=WAIT_S)
        self.messages: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while True:
                self.messages.append(json.loads(self.socket.recv()))
        except ConnectionClosed:
            return

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *exc: object) -> None:
        self.socket.close()
        self._thread.join()


def everywhere(cluster: LiveCluster, stack: ExitStack, path: str) -> list[Stream]:
    """The same stream on every controller."""
    return [stack.enter_context(Stream(cluster, node, path)) for node in cluster.alive()]


def said(stream: Stream) -> list[str]:
    """The test's own lines, in the order in which they came."""
    return [m["message"] for m in stream.messages if m["message"].startswith("line ")]


def serving(cluster: LiveCluster, app: str, count: int) -> None:
    """Until the ingress asks so many replicas."""
    def asked() -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{cluster.ingress_port}/id", headers={"Host": f"{app}.localhost"})
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return bytes(answer.read())

    until(f"{count} serve", lambda: len({asked() for _ in range(4 * count)}) == count, WAIT_S)


def test_lines_of_replicas_that_come_and_go_on_every_node(
    cluster: LiveCluster, test_app_image: str
) -> None:
    """Each line arrives once on leader and followers, also of replicas that started later."""
    served(cluster, begin(cluster, app_spec("web", test_app_image), 1))
    say(cluster, "web", ["line before"])
    # Docker dates a line when it reads it, and what is dated later would be no past.
    until("it is read", lambda: "line before" in {one["message"] for one in ask(
        cluster, "GET", "/api/v1/apps/web/logs")["logs"]}, WAIT_S)
    with ExitStack() as stack:
        streams = everywhere(cluster, stack, "/api/v1/apps/web/logs/stream")
        past = stack.enter_context(
            Stream(cluster, cluster.ids[0], "/api/v1/apps/web/logs?follow=true&tail=1000"))
        first = [f"line {n}" for n in range(20)]
        say(cluster, "web", first)
        assert cluster.write("POST", "/api/v1/apps/web/scale", {"replicas": 3})[0] == 200
        serving(cluster, "web", 3)
        rest = [f"line {n}" for n in range(20, 80)]
        say(cluster, "web", rest)
        assert cluster.write("POST", "/api/v1/apps/web/scale", {"replicas": 1})[0] == 200
        last = [f"line {n}" for n in range(80, 90)]
        say(cluster, "web", last)
        wanted = sorted([*first, *rest, *last])
        for stream in streams:
            until("all lines", lambda s=stream: len(said(s)) >= 90, WAIT_S)  # type: ignore[misc]
            assert sorted(said(stream)) == wanted
            assert set(stream.messages[0]) >= {"timestamp", "container", "message", "level"}
            assert len({m["container"] for m in stream.messages}) > 1
        until("the past too", lambda: len(said(past)) >= 91, WAIT_S)
        assert sorted(said(past)) == sorted(["line before", *wanted])
        assert said(past)[0] == "line before"


def test_metrics_on_every_node(cluster: LiveCluster) -> None:
    """Followers tell what the leader measures, each measurement once and in order."""
    with ExitStack() as stack:
        streams = everywhere(cluster, stack, "/api/v1/apps/web/metrics/stream")
        seen: dict[str, Any] = {}
        for stream in streams:
            until("measurements", lambda s=stream: len(  # type: ignore[misc]
                [m for m in s.messages if m.get("measured_at")]) >= 3, WAIT_S)
            times = [m["measured_at"] for m in stream.messages if m.get("measured_at")]
            assert times == sorted(times)
            for found in stream.messages:
                key = found.get("measured_at")
                if key is not None:
                    assert seen.setdefault(key, found["memory_bytes"]) == found["memory_bytes"]
        assert any(count is not None for count in seen.values())


def test_events_resume_at_another_node(cluster: LiveCluster) -> None:
    """A client of a killed controller goes on elsewhere where it stopped: no gap, no double."""
    leader = cluster.led()
    victim = next(node for node in cluster.ids if node != leader)
    other = next(node for node in cluster.ids if node not in (leader, victim))
    ids: list[int] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            status, body = cluster.write(
                "PUT", "/api/v1/apps/web/scaling", {"max_replicas": 5 + number % 2})
            assert status == 200, body

    writer = threading.Thread(target=write)
    with Stream(cluster, victim, "/api/v1/events/stream?since_id=0") as stream:
        writer.start()
        try:
            until("events", lambda: len(stream.messages) > 60, WAIT_S)
            cluster.kill(victim)
            stream._thread.join(WAIT_S)
            ids = [m["id"] for m in stream.messages]
            assert not stream._thread.is_alive()
            path = f"/api/v1/events/stream?since_id={ids[-1]}"
            with Stream(cluster, other, path) as resumed:
                until("events elsewhere", lambda: len(resumed.messages) > 60, WAIT_S)
                ids += [m["id"] for m in resumed.messages]
        finally:
            stop.set()
            writer.join()
    assert ids == list(range(1, len(ids) + 1))
    cluster.boot(victim)
    cluster.wait_ready()
    with Stream(cluster, victim, "/api/v1/events/stream?since_id=0") as again:
        until("what it missed", lambda: len(again.messages) >= len(ids), WAIT_S)
        found = [m["id"] for m in again.messages]
        assert found[:len(ids)] == ids


def test_a_follower_of_logs_says_when_docker_is_away(tmp_path: Path) -> None:
    """Without the engine a stream of logs is refused before the upgrade, with the reason."""
    gone = {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"}
    with LiveCluster(tmp_path / "c", size=1, ingress=False, environ=gone) as alone:
        assert alone.write("POST", "/api/v1/apps/register", app_spec("web", "web:1"))[0] == 201
        url = alone.url(alone.ids[0], "/api/v1/apps/web/logs/stream")

        def refused() -> bool:
            status, body, _ = call("GET", url, headers={"Accept": "text/event-stream"},
                                   timeout_s=10)
            return status == 500 and body["code"] == "DOCKER_ERROR" and bool(body["details"])

        until("the engine is known to be away", refused, WAIT_S, gap_s=0.5)
