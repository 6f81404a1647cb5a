"""Data in volumes on real Docker: it outlives all but the deletion that asks for it."""

from __future__ import annotations

import io
import tarfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import docker
import docker.errors
import pytest

from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import ask, begin, cluster_id, environment

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

WAIT_S = 90.0
MARK = "/data/mark"


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str
) -> Iterator[LiveCluster]:
    """Three controllers without an ingress."""
    with LiveCluster(tmp_path_factory.mktemp("cluster"), ingress=False) as live:
        yield live


def spec(name: str, image: str, *, own: bool = False, **variables: str) -> dict[str, Any]:
    """An app with one volume."""
    found = app_spec(name, image, termination={"drainSeconds": 0},
                     deploy={"minHealthySeconds": 0})
    found["spec"]["volumes"] = [{"name": "data", "mountPath": "/data", "perReplica": own}]
    return environment(found, **variables)


def volumes(cluster: LiveCluster, app: str) -> dict[str, dict[str, Any]]:
    """Those of one app, by name."""
    url = cluster.url(cluster.alive()[0], f"/api/v1/volumes?sizes=true&min_index={cluster.index}")
    status, body, _ = call("GET", url, timeout_s=40)
    assert status == 200, body
    return {one["name"]: one for one in body["volumes"] if one["app"] == app}


def replicas(cluster: LiveCluster, client: docker.APIClient, app: str) -> dict[int, str]:
    """Slot -> id of the app's running containers."""
    return {
        int(one["Labels"]["orchestry.slot"]): one["Id"] for one in client.containers(filters={
            "label": [f"orchestry.cluster={cluster_id(cluster)}", f"orchestry.app={app}"]})}


