"""Crash loops, kills for want of memory and an engine that hangs in part, on the real thing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.docker_proxy import DockerProxy
from tests.live import LiveCluster, app_spec, call, until
from tests.live_apps import begin, environment, killed_leader

pytestmark = [pytest.mark.acceptance, pytest.mark.docker, pytest.mark.beside]

LOOP_S = 90.0
WAIT_S = 60.0


@pytest.fixture(scope="module")
def proxy(
    tmp_path_factory: pytest.TempPathFactory, docker_socket: str
) -> Iterator[DockerProxy]:
    """Between the cluster and its daemon."""
    with DockerProxy(tmp_path_factory.mktemp("proxy") / "docker.sock", docker_socket) as found:
        yield found


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, test_app_image: str, proxy: DockerProxy
) -> Iterator[LiveCluster]:
    """Three controllers whose calls to Docker go through the proxy."""
    with LiveCluster(
        tmp_path_factory.mktemp("restarts"), ingress=False,
        environ={"DOCKER_HOST": proxy.url, "DOCKER_TIMEOUT": "5"},
    ) as live:
        yield live


@pytest.fixture(autouse=True)
def healed(cluster: LiveCluster, proxy: DockerProxy) -> Iterator[None]:
    """Each test leaves no app and no fault."""
    yield
    proxy.hang("")
    for row in call("GET", cluster.url(cluster.ids[0], "/api/v1/apps"))[1]["apps"]:
        cluster.write("DELETE", f"/api/v1/apps/{row['name']}?force=true")


def events(cluster: LiveCluster, text: str, app: str = "") -> list[dict[str, Any]]:
    """Those with this in their message."""
    query = f"limit=200&app={app}" if app else "limit=200"
    found = call("GET", cluster.url(cluster.alive()[0], f"/api/v1/events?{query}"))[1]
    return [one for one in found["events"] if text in one["message"]]


def test_a_crash_loop_on_real_containers(cluster: LiveCluster, test_app_image: str) -> None:
    """Status, events with masked lines, and a backoff that the next leader goes on with."""
    app = begin(cluster, environment(
        app_spec("crash", test_app_image), EXIT_CODE="3", TOKEN="very-secret-token"), 1,
        wait=False)
    until("a crash loop", lambda: (found := cluster.status(app))
          and (found["problem"] or {}).get("code") == "CRASH_LOOP", LOOP_S)
    one, = cluster.status(app)["restarts"]["replicas"]
    assert one["last_exit"]["exit_code"] == 3
    assert one["failures"] >= 5
    event = until("an event", lambda: events(cluster, "died", app), WAIT_S)[-1]
    assert "ending as told, token ********" in event["details"]["lines"]
    before = until(
        "a wait of some seconds", lambda: (found := cluster.status(app)["restarts"]["replicas"][0])
        and found["failures_in_a_row"] >= 6 and found["next_attempt_at"] and found, LOOP_S)
    leader = killed_leader(cluster)
    found = cluster.status(app)["restarts"]["replicas"][0]
    assert found["failures"] in (before["failures"], before["failures"] + 1)
    cluster.boot(leader)
    cluster.wait_ready()


def test_a_real_kill_for_want_of_memory(cluster: LiveCluster, test_app_image: str) -> None:
    """A container of 16 MiB takes 64: the kernel kills it, and the app's owner reads why."""
    app = begin(cluster, environment(app_spec("hungry", test_app_image), EAT_MIB="64"), 1,
                wait=False)
    found = until("a kill", lambda: (status := cluster.status(app))
                  and status["restarts"]["oom_kills"] and status, LOOP_S)
    one, = found["restarts"]["replicas"]
    assert one["last_exit"]["reason"] == "oom_killed"
    assert (one["last_exit"]["exit_code"], one["last_exit"]["signal"]) == (137, "SIGKILL")
    event = until("an event", lambda: events(cluster, "want of memory", app), WAIT_S)[0]
    assert event["details"]["reason"] == "oom_killed"


