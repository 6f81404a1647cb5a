"""Volumes over HTTP: listed for those who may see their app, removed when nobody has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient

from api.here import EXTENSION
from api.routes import volumes as routes
from api.waiting import WAITERS_MAX
from cluster.engine.base import Mount, RunRequest
from cluster.engine.fake import FakeEngine
from cluster.state.commands import (
    DeleteApp,
    EndVolumeRemoval,
    FinishDelete,
    NameVolumes,
    RegisterApp,
    RemoveVolume,
)
from cluster.state.model import ClusterState
from tests.api.callers import ON, bearer, give
from tests.api.support import Node, make

CLUSTER = "c" * 32
LEFT = "orchestry-gone-data"
DOCUMENT = '{"spec": {"volumes": [{"name": "data", "mountPath": "/data"}]}}'


def place(node: Node, app: str, volume: str, *, stopped: bool = False) -> str:
    """Let a container have used a volume; the name of the container."""
    assert isinstance(node.engine, FakeEngine)
    made = node.engine.run(RunRequest(
        CLUSTER, app, 1, 1, 1, "x:1", mounts=(Mount(volume, "/data", read_only=False),)))
    if stopped:
        node.engine.stop(made.id, grace_s=0)
    return made.name


def begin(environ: dict[str, str] | None = None) -> tuple[Node, FlaskClient]:
    """A controller with an app `shop` and what an app `gone` left."""
    node, _, client = make(environ)
    node.engine = FakeEngine(node.clock)
    if not node.log.state().cluster_id:
        node.keep_history()
    node.submit(RegisterApp("shop", DOCUMENT, 1))
    return node, client


@pytest.fixture
def stored() -> tuple[Node, FlaskClient]:
    """With volumes of both."""
    node, client = begin()
    assert node.log.state().cluster_id == CLUSTER
    place(node, "shop", "orchestry-shop-data")
    place(node, "gone", LEFT, stopped=True)
    return node, client


@contextmanager
def ending(node: Node, problem: str = "") -> Iterator[None]:
    """Stands in for the leader's loop: each removal is carried out, or ends with the problem."""
    def look(state: ClusterState) -> None:
        for removal in state.volume_removals.values():
            threading.Thread(target=end, args=(removal.name, removal.index)).start()

    def end(name: str, index: int) -> None:
        if not problem:
            node.engine.remove_volume(CLUSTER, name)
        node.submit(EndVolumeRemoval(name, index, problem))

    node.log.subscribe(look)
    yield


def test_volumes_are_listed(stored: tuple[Node, FlaskClient]) -> None:
    """With their app, who uses them, and whether that app is there; sizes when asked for."""
    node, client = stored
    body = client.get("/api/v1/volumes").get_json()
    assert body["total"] == 2
    left, used = body["volumes"]
    assert {key: used[key] for key in ("name", "app", "in_use", "orphaned", "removing")} == {
        "name": "orchestry-shop-data", "app": "shop", "in_use": True, "orphaned": False,
        "removing": False}
    assert used["used_by"][0].startswith("shop.1.")
    assert (left["name"], left["orphaned"], left["in_use"], left["size_bytes"]) == (
        LEFT, True, False, None)
    assert left["created_at"].endswith("Z")
    sized = client.get("/api/v1/volumes?sizes=true").get_json()["volumes"]
    assert [one["size_bytes"] for one in sized] == [0, 0]
    of_app = client.get("/api/v1/apps/shop/volumes").get_json()
    assert of_app == {"volumes": [used], "total": 1}
    assert client.get("/api/v1/apps/gone/volumes").status_code == 404
    node.submit(DeleteApp("shop"))
    node.submit(NameVolumes("shop", node.log.state().apps["shop"].revision, 0, (used["name"],)))
    assert client.get("/api/v1/apps/shop/volumes").get_json()["volumes"][0]["removing"]


def test_without_docker_the_reason_is_told(stored: tuple[Node, FlaskClient]) -> None:
    """As an error of the engine, and nothing is begun."""
    node, client = stored
    assert isinstance(node.engine, FakeEngine)
    node.engine.down = True
    for answer in (client.get("/api/v1/volumes"), client.get("/api/v1/apps/shop/volumes"),
                   client.delete(f"/api/v1/volumes/{LEFT}")):
        assert answer.get_json()["code"] == "DOCKER_ERROR"
        assert "down" in answer.get_json()["details"]
    assert not node.log.state().volume_removals


