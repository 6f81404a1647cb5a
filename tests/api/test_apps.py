"""Applications over HTTP: the shapes and codes of the contract."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from flask.testing import FlaskClient

from api.here import EXTENSION
from api.waiting import WAITERS_MAX
from cluster.engine.base import EngineInfo
from cluster.state.commands import StopApp
from tests.api.support import ACT_S, SPEC, Loops, Node, make, once, runs, spec
from tests.live import until


@pytest.fixture
def node_client() -> tuple[Node, FlaskClient]:
    """A node with one registered application."""
    node, _, client = make()
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    return node, client


def test_register_answers_the_contracts_body() -> None:
    """A registration is a 201 with name and status, and the app carries its revision."""
    _, _, client = make()
    answer = client.post("/api/v1/apps/register", json=SPEC)
    assert answer.status_code == 201
    body = answer.get_json()
    assert body["app_name"] == "shop"
    assert body["status"] == "registered"
    assert body["message"]
    assert answer.headers["ETag"] == f'"{body["revision"]}"'
    assert client.get("/api/v1/apps/shop").headers["ETag"] == answer.headers["ETag"]


def test_register_takes_yaml() -> None:
    """The same spec in YAML registers the same application."""
    _, _, client = make()
    text = ("apiVersion: v1\nkind: App\nmetadata:\n  name: shop\n"
            "spec:\n  image: shop:1\n  ports:\n  - containerPort: 80\n")
    answer = client.post(
        "/api/v1/apps/register", data=text, content_type="application/yaml; charset=utf-8")
    assert answer.status_code == 201
    assert client.get("/api/v1/apps/shop/spec").get_json()["spec"]["image"] == "shop:1"


def test_register_twice_is_refused(node_client: tuple[Node, FlaskClient]) -> None:
    """The second registration of a name is a 409."""
    _, client = node_client
    answer = client.post("/api/v1/apps/register", json=SPEC)
    assert answer.status_code == 409
    assert answer.get_json()["code"] == "APP_ALREADY_EXISTS"


def test_register_lists_every_fault_of_a_spec() -> None:
    """All faults of a spec come at once, each with its path."""
    _, _, client = make()
    wrong = spec("No", spec={"image": "", "ports": [{"containerPort": 0}], "color": "red"})
    answer = client.post("/api/v1/apps/register", json=wrong)
    assert answer.status_code == 400
    body = answer.get_json()
    assert body["code"] == "INVALID_SPEC"
    fields = {fault["field"] for fault in body["details"]}
    assert {"metadata.name", "spec.image", "spec.ports[0].containerPort", "spec.color"} <= fields


def test_memory_floor_is_a_setting() -> None:
    """4Mi is refused by default and accepted where the cluster allows it."""
    small = spec("small", spec={**SPEC["spec"], "resources": {"memory": "4Mi"}})
    _, _, client = make()
    assert client.post("/api/v1/apps/register", json=small).status_code == 400
    _, _, client = make({"CLUSTER_LIMITS_MIN_MEMORY": "4Mi"})
    assert client.post("/api/v1/apps/register", json=small).status_code == 201


def test_life_of_an_app(node_client: tuple[Node, FlaskClient]) -> None:
    """Start, scale, stop and delete wait for the state and answer the contract's bodies."""
    node, client = node_client
    with Loops(node).running():
        started = client.post("/api/v1/apps/shop/start").get_json()
        assert started["status"] == "running"
        assert started["replicas"] == 2
        scaled = client.post("/api/v1/apps/shop/scale", json={"replicas": 3}).get_json()
        assert (scaled["previous_replicas"], scaled["current_replicas"]) == (2, 3)
        assert isinstance(scaled["scaling_time"], float)
        status = client.get("/api/v1/apps/shop").get_json()
        assert status["replicas"] == {"current": 3, "desired": 3, "healthy": 3}
        assert status["last_scaled_at"].endswith("Z")
        container = status["containers"][0]
        assert container["ip"] == "10.0.0.1"
        assert (container["name"], container["container_name"]) == ("shop-1", "shop.1")
        assert {"id", "name", "port", "status", "health", "started_at"} <= set(container)
        stopped = client.post("/api/v1/apps/shop/stop", json={"timeout": 1}).get_json()
        assert stopped["status"] == "stopped"
        assert client.get("/api/v1/apps/shop").get_json()["status"] == "stopped"
        client.post("/api/v1/apps/shop/start", json={"replicas": 1})
        deleted = client.delete("/api/v1/apps/shop?keep_data=false").get_json()
        assert (deleted["containers_removed"], deleted["volumes_removed"]) == (1, 1)
    assert client.get("/api/v1/apps/shop").get_json()["code"] == "APP_NOT_FOUND"