def test_a_crash_looping_update_is_rolled_back(cluster: LiveCluster, test_app_image: str) -> None:
    """Before its deadline, and the old replicas run on."""
    spec = app_spec("stable", test_app_image)
    spec["deploy"] = {"minHealthySeconds": 1, "progressDeadlineSeconds": 3600}
    app = begin(cluster, spec, 2, wait=False)
    until("healthy", lambda: (found := cluster.status(app)) and found["replicas"]["healthy"] == 2,
          WAIT_S)
    before = {one["id"] for one in cluster.status(app)["containers"]}
    status, body = cluster.write(
        "PUT", f"/api/v1/apps/{app}", environment(spec, EXIT_CODE="1"))
    assert status == 200, body

    def back() -> bool:
        found = cluster.status(app)
        healthy = {one["id"] for one in found["containers"] if one["health"] == "healthy"}
        assert before <= healthy, found
        return found["deployment"] is None and found["status"] == "running"

    until("rolled back", back, LOOP_S)
    event = until("an event", lambda: events(cluster, "failed:", app), WAIT_S)[0]
    assert "crash loop" in event["message"]


def test_finished_is_not_started_again(cluster: LiveCluster, test_app_image: str) -> None:
    """Exit code 0 under OnFailure, on a real container."""
    spec = environment(app_spec("job", test_app_image), EXIT_CODE="0")
    spec["spec"]["restartPolicy"] = "OnFailure"
    app = begin(cluster, spec, 1, wait=False)
    found = until("finished", lambda: (status := cluster.status(app))
                  and status["status"] == "stopped" and status, WAIT_S)
    first = found["containers"][0]["id"]
    time.sleep(7)
    found = cluster.status(app)
    assert [(one["id"], one["state"]) for one in found["containers"]] == [(first, "finished")]


def test_a_stop_that_hangs_is_set_aside(
    cluster: LiveCluster, proxy: DockerProxy, test_app_image: str
) -> None:
    """The app of the container waits, all others go on; healed, it goes away by itself."""
    for name in ("stuck", "free"):
        begin(cluster, app_spec(name, test_app_image), 1, wait=False)
        until("healthy", lambda name=name: (  # type: ignore[misc]
            found := cluster.status(name)) and found["replicas"]["healthy"] == 1, WAIT_S)
    container = cluster.status("stuck")["containers"][0]["id"]
    proxy.hang(f"(POST|DELETE|GET) .*/containers/{container}")
    # Nobody waits for the stop: it ends when the container does.
    status, body = cluster.write(
        "POST", "/api/v1/apps/stuck/scale", {"replicas": 0, "wait": False})
    assert status == 200, body
    until("it hangs", lambda: any("/stop" in one for one in proxy.met), WAIT_S)
    status, body = cluster.write("POST", "/api/v1/apps/free/scale", {"replicas": 3})
    assert status == 200, body  # while the other one hangs
    event = until("an event", lambda: events(cluster, "set aside", "stuck"), WAIT_S)[0]
    assert "other work goes on" in event["message"]
    met = [one for one in proxy.met if "/stop" in one]
    assert len(met) <= 3, "it is asked for again and again"
    proxy.hang("")
    until("gone", lambda: (found := cluster.status("stuck")) and not found["containers"], LOOP_S)


def test_an_engine_that_answers_but_ends_nothing_is_in_quarantine(
    cluster: LiveCluster, proxy: DockerProxy, test_app_image: str
) -> None:
    """Health says so, the API goes on, and a trial that succeeds ends it."""
    for name in ("one", "two"):
        begin(cluster, app_spec(name, test_app_image), 1, wait=False)
        until("healthy", lambda name=name: (  # type: ignore[misc]
            found := cluster.status(name)) and found["replicas"]["healthy"] == 1, WAIT_S)
    proxy.hang("POST .*/containers/create")
    for name in ("one", "two"):
        cluster.write("POST", f"/api/v1/apps/{name}/scale", {"replicas": 5, "wait": False})
    leader = cluster.led()

    def docker() -> dict[str, Any]:
        return dict(call("GET", cluster.url(leader, "/health"))[1]["components"]["docker"])

    until("in quarantine", lambda: (found := docker())["status"] == "degraded"
          and "quarantine" in str(found), LOOP_S)
    assert cluster.status("one")["replicas"]["healthy"] == 1
    proxy.hang("")
    for name in ("one", "two"):
        until("all there", lambda name=name: (  # type: ignore[misc]
            found := cluster.status(name)) and found["replicas"]["healthy"] == 5, LOOP_S)
    until("healthy", lambda: docker()["status"] == "healthy", LOOP_S)
    until("both are told", lambda: events(cluster, "in quarantine") and events(
        cluster, "out of quarantine"), WAIT_S)
