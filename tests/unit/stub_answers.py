"""The answers of a healthy stub cluster with one app, web."""

from __future__ import annotations

from typing import Any

from tests.unit.stub_cluster import Says, Seen, error

APP = {
    "name": "web", "status": "running", "created_at": "2026-01-01T00:00:00Z",
    "replicas": {"current": 3, "desired": 3, "healthy": 2}, "image": "nginx:alpine",
    "containers": [{"id": "1", "name": "web-1", "ip": "10.0.0.2", "port": 80,
                    "status": "running", "health": "healthy",
                    "started_at": "2026-01-01T00:00:00Z"}],
}
APPS = {"apps": [APP], "total": 1, "running": 1, "stopped": 0, "error": 0}
SPEC = {"apiVersion": "v1", "kind": "App", "metadata": {"name": "web"},
        "spec": {"image": "nginx:alpine", "ports": [{"containerPort": 80}]}}
CLUSTER = {"node_id": "c1", "leader_id": "c2", "term": 7, "nodes": [
    {"node_id": "c1", "hostname": "h1", "state": "follower", "is_healthy": True},
    {"node_id": "c2", "hostname": "h2", "state": "leader", "is_healthy": False}]}
ANSWERS: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/apps/register"): {"message": "m", "app_name": "web", "status": "registered"},
    ("POST", "/api/v1/apps/web/start"): {"app_name": "web", "replicas": 3, "status": "running"},
    ("POST", "/api/v1/apps/web/stop"): {"app_name": "web", "status": "stopped"},
    ("POST", "/api/v1/apps/web/scale"): {
        "app_name": "web", "previous_replicas": 3, "current_replicas": 5, "scaling_time": 1.25},
    ("DELETE", "/api/v1/apps/web"): {
        "app_name": "web", "containers_removed": 3, "volumes_removed": 1},
    ("GET", "/api/v1/apps/web"): APP,
    ("GET", "/api/v1/apps"): APPS,
    ("GET", "/api/v1/apps/web/spec"): SPEC,
    ("GET", "/api/v1/apps/web/logs"): {"app_name": "web", "logs": [
        {"timestamp": "2026-01-01T00:00:02Z", "container": "web-2", "level": "INFO",
         "message": "second\x1b[2J"},
        {"timestamp": "2026-01-01T00:00:01Z", "container": "web-1", "level": "INFO",
         "message": "first"}]},
    ("GET", "/api/v1/apps/web/events"): {"app_name": "web", "events": [
        {"id": 2, "type": "scaling", "message": "Scaled", "timestamp": "2026-01-01T00:00:02.5Z",
         "details": {}}], "total": 1, "has_more": False},
    ("GET", "/api/v1/events"): {"events": [
        {"id": 2, "type": "scaling", "app_name": "web", "message": "Scaled",
         "timestamp": "2026-01-01T00:00:02Z", "details": {}}], "total": 1, "has_more": False},
    ("GET", "/cluster/status"): CLUSTER,
    ("GET", "/cluster/leader"): {"leader_id": "c2", "api_url": "http://h2:8001", "term": 7},
    ("GET", "/cluster/health"): {"status": "healthy", "leader_id": "c2", "cluster_size": 3},
}


def answer(seen: Seen) -> Says:
    """A healthy cluster with one app, web."""
    found = ANSWERS.get((seen.method, seen.path.partition("?")[0]))
    if found is None:
        return error(404, "APP_NOT_FOUND", "No such app")
    return Says(200, found)