def write(client: docker.APIClient, container: str, text: str) -> None:
    """Put a file where the volume is mounted."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo("mark")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text.encode()))
    assert client.put_archive(container, "/data", archive.getvalue())


def read(client: docker.APIClient, container: str) -> str | None:
    """What the file has, None without one."""
    try:
        stream, _ = client.get_archive(container, MARK)
    except docker.errors.NotFound:
        return None
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        file = tar.extractfile("mark")
        assert file is not None
        return file.read().decode()


def steady(cluster: LiveCluster, app: str, count: int) -> None:
    """The app has exactly so many healthy replicas, and no deployment goes on."""
    def done() -> bool:
        status = cluster.status(app)
        return bool(
            status and status["status"] == "running" and status["deployment"] is None
            and len(status["containers"]) == count
            and all(one["health"] == "healthy" for one in status["containers"]))

    until(f"{app} has {count}", done, WAIT_S)


def test_data_outlives_all_but_its_deletion(
    cluster: LiveCluster, client: docker.APIClient, test_app_image: str
) -> None:
    """Scale, crash, update, a killed leader, and an app of the same name later."""
    begin(cluster, spec("shop", test_app_image), 1)
    write(client, replicas(cluster, client, "shop")[1], "precious")
    ask(cluster, "POST", "/api/v1/apps/shop/scale", {"replicas": 3})
    assert {read(client, one) for one in replicas(cluster, client, "shop").values()} == {
        "precious"}
    client.kill(replicas(cluster, client, "shop")[2])
    ask(cluster, "POST", "/api/v1/apps/shop/scale", {"replicas": 1})
    ask(cluster, "PUT", "/api/v1/apps/shop", spec("shop", test_app_image, REVISION="2"))
    leader = cluster.led()
    cluster.kill(leader)
    steady(cluster, "shop", 1)
    cluster.boot(leader)
    cluster.wait_ready()
    assert read(client, replicas(cluster, client, "shop")[1]) == "precious"
    found = volumes(cluster, "shop")["orchestry-shop-data"]
    assert (found["in_use"], found["orphaned"], found["size_bytes"]) == (True, False, 8)
    status, refused = cluster.write("DELETE", "/api/v1/volumes/orchestry-shop-data")
    assert (status, refused["code"]) == (409, "CONFLICT")

    gone = ask(cluster, "DELETE", "/api/v1/apps/shop?force=true&keep_data=true")
    assert gone["volumes_removed"] == 0
    assert volumes(cluster, "shop")["orchestry-shop-data"]["orphaned"]
    without = spec("shop", test_app_image)
    del without["spec"]["volumes"]
    begin(cluster, without, 1)
    assert volumes(cluster, "shop")["orchestry-shop-data"]["orphaned"]
    gone = ask(cluster, "DELETE", "/api/v1/apps/shop?force=true")
    assert (gone["volumes_removed"], gone["removed_volumes"]) == (0, [])
    begin(cluster, spec("shop", test_app_image), 1)
    assert read(client, replicas(cluster, client, "shop")[1]) == "precious"

    gone = ask(cluster, "DELETE", "/api/v1/apps/shop?force=true")
    assert (gone["volumes_removed"], gone["removed_volumes"]) == (1, ["orchestry-shop-data"])
    assert volumes(cluster, "shop") == {}
    begin(cluster, spec("shop", test_app_image), 1)
    assert read(client, replicas(cluster, client, "shop")[1]) is None
    ask(cluster, "DELETE", "/api/v1/apps/shop?force=true")


def test_each_slot_has_its_own_and_never_two_at_once(
    cluster: LiveCluster, client: docker.APIClient, test_app_image: str
) -> None:
    """Also through an update: a slot's old container is gone before the next one is there."""
    begin(cluster, spec("own", test_app_image, own=True), 2)
    for slot, container in replicas(cluster, client, "own").items():
        write(client, container, f"slot {slot}")
    filters = {"label": [f"orchestry.cluster={cluster_id(cluster)}", "orchestry.app=own"]}
    twice, over = list[str](), threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            slots = [one["Labels"]["orchestry.slot"] for one in client.containers(filters=filters)]
            twice.extend(slot for slot in set(slots) if slots.count(slot) > 1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ask(cluster, "PUT", "/api/v1/apps/own", spec("own", test_app_image, own=True, V="2"))
        steady(cluster, "own", 2)
        until("the update is over", lambda: call("GET", cluster.url(
            cluster.alive()[0], "/api/v1/apps/own/deployments"))[1]["deployments"][0][
                "phase"] == "done", WAIT_S)
    finally:
        over.set()
        watcher.join()
    assert twice == []
    ask(cluster, "POST", "/api/v1/apps/own/scale", {"replicas": 1})
    assert set(volumes(cluster, "own")) == {"orchestry-own-data-1", "orchestry-own-data-2"}
    ask(cluster, "POST", "/api/v1/apps/own/scale", {"replicas": 2})
    assert {slot: read(client, one) for slot, one in replicas(cluster, client, "own").items()} == {
        1: "slot 1", 2: "slot 2"}
    assert ask(cluster, "DELETE", "/api/v1/apps/own?force=true")["volumes_removed"] == 2
    assert volumes(cluster, "own") == {}


def test_a_deletion_is_ended_by_the_next_leader(
    cluster: LiveCluster, client: docker.APIClient, test_app_image: str
) -> None:
    """The leader dies right after it was asked for; what was kept is removed by name later."""
    for app in ("one", "two"):
        begin(cluster, spec(app, test_app_image, own=True), 2)
    leader = cluster.led()
    asking = threading.Thread(target=lambda: _let_go(cluster, leader))
    asking.start()
    until("it is being deleted", lambda: (
        cluster.status("one") or {"status": "stopping"})["status"] == "stopping", WAIT_S, 0.005)
    cluster.kill(leader)
    asking.join()
    until("a leader", cluster.acting, WAIT_S)
    until("it is gone", lambda: cluster.status("one") is None, WAIT_S)
    cluster.boot(leader)
    cluster.wait_ready()
    assert volumes(cluster, "one") == {}
    assert len(volumes(cluster, "two")) == 2
    ask(cluster, "DELETE", "/api/v1/apps/two?force=true&keep_data=true")
    for name in volumes(cluster, "two"):
        assert ask(cluster, "DELETE", f"/api/v1/volumes/{name}")["app"] == "two"
    assert volumes(cluster, "two") == {}
    with pytest.raises(docker.errors.NotFound):
        client.inspect_volume("orchestry-two-data-1")


def _let_go(cluster: LiveCluster, leader: str) -> None:
    """Ask for the deletion; the answer is cut off."""
    with suppress(OSError):
        call("DELETE", cluster.url(leader, "/api/v1/apps/one"), timeout_s=30)