def test_start_without_waiting(node_client: tuple[Node, FlaskClient]) -> None:
    """`wait: false` answers at once with what is wanted."""
    _, client = node_client
    body = client.post("/api/v1/apps/shop/start", json={"wait": False}).get_json()
    assert body["status"] == "starting"
    assert body["replicas"] == 2


def test_start_reports_the_engines_reason(node_client: tuple[Node, FlaskClient]) -> None:
    """An image that does not exist ends the wait with the engine's reason."""
    node, client = node_client
    with once(node, runs, lambda: node.report(
            "shop", problem="no such image: shop:1", problem_code="DOCKER_ERROR")):
        answer = client.post("/api/v1/apps/shop/start")
    assert answer.status_code == 500
    body = answer.get_json()
    assert body["code"] == "DOCKER_ERROR"
    assert body["details"] == "no such image: shop:1"
    # Read at this index on any controller, the status is the one that ended the wait.
    assert int(answer.headers["X-Orchestry-Index"]) == node.log.state().index
    status = client.get("/api/v1/apps/shop").get_json()
    assert status["status"] == "error"
    assert status["problem"]["message"] == "no such image: shop:1"


def test_wait_that_runs_out_says_how_to_go_on(node_client: tuple[Node, FlaskClient]) -> None:
    """A timeout is a 504 whose details count the replicas and name the way to follow."""
    node, client = node_client
    client.post("/api/v1/apps/shop/start", json={"wait": False})
    node.report("shop", "starting", "healthy")
    answer = client.post("/api/v1/apps/shop/start", json={"timeout": 1})
    assert answer.status_code == 504
    body = answer.get_json()
    assert body["code"] == "TIMEOUT"
    assert "1 replicas are healthy" in body["details"]
    assert "GET /api/v1/apps/shop" in body["details"]


def test_wait_ends_when_somebody_stops_the_app(node_client: tuple[Node, FlaskClient]) -> None:
    """A start that another request undoes is a conflict, not a timeout."""
    node, client = node_client
    with once(node, runs, lambda: node.submit(StopApp("shop"))):
        answer = client.post("/api/v1/apps/shop/start")
    assert answer.status_code == 409
    assert answer.get_json()["code"] == "CONFLICT"


def test_a_second_scale_while_one_converges(node_client: tuple[Node, FlaskClient]) -> None:
    """Another explicit scale is refused until the first has its replicas."""
    _, client = node_client
    first = client.post("/api/v1/apps/shop/scale", json={"replicas": 4, "wait": False})
    assert first.status_code == 200
    assert first.get_json()["desired_replicas"] == 4
    second = client.post("/api/v1/apps/shop/scale", json={"replicas": 5, "wait": False})
    assert second.status_code == 409
    assert second.get_json()["code"] == "SCALING_IN_PROGRESS"


@pytest.mark.parametrize(
    ("host", "field"),
    [(EngineInfo("1", 1, 32 * 1024**2, 0), "memory"), (EngineInfo("1", 0, 1024**4, 0), "cpu")],
)
def test_a_replica_larger_than_the_host(
    node_client: tuple[Node, FlaskClient], host: EngineInfo, field: str
) -> None:
    """What no host can hold is refused before anything is written."""
    node, client = node_client
    node.host = host
    before = node.log.state().index
    for call, body in (("start", {}), ("scale", {"replicas": 3})):
        answer = client.post(f"/api/v1/apps/shop/{call}", json=body)
        assert answer.status_code == 503
        assert answer.get_json()["code"] == "INSUFFICIENT_RESOURCES"
        assert f"spec.resources.{field}" in answer.get_json()["details"]
    assert node.log.state().index == before


