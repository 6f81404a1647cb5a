"""Controllers come and go at run time, as processes, while clients write."""

from __future__ import annotations

import functools
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestry import Client
from tests.live import LiveCluster, app_spec, call, until
from tests.ports import free_ports
from tests.sdk_load import goes_on, writing

pytestmark = [pytest.mark.acceptance, pytest.mark.beside]
WAIT_S = 60.0


class GrowingCluster(LiveCluster):
    """A LiveCluster whose members change."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(folder, size=size, engine="fake", ingress=False)
        self.joined: dict[str, dict[str, str]] = {}
        self.first = dict(self.raft_ports)

    def variables(self, node: str) -> dict[str, str]:
        """The environment of one controller: the old CLUSTER_PEERS, or what `add` told."""
        found = super().variables(node)
        peers = ",".join(f"{n}=127.0.0.1:{port}" for n, port in self.first.items())
        found["CLUSTER_PEERS"] = peers if len(self.first) > 1 else ""
        found = {name: value for name, value in found.items() if value}
        return found | self.joined.get(node, {})

    def add(self, node: str, *, first: bool = False, start: bool = True) -> tuple[int, Any]:
        """Make a controller a member; started `first`, or afterwards as it was told."""
        if node not in self.raft_ports:
            self.api_ports[node], self.raft_ports[node] = free_ports(2)
        address = f"127.0.0.1:{self.raft_ports[node]}"
        if first:
            rows = call("GET", self.url(self.alive()[0], "/cluster/members"))[1]["members"]
            peers = {row["node_id"]: row["raft_address"] for row in rows} | {node: address}
            self.joined[node] = {
                "CLUSTER_PEERS": ",".join(f"{n}={a}" for n, a in peers.items()),
                "CLUSTER_JOIN": "true"}
            self.boot(node)
            until(f"{node} serves", lambda: call("GET", self.url(node, "/livez"))[0] == 200, WAIT_S)
            assert call("GET", self.url(node, "/readyz"))[0] == 503
        status, body = self.write(
            "POST", "/cluster/members", {"node_id": node, "raft_address": address})
        if status == 201:
            self.joined[node] = body["join"]
            if start and not first:
                self.boot(node)
            if start:
                self.wait_ready()
        return status, body

    def removed(self, node: str) -> None:
        """Take a controller out, as soon as enough others answer for that."""
        def done() -> bool:
            status, body = self.remove(node)
            assert status == 200 or "would be up" in str(body["details"]), body
            return status == 200

        until(f"{node} is removed", done, WAIT_S)

    def remove(self, node: str) -> tuple[int, Any]:
        """Take a controller out."""
        return self.write("DELETE", f"/cluster/members/{node}")

    def members(self, node: str) -> list[str]:
        """Who votes, according to one controller."""
        body = call("GET", self.url(node, "/cluster/members"))[1]
        return sorted(row["node_id"] for row in body["members"])

    def agree(self, members: list[str]) -> None:
        """All of them know that they are the members, and each app that any of them knows."""
        def look() -> bool:
            lists = [call("GET", self.url(node, "/api/v1/apps"))[1]["apps"] for node in members]
            return all(self.members(node) == sorted(members) for node in members) and all(
                {row["name"] for row in found} == {row["name"] for row in lists[0]}
                for found in lists)

        until("the members agree", look, WAIT_S)


@contextmanager
def writers(cluster: GrowingCluster) -> Iterator[list[str]]:
    """Two clients that register apps, one after another; the names of the acknowledged ones."""
    done: list[str] = []
    stop = threading.Event()

    def client(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            name = f"app-{number}-{turn}"
            status, body = cluster.write(
                "POST", "/api/v1/apps/register", app_spec(name, "x:1"), timeout_s=WAIT_S)
            assert status == 201, body
            done.append(name)
            time.sleep(0.02)

    threads = [threading.Thread(target=client, args=(n,), daemon=True) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_S + 10)
    assert not any(thread.is_alive() for thread in threads)


def test_from_one_to_three_and_a_dead_one_replaced(tmp_path: Path) -> None:
    """Nothing acknowledged is lost while one grows to three, and a dead one is replaced."""
    with GrowingCluster(tmp_path, 1) as cluster:
        with writers(cluster) as done:
            status, answer = cluster.add("controller-2", start=False)
            assert (status, answer["code"]) == (409, "CONFLICT")
            assert "CLUSTER_JOIN=true" in answer["details"]
            for node in ("controller-2", "controller-3"):
                assert cluster.add(node, first=True)[0] == 201
            until("some writes", lambda: len(done) > 20, WAIT_S)
            cluster.kill("controller-3")
            shutil.rmtree(tmp_path / "controller-3")
            cluster.removed("controller-3")
            assert cluster.add("controller-4")[0] == 201
            count = len(done)
            until("more writes", lambda: len(done) > count + 20, WAIT_S)
        members = ["controller-1", "controller-2", "controller-4"]
        cluster.agree(members)
        names = {row["name"] for row in
                 call("GET", cluster.url("controller-4", "/api/v1/apps"))[1]["apps"]}
        assert set(done) <= names
        # All start again with the CLUSTER_PEERS of the first day: the log knows better.
        for node in members:
            cluster.kill(node)
        for node in members:
            cluster.boot(node)
        cluster.wait_ready()
        cluster.agree(members)
        status = call("GET", cluster.url("controller-1", "/cluster/status"))[1]
        assert status["cluster_size"] == 3
        cluster.kill("controller-1")
        assert cluster.write("POST", "/api/v1/apps/register", app_spec("late", "x:1"))[0] == 201


@pytest.mark.long
def test_from_one_to_three_to_five_and_back(tmp_path: Path) -> None:
    """No call of the SDK fails meanwhile, and what was acknowledged is with all that are left."""
    nodes = [f"controller-{number}" for number in range(1, 6)]
    with GrowingCluster(tmp_path, 1) as cluster:
        for node in nodes[1:]:
            cluster.api_ports[node], cluster.raft_ports[node] = free_ports(2)
        done: list[str] = []

        def register(client: Client, writer: int, turn: int) -> None:
            name = f"app-{writer}-{turn}"
            client.register_app(app_spec(name, "x:1"))
            done.append(name)

        urls = [cluster.url(node) for node in nodes]
        with writing(urls, register, rate=40) as load:
            goes_on(load)
            for load.step in nodes[1:]:
                assert cluster.add(load.step, first=load.step == nodes[1])[0] == 201
                goes_on(load)
            until("all know the five", lambda: all(
                cluster.members(node) == nodes for node in nodes), 60)
            leader = cluster.led()
            rest = list(nodes)
            for load.step in (leader, next(node for node in nodes if node != leader)):
                assert cluster.remove(load.step)[0] == 200
                process = cluster.processes.pop(load.step)
                process.terminate()
                assert process.wait(30) == 0
                rest.remove(load.step)
                goes_on(load)
        print(f"from 1 to 5 to 3 controllers: {load.figures()}")
        assert not load.failed
        cluster.agree(rest)
        apps = call("GET", cluster.url(rest[0], "/api/v1/apps"))[1]["apps"]
        names = {row["name"] for row in apps}
        assert set(done) <= names


def test_the_leader_is_removed_and_comes_back(tmp_path: Path) -> None:
    """A leader hands over before it goes; a node that is no member knows it."""
    with GrowingCluster(tmp_path, 3) as cluster:
        leader = cluster.led()
        with writers(cluster) as done:
            status, answer = cluster.remove(leader)
            assert status == 200, answer
            rest = [node for node in cluster.ids if node != leader]
            cluster.agree(rest)
            found = until("the removed one says so", lambda: call(
                "GET", cluster.url(leader, "/cluster/status"))[1]["fault"], WAIT_S)
            # From the new leader, or from a follower that it asks after that one's word was lost.
            assert "removed" in found or "is not that of a member" in found, found
            assert call("GET", cluster.url(leader, "/cluster/health"))[0] == 503
            cluster.kill(leader)
            shutil.rmtree(tmp_path / leader)
            assert cluster.add(leader)[0] == 201
        cluster.agree(cluster.ids)
        names = {row["name"] for row in
                 call("GET", cluster.url(leader, "/api/v1/apps"))[1]["apps"]}
        assert set(done) <= names


def test_changes_that_are_refused(tmp_path: Path) -> None:
    """No change that would stop the cluster, or make two of one."""
    with GrowingCluster(tmp_path, 3) as cluster:
        until("members", lambda: cluster.members("controller-1") == cluster.ids, WAIT_S)
        taken = cluster.raft_ports["controller-2"]
        body = {"node_id": "controller-9", "raft_address": f"127.0.0.1:{taken}"}
        status, answer = cluster.write("POST", "/cluster/members", body)
        assert (status, answer["code"]) == (409, "CONFLICT")
        body = {"node_id": "controller-2", "raft_address": "127.0.0.1:1"}
        status, answer = cluster.write("POST", "/cluster/members", body)
        assert (status, answer["code"]) == (409, "CONFLICT")
        assert "remove it first" in answer["details"]
        status, answer = cluster.write(
            "POST", "/cluster/members", {"node_id": "x", "raft_address": "10.1.2.3:9000"})
        assert (status, answer["details"][0]["field"]) == (400, "raft_address")
        assert "CLUSTER_SECRET" in answer["details"][0]["message"]
        status, answer = cluster.write("DELETE", "/cluster/members/nobody")
        assert (status, answer["code"]) == (404, "NOT_FOUND")
        leader = cluster.led()
        down, other = [node for node in cluster.ids if node != leader]
        cluster.kill(down)
        until("it is missed", lambda: not next(
            row["connected"] for row in call("GET", cluster.url(
                str(leader), "/cluster/members"))[1]["members"] if row["node_id"] == down), WAIT_S)
        # Two of three are up: a fourth that is not up yet would need three of four.
        status, answer = cluster.add("controller-4", start=False)
        assert (status, answer["code"]) == (409, "CONFLICT")
        assert "majority" in answer["details"]
        status, answer = cluster.remove(other)
        assert (status, answer["code"]) == (409, "CONFLICT")
        assert cluster.members(str(leader)) == cluster.ids
        cluster.removed(down)


def test_an_emptied_disk_does_not_vote_again(tmp_path: Path) -> None:
    """A member whose folder is new is refused, and says so, until it is added anew."""
    with GrowingCluster(tmp_path, 3) as cluster:
        until("all folders are known", lambda: all(
            row["seen"] for row in call(
                "GET", cluster.url("controller-1", "/cluster/members"))[1]["members"]), WAIT_S)
        leader = cluster.led()
        victim = next(node for node in cluster.ids if node != leader)
        cluster.kill(victim)
        shutil.rmtree(tmp_path / victim)
        cluster.boot(victim)
        until("it knows", lambda: "add it again" in str(
            call("GET", cluster.url(victim, "/cluster/status"))[1]["fault"]), WAIT_S)
        # Another follower may have told it before the leader heard of it.
        until("the leader knows, too", lambda: "add it again" in str(next(
            row["refused"] for row in call("GET", cluster.url(leader, "/cluster/members"))[1][
                "members"] if row["node_id"] == victim)), WAIT_S)
        assert call("GET", cluster.url(victim, "/readyz"))[0] == 503
        cluster.kill(victim)
        shutil.rmtree(tmp_path / victim)
        cluster.removed(victim)
        assert cluster.add(victim)[0] == 201
        cluster.agree(cluster.ids)


def leads(cluster: LiveCluster, node: str) -> bool:
    """Whether all know that a controller leads, and it has the lease."""
    told = [call("GET", cluster.url(one, "/cluster/leader"))[1] for one in cluster.alive()]
    return all(one.get("leader_id") == node and one["lease_expires_at"] for one in told)


def test_transfer(tmp_path: Path) -> None:
    """Leadership goes to whom it should; a repeat under the same key moves nothing."""
    with GrowingCluster(tmp_path, 3) as cluster, writers(cluster) as done:
        for turn in range(4):
            leader = cluster.led()
            to = next(node for node in cluster.ids if node != leader)
            asked = {"to": to} if turn % 2 else {}
            headers = {"Idempotency-Key": os.urandom(8).hex()}
            status, body, _ = call("POST", cluster.url(leader, "/cluster/transfer"), asked,
                                   headers=headers, timeout_s=WAIT_S)
            assert status == 200, body
            new = body["leader_id"]
            assert new != leader
            assert body["previous_leader"] == leader
            if turn % 2:
                assert new == to
            until("it leads with a lease", functools.partial(leads, cluster, new), WAIT_S)
            status, body, _ = call("POST", cluster.url(new, "/cluster/transfer"), asked,
                                   headers=headers, timeout_s=WAIT_S)
            assert (status, body["leader_id"]) == (200, new)
        status, body = cluster.write("POST", "/cluster/transfer", {"to": "nobody"})
        assert (status, body["code"]) == (400, "VALIDATION_ERROR"), body
        assert body["details"][0]["field"] == "to"
        count = len(done)
        until("writes go on", lambda: len(done) > count + 5, WAIT_S)


def test_data_folders_carry_an_incarnation(tmp_path: Path) -> None:
    """Each folder has a name of its own, which stays over a restart."""
    def found() -> dict[str, str]:
        return {node: json.loads((tmp_path / node / "node.json").read_text())["incarnation"]
                for node in cluster.ids}

    with GrowingCluster(tmp_path, 3) as cluster:
        before = found()
        assert len(set(before.values())) == 3
        cluster.kill("controller-2")
        cluster.boot("controller-2")
        cluster.wait_ready()
        assert found() == before
