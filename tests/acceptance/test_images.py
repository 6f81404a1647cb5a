"""Images of a real registry: one for each revision, and what a bad one does to a running app."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.live import LiveCluster, app_spec, until
from tests.live_apps import ENDED_S, ask, begin, ended, update
from tests.registry import Registry, saved

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.nginx, pytest.mark.beside]

APP = "/api/v1/apps/shop"
BYTES_PER_S = 400_000.0
GONE_S = 90.0


@pytest.fixture
def registry(client: Any) -> Iterator[Registry]:
    """Its images are removed in the end."""
    with Registry() as found:
        yield found
        for image in client.images():
            names = [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
            if any(name.startswith(f"{found.host}/") for name in names):
                client.remove_image(image["Id"], force=True)


@pytest.fixture
def cluster(tmp_path: Any, registry: Registry) -> Iterator[LiveCluster]:
    """Three controllers, which are gone before the images are."""
    with LiveCluster(tmp_path) as live:
        yield live


def spec(image: str, deadline_s: int = 60) -> dict[str, Any]:
    """The shop; its deadline is short where it is to be missed."""
    found = app_spec("shop", image)
    found["deploy"] = {"minHealthySeconds": 1, "progressDeadlineSeconds": deadline_s}
    found["termination"] = {"terminationGracePeriodSeconds": 1, "drainSeconds": 1}
    return found


def app(cluster: LiveCluster) -> dict[str, Any]:
    """As any controller shows it."""
    return dict(ask(cluster, "GET", APP))


def images_of(client: Any, cluster: LiveCluster) -> list[str]:
    """The images of the replicas that are there."""
    return [client.inspect_container(one["id"])["Image"] for one in app(cluster)["containers"]]


def test_a_tag_means_one_image_and_a_bad_one_stops_nothing(
    cluster: LiveCluster, registry: Registry, client: Any, test_app_image: str
) -> None:
    """Pull with progress, a leader killed in the middle, a moved tag, a bad one, a silent one."""
    content = saved(client, test_app_image)
    name = f"team/shop-{uuid.uuid4().hex[:8]}"
    tag = f"{registry.host}/{name}:latest"
    first = registry.put(name, "latest", content, b"x" * 3_000_000)
    registry.bytes_per_s = BYTES_PER_S
    begin(cluster, spec(tag), 2, wait=False)
    pulling = until("progress is shown", lambda: (
        (found := app(cluster)["pulling"]) and found["done_bytes"] > 0 and found), ENDED_S, 0.2)
    assert pulling["image"] == tag
    assert pulling["done_bytes"] < pulling["total_bytes"]
    registry.bytes_per_s = BYTES_PER_S * 4
    leader = cluster.led()
    cluster.kill(leader)
    until("two replicas serve", lambda: app(cluster)["replicas"]["healthy"] == 2, ENDED_S)
    pinned = f"{registry.host}/{name}@{first}"
    assert (app(cluster)["pinned"], app(cluster)["pulling"]) == (pinned, None)

    registry.put(name, "latest", content, b"another")
    assert cluster.write("POST", f"{APP}/scale", {"replicas": 4})[0] == 200
    until("any controller shows four", lambda: len(app(cluster)["containers"]) == 4, ENDED_S)
    assert len(set(images_of(client, cluster))) == 1
    before = {one["id"] for one in app(cluster)["containers"]}

    for bad, fault, reason in (
        (f"{registry.host}/{name}:typo", "", "is not in registry"),
        (f"{registry.host}/{name}:other", "500", "does not give out"),
    ):
        registry.fault = fault  # type: ignore[assignment]
        failed = ended(cluster, update(cluster, spec(bad, deadline_s=8)))
        assert failed["phase"] == "failed"
        assert reason in failed["reason"]
        assert {one["id"] for one in app(cluster)["containers"]} == before
        until("it is back", lambda: app(cluster)["status"] == "running", ENDED_S)
    assert app(cluster)["pinned"] == pinned

    registry.fault = ""
    assert ended(cluster, ask(cluster, "POST", f"{APP}/restart")["deployment"])["phase"] == "done"
    assert app(cluster)["pinned"] != pinned
    rows = cluster.write("GET", f"{APP}/revisions")[1]["revisions"]
    assert pinned in {row["pinned"] for row in rows}


def test_a_run_waits_for_its_image(
    cluster: LiveCluster, registry: Registry, client: Any, test_app_image: str
) -> None:
    """Of an app that does not run: it says why it waits, and is made from the image that is pinned.

    A tag that no registry has ends it at once.
    """
    name = f"team/shop-{uuid.uuid4().hex[:8]}"
    digest = registry.put(name, "latest", saved(client, test_app_image), b"one")
    registry.fault = "500"
    assert cluster.write(
        "POST", "/api/v1/apps/register", spec(f"{registry.host}/{name}:latest"))[0] == 201
    first = asked(cluster)
    until("it says why it waits", lambda: "does not give out" in (
        seen(cluster, first)["reason"] or ""), ENDED_S)
    assert seen(cluster, first)["status"] == "waiting"
    registry.fault = ""
    until("it is done", lambda: seen(cluster, first)["status"] == "succeeded", ENDED_S)
    assert seen(cluster, first)["reason"] is None
    assert app(cluster)["pinned"] == f"{registry.host}/{name}@{digest}"

    assert cluster.write("PUT", APP, spec(f"{registry.host}/{name}:typo"))[0] == 200
    second = asked(cluster)
    until("it has failed", lambda: seen(cluster, second)["status"] == "failed", ENDED_S)
    assert "is not in registry" in seen(cluster, second)["reason"]


def test_images_that_nothing_needs_leave_the_host(
    cluster: LiveCluster, registry: Registry, client: Any, test_app_image: str
) -> None:
    """Of five revisions one goes; what a stranger runs, what was here before and what is kept stay.

    A leader is killed, the app is deleted: the next leader ends it, and still takes nobody's image.
    """
    name = f"team/shop-{uuid.uuid4().hex[:8]}"
    tags = [f"{registry.host}/{name}:{n}" for n in range(5)]
    for number in range(5):
        registry.put(name, str(number), saved(client, test_app_image), b"x" * 100_000 * number)
    client.pull(tags[2])
    assert cluster.write(
        "PUT", "/api/v1/config", {"images": {"keep_revisions": 0}})[0] == 200
    begin(cluster, spec(tags[0]), 1)
    for tag in tags[1:]:
        assert ended(cluster, update(cluster, spec(tag)))["phase"] == "done"
        if tag == tags[1]:
            stranger = client.create_container(tag)["Id"]
    try:
        until("the first one is gone", lambda: here(client, tags) == tags[1:], GONE_S, 0.5)
        leader = cluster.led()
        assert cluster.write("DELETE", APP)[0] == 200
        cluster.kill(leader)
        until("only what others have is left", lambda: here(client, tags) == tags[1:3], GONE_S, 0.5)
        told = until("each removal is told", lambda: len(
            found := removals(cluster)) == 3 and found, ENDED_S)
        assert [one["details"]["image"] for one in told] == [tags[0], *tags[3:]]
        assert all(one["details"]["size_bytes"] > 100_000 for one in told)
    finally:
        client.remove_container(stranger)


def here(client: Any, tags: list[str]) -> list[str]:
    """Those that the host has."""
    return [tag for tag in tags if client.images(tag)]


def removals(cluster: LiveCluster) -> list[dict[str, Any]]:
    """The events of removed images, oldest first."""
    found = cluster.write("GET", "/api/v1/events?limit=1000")[1]["events"]
    return sorted(
        (one for one in found if "is removed from the host" in one["message"]),
        key=lambda one: int(one["id"]))


def asked(cluster: LiveCluster) -> int:
    """The id of another run, which does nothing."""
    body = {"command": ["/app", "once", "0", "0"]}
    return int(ask(cluster, "POST", f"{APP}/run", body)["run"])


def seen(cluster: LiveCluster, run: int) -> dict[str, Any]:
    """A run, as any controller shows it."""
    return dict(cluster.write("GET", f"{APP}/runs/{run}")[1])