def test_a_volume_of_a_deleted_app_is_removed(stored: tuple[Node, FlaskClient]) -> None:
    """It is answered once it is gone; a repeat under the same key gives the same answer."""
    node, client = stored
    with ending(node):
        for _ in range(2):
            answer = client.delete(
                f"/api/v1/volumes/{LEFT}", headers={"Idempotency-Key": "one"})
            assert (answer.status_code, answer.get_json()) == (200, {
                "message": "Volume removed", "name": LEFT, "app": "gone"})
    assert [one["name"] for one in client.get("/api/v1/volumes").get_json()["volumes"]] == [
        "orchestry-shop-data"]
    missing = client.delete(f"/api/v1/volumes/{LEFT}")
    assert (missing.status_code, missing.get_json()["error"]) == (404, "No such volume")
    events = [event.message for event in node.log.state().events if event.app == "gone"]
    assert events == ["Removal of a volume requested", "Volume removed"]


def test_a_volume_that_somebody_has_is_not_removed(stored: tuple[Node, FlaskClient]) -> None:
    """One of a present app, and one that another container mounts."""
    node, client = stored
    refused = client.delete("/api/v1/volumes/orchestry-shop-data")
    assert (refused.status_code, refused.get_json()["code"]) == (409, "CONFLICT")
    assert "keep_data" in refused.get_json()["details"]
    stranger = place(node, "gone", LEFT)
    refused = client.delete(f"/api/v1/volumes/{LEFT}")
    assert refused.status_code == 409
    assert stranger in refused.get_json()["details"]
    assert not node.log.state().volume_removals


def test_a_removal_that_fails_is_told(
    stored: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the engine's reason; one that takes long goes on after the answer."""
    node, client = stored
    monkeypatch.setattr(routes, "REMOVE_WAIT_S", 0.1)
    late = client.delete(f"/api/v1/volumes/{LEFT}")
    assert (late.status_code, late.get_json()["code"]) == (504, "TIMEOUT")
    assert client.get("/api/v1/volumes").get_json()["volumes"][0]["removing"]
    node.submit(EndVolumeRemoval(LEFT, node.log.state().volume_removals[LEFT].index))
    monkeypatch.setattr(routes, "REMOVE_WAIT_S", 10)
    with ending(node, "it is in use"):
        refused = client.delete(f"/api/v1/volumes/{LEFT}")
    assert refused.status_code == 409
    assert "it is in use" in refused.get_json()["details"]


def test_a_name_waits_for_the_volumes_that_leave_it(stored: tuple[Node, FlaskClient]) -> None:
    """An app is not registered while data of an earlier one of its name is being removed."""
    node, _ = stored
    removal = node.submit(RemoveVolume(LEFT, "gone"))
    refused = node.submit(RegisterApp("gone", DOCUMENT, 1))
    assert refused.rejected is not None
    assert LEFT in str(refused.details)
    node.submit(EndVolumeRemoval(LEFT, removal.index))
    assert node.submit(RegisterApp("gone", DOCUMENT, 1)).rejected is None
    assert node.submit(RemoveVolume(LEFT, "gone")).rejected is not None
    node.submit(DeleteApp("gone", keep_data=True))
    assert "being deleted" in str(node.submit(RemoveVolume(LEFT, "gone")).details)
    node.submit(FinishDelete("gone", node.log.state().apps["gone"].revision, 0))
    assert node.submit(RemoveVolume(LEFT, "gone")).rejected is None


def test_looking_takes_a_place(
    stored: tuple[Node, FlaskClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that counts sizes for long keeps no more threads than may wait."""
    node, client = stored
    assert isinstance(node.engine, FakeEngine)
    inside, over = threading.Event(), threading.Event()
    look = node.engine.volumes

    def slow(cluster_id: str, *, sizes: bool = False) -> Any:
        inside.set()
        over.wait(30)
        return look(cluster_id, sizes=sizes)

    monkeypatch.setattr(node.engine, "volumes", slow)
    waiting = client.application.extensions[EXTENSION].waiting
    for _ in range(WAITERS_MAX - 1):
        waiting._places.acquire()
    asking = threading.Thread(target=lambda: client.get("/api/v1/volumes?sizes=true"))
    asking.start()
    assert inside.wait(30)
    refused = client.application.test_client().get("/api/v1/apps/shop/volumes")
    over.set()
    asking.join()
    assert (refused.status_code, refused.get_json()["code"]) == (503, "CLUSTER_NOT_READY")


def test_who_may_see_and_remove() -> None:
    """Viewers see those of their apps; only an admin removes one."""
    node, client = begin(ON)
    place(node, "shop", "orchestry-shop-data")
    place(node, "gone", LEFT, stopped=True)
    mine = bearer(give(node, "viewer", apps="shop"))
    assert [one["app"] for one in client.get(
        "/api/v1/volumes", headers=mine).get_json()["volumes"]] == ["shop"]
    assert client.get("/api/v1/apps/gone/volumes", headers=mine).status_code == 403
    refused = client.delete(
        f"/api/v1/volumes/{LEFT}", headers=bearer(give(node, "deployer")))
    assert refused.status_code == 403
    with ending(node):
        done = client.delete(f"/api/v1/volumes/{LEFT}", headers=bearer(give(node, "admin")))
    assert done.status_code == 200
