"""A rolling upgrade: two builds in one cluster, real processes, and clients that keep writing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestry import Client
from orchestry.client import ApiError, ClientError, Conflict
from tests import builds
from tests.live import app_spec, until

pytestmark = pytest.mark.acceptance

RATE = 100
WRITERS = 4
CHANGE = {"scaling": {"default_cooldown": 200}}


@dataclass
class Load:
    """What the writers saw: seconds of each call, what failed, and the worst of each step."""

    took_s: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    step: str = "before"
    worst_s: dict[str, float] = field(default_factory=dict)
    began_s: float = field(default_factory=time.monotonic)

    def figures(self) -> str:
        """One line for people."""
        took = sorted(self.took_s)
        rate = len(took) / (time.monotonic() - self.began_s)
        return (f"{len(took)} SDK writes at {rate:.0f}/s, {len(self.failed)} failed; median "
                f"{took[len(took) // 2] * 1000:.0f} ms, worst of each step: "
                + ", ".join(f"{step} {worst * 1000:.0f} ms"
                            for step, worst in self.worst_s.items()))


@contextmanager
def writing(urls: list[str]) -> Iterator[Load]:
    """RATE writes a second by the SDK, each at its time, by WRITERS clients."""
    load, stop = Load(), threading.Event()

    def write(number: int) -> None:
        client, due_s = Client(urls), time.monotonic() + number / RATE
        while not stop.wait(max(0.0, due_s - time.monotonic())):
            due_s = max(due_s + WRITERS / RATE, time.monotonic() - 1.0)
            begun_s, step = time.monotonic(), load.step
            try:
                client.update_scaling_policy(f"app-{number}", {"max_replicas": 3 + number % 5})
            except ClientError as error:
                load.failed.append(repr(error))
            took_s = time.monotonic() - begun_s
            load.took_s.append(took_s)
            load.worst_s[step] = max(took_s, load.worst_s.get(step, 0.0))

    threads = [threading.Thread(target=write, args=(n,), daemon=True) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


def goes_on(load: Load) -> None:
    """Wait for a second's worth of writes."""
    count = len(load.took_s)
    until("writes go on", lambda: len(load.took_s) > count + RATE, 30)


@pytest.mark.beside
def test_what_an_older_version_wrote_is_read_and_not_the_other_way(tmp_path: Path) -> None:
    """One controller goes on with the files of the version before, and that one not with its."""
    old, new = builds.older(tmp_path / "old"), builds.newer(tmp_path / "new")
    with builds.MixedCluster(tmp_path / "cluster", old, size=1) as cluster:
        node = cluster.ids[0]
        client = Client(cluster.url(node))
        client.register_app(app_spec("shop", "x:1"))
        until("it has announced itself", lambda: cluster.versions() == {node: builds.OLDER}, 20)
        before = cluster.levels().pop()
        cluster.replace(node, old)
        cluster.replace(node, new)
        until("the level rises", lambda: cluster.levels() == {before + 1}, 30)
        assert client.list_apps()["apps"][0]["name"] == "shop"
        client.update_config(CHANGE)
        assert cluster.stop(node) == 0
        cluster.refuses(node, old, before + 1)
        cluster.build[node] = new
        cluster.boot(node)
        cluster.wait_ready()
        assert client.get_config()["scaling"]["default_cooldown"] == 200


@pytest.mark.long
def test_three_controllers_are_upgraded_one_by_one_under_load(tmp_path: Path) -> None:
    """No call fails, what is new waits for the last one, and then the old version is refused."""
    old, new = builds.older(tmp_path / "old"), builds.newer(tmp_path / "new")
    with builds.MixedCluster(tmp_path / "cluster", old) as cluster:
        urls = [cluster.url(node) for node in cluster.ids]
        client = Client(urls)
        for number in range(WRITERS):
            client.register_app(app_spec(f"app-{number}", "x:1"))
        until("all have announced", lambda: set(cluster.versions().values()) == {builds.OLDER}, 20)
        before = cluster.levels().pop()
        leader = str(cluster.leader())
        followers = [node for node in cluster.ids if node != leader]
        with writing(urls) as load:
            goes_on(load)
            for load.step in ("first follower", "second follower"):
                node = followers[load.step == "second follower"]
                cluster.replace(node, new)
                with pytest.raises(ApiError) as unknown:  # the leader has no such route yet
                    Client(cluster.url(node)).update_config(CHANGE)
                assert unknown.value.code == "METHOD_NOT_ALLOWED"
            load.step = "transfers"
            client.transfer_leadership(followers[0])
            until("it is known", lambda: cluster.versions()[followers[0]] == builds.NEWER, 20)
            with pytest.raises(Conflict, match=f"first upgrade {leader} .version 1.0.0.") as told:
                Client(cluster.url(followers[0])).update_config(CHANGE)
            assert told.value.code == "CONFLICT"
            assert cluster.levels() == {before}
            client.transfer_leadership(leader)
            goes_on(load)
            load.step = "leader"
            cluster.replace(leader, new)  # SIGTERM hands over first
            until("the level rises", lambda: cluster.levels() == {before + 1}, 30)
            client.update_config(CHANGE)
            goes_on(load)
        print(f"rolling upgrade of 3 controllers: {load.figures()}")
        assert not load.failed
        again = followers[1]
        assert cluster.stop(again) == 0
        cluster.refuses(again, old, before + 1)
        cluster.build[again] = new
        cluster.boot(again)
        until("it is back", lambda: cluster.levels() == {before + 1}, 60)