def test_waits_are_bounded(node_client: tuple[Node, FlaskClient]) -> None:
    """One wait more than there are places is refused, changes nothing, and reads go on."""
    node, client = node_client
    app = client.application
    waiting = app.extensions[EXTENSION].waiting._changed

    def wait(_: int) -> int:
        return app.test_client().post("/api/v1/apps/shop/start").status_code

    with ThreadPoolExecutor(WAITERS_MAX) as pool:
        codes = pool.map(wait, range(WAITERS_MAX))
        try:
            until("all of them wait", lambda: len(waiting._waiters) == WAITERS_MAX, ACT_S)
            before = node.log.state()
            answer = client.post("/api/v1/apps/shop/stop")
            assert answer.status_code == 503
            assert "try again" in answer.get_json()["details"]
            assert answer.headers["Retry-After"] == "1"
            assert client.get("/api/v1/apps/shop").status_code == 200
            assert node.log.state() is before
        finally:
            node.submit(StopApp("shop"))
        assert list(codes) == [409] * WAITERS_MAX
    assert client.post("/api/v1/apps/shop/stop").status_code == 200


def test_list_filters_and_counts(node_client: tuple[Node, FlaskClient]) -> None:
    """The list can be filtered by status; the summary holds the counts alone."""
    node, client = node_client
    client.post("/api/v1/apps/register", json=spec("api"))
    client.post("/api/v1/apps/api/start", json={"wait": False})
    node.report("api", "healthy", "healthy")
    body = client.get("/api/v1/apps").get_json()
    assert [app["name"] for app in body["apps"]] == ["api", "shop"]
    assert (body["total"], body["running"], body["stopped"], body["error"]) == (2, 1, 0, 0)
    assert body["apps"][1]["image"] == "shop:1"
    running = client.get("/api/v1/apps?status=running").get_json()
    assert [app["name"] for app in running["apps"]] == ["api"]
    summary = client.get("/api/v1/apps?format=summary").get_json()
    assert "apps" not in summary
    assert summary["total"] == 2


def test_lists_and_status_follow_each_change(node_client: tuple[Node, FlaskClient]) -> None:
    """A kept answer is never shown after its application changed."""
    node, client = node_client
    for wanted in (1, 2, 3):
        client.post("/api/v1/apps/shop/start", json={"replicas": wanted, "wait": False})
        assert client.get("/api/v1/apps/shop").get_json()["replicas"]["desired"] == wanted
        assert client.get("/api/v1/apps").get_json()["apps"][0]["replicas"]["desired"] == wanted
    node.submit(StopApp("shop"))
    assert client.get("/api/v1/apps").get_json()["apps"][0]["status"] == "stopped"


def test_spec_as_registered_and_resolved(node_client: tuple[Node, FlaskClient]) -> None:
    """The spec comes back as it was given, or with its defaults."""
    _, client = node_client
    assert client.get("/api/v1/apps/shop/spec").get_json() == SPEC
    resolved = client.get("/api/v1/apps/shop/spec?resolved=true").get_json()
    assert resolved["scaling"]["maxReplicas"] == 5


def test_health_of_an_app(node_client: tuple[Node, FlaskClient]) -> None:
    """Each replica shows its health, and the check that is used."""
    node, client = node_client
    assert client.get("/api/v1/apps/shop/health").get_json()["overall_health"] == "stopped"
    client.post("/api/v1/apps/shop/start", json={"wait": False})
    node.report("shop", "healthy", "unhealthy")
    body = client.get("/api/v1/apps/shop/health").get_json()
    assert body["overall_health"] == "degraded"
    assert (body["healthy_replicas"], body["total_replicas"]) == (1, 2)
    assert body["health_check_config"]["protocol"] == "TCP"
    assert body["containers"][1]["health"] == "unhealthy"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""), ("GET", "/spec"), ("GET", "/health"), ("GET", "/events"), ("GET", "/logs"),
        ("POST", "/start"), ("POST", "/stop"), ("DELETE", ""),
    ],
)
def test_unknown_app(method: str, path: str) -> None:
    """An application that does not exist is a 404 everywhere."""
    _, _, client = make()
    answer = client.open(f"/api/v1/apps/ghost{path}", method=method)
    assert answer.status_code == 404
    assert answer.get_json()["code"] == "APP_NOT_FOUND"
    assert "ghost" in answer.get_json()["details"]
