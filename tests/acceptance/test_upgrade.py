"""A rolling upgrade: two builds in one cluster, real processes, and clients that keep writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestry import Client
from orchestry.client import ApiError, Conflict
from orchestry.client.bodies import ConfigChanges
from tests import builds
from tests.live import app_spec, until
from tests.sdk_load import WRITERS, goes_on, writing

pytestmark = pytest.mark.acceptance

CHANGE: ConfigChanges = {"scaling": {"default_cooldown": 200}}
LATE = {**app_spec("late", "x:1"), "deploy": {"autoRollback": False}}


def change_policy(client: Client, writer: int, turn: int) -> None:
    """A write that makes nothing grow."""
    client.update_scaling_policy(f"app-{writer}", {"max_replicas": 3 + turn % 5})


@pytest.mark.beside
def test_what_an_older_version_wrote_is_read_and_not_the_other_way(tmp_path: Path) -> None:
    """One controller goes on with the files of the version before, and that one not with its."""
    old, new = builds.older(tmp_path / "old"), builds.newer(tmp_path / "new")
    with (
        builds.MixedCluster(tmp_path / "cluster", old, size=1) as cluster,
        Client(cluster.url(cluster.ids[0])) as client,
    ):
        node = cluster.ids[0]
        client.register_app(app_spec("shop", "x:1"))
        until("it has announced itself", lambda: cluster.versions() == {node: builds.OLDER}, 60)
        before = cluster.levels().pop()
        cluster.replace(node, old)
        cluster.replace(node, new)
        until("the level rises", lambda: cluster.levels() == {before + 1}, 60)
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
        until("all have announced", lambda: set(cluster.versions().values()) == {builds.OLDER}, 60)
        before = cluster.levels().pop()
        leader = cluster.led()
        followers = [node for node in cluster.ids if node != leader]
        with writing(urls, change_policy) as load:
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
            with pytest.raises(Conflict, match=f"`{builds.LATE_KEY}` needs level {before + 1}"):
                client.register_app(LATE)
            assert cluster.levels() == {before}
            client.transfer_leadership(leader)
            goes_on(load)
            load.step = "leader"
            cluster.replace(leader, new)  # SIGTERM hands over first
            until("the level rises", lambda: cluster.levels() == {before + 1}, 30)
            client.update_config(CHANGE)
            client.register_app(LATE)
            goes_on(load)
        print(f"rolling upgrade of 3 controllers: {load.figures()}")
        assert not load.failed
        again = followers[1]
        assert cluster.stop(again) == 0
        cluster.refuses(again, old, before + 1)
        cluster.build[again] = new
        cluster.boot(again)
        until("it is back", lambda: cluster.levels() == {before + 1}, 60)
