"""The answers of a healthy stub cluster with one app, web."""

from __future__ import annotations

from typing import Any

from tests.unit.stub_cluster import Says, Seen, error
from tests.unit.whole_answers import whole

_APP = {
    "name": "web", "status": "running", "created_at": "2026-01-01T00:00:00Z",
    "replicas": {"current": 3, "desired": 3, "healthy": 2}, "image": "nginx:alpine",
    "containers": [{"id": "1", "name": "web-1", "ip": "10.0.0.2", "port": 80,
                    "status": "running", "state": "running", "health": "healthy",
                    "started_at": "2026-01-01T00:00:00Z"}],
}
_APPS = {"apps": [_APP], "total": 1, "running": 1, "stopped": 0, "error": 0}
SPEC = {"apiVersion": "v1", "kind": "App", "metadata": {"name": "web"},
        "spec": {"image": "nginx:alpine", "ports": [{"containerPort": 80}]}}
POLICY = {
    "mode": "auto", "min_replicas": 1, "max_replicas": 5, "target_rps_per_replica": 50,
    "max_p95_latency_ms": 250, "max_cpu_percent": 70, "max_memory_percent": 75,
    "max_conn_per_replica": 100, "metrics": ["cpu", "rps"], "scale_out_threshold_pct": 80,
    "scale_in_threshold_pct": 30, "window_seconds": 60, "cooldown_seconds": 180,
    "max_scale_out_step": 0, "max_scale_in_step": 1, "stabilization_window_seconds": 300,
    "schedule": []}
POINT = {"cpu_percent": 45.2, "memory_percent": 62.1, "rps": 127.5, "latency_p95_ms": 89,
         "active_connections": 234}
CLUSTER = {"node_id": "c1", "leader_id": "c2", "term": 7, "level": 1, "nodes": [
    {"node_id": "c1", "hostname": "h1", "state": "follower", "is_healthy": True,
     "version": "1.1.0", "level": 2},
    {"node_id": "c2", "hostname": "h2", "state": "leader", "is_healthy": False,
     "version": "1.0.0", "level": 1}]}
_DEPLOYMENT = {
    "id": 9, "app_name": "web", "kind": "update", "phase": "done", "revision": 9,
    "previous_revision": 7, "started_at": "2999-01-01T00:00:00Z",
    "changed_at": "2026-01-01T00:00:02Z",
    "ended_at": "2026-01-01T00:00:02Z", "wanted": 3, "available": 1, "reason": None, "canary": None,
    "receipt": {
        "before": {"seconds": 60.0, "requests": 900, "failed": 0, "retried": 0, "p95_ms": 12.5},
        "during": {"seconds": 30.0, "requests": 450, "failed": 1, "retried": 2, "p95_ms": 14.0},
        "after": None, "complete": False},
    "steps": [{"timestamp": "2026-01-01T00:00:01Z", "message": "web-1 starts"}]}
_SAID: dict[tuple[str, str], Any] = {
    ("POST", "/api/v1/apps/register"): {"message": "m", "app_name": "web", "status": "registered"},
    ("POST", "/api/v1/apps/web/start"): {"app_name": "web", "replicas": 3, "status": "running"},
    ("POST", "/api/v1/apps/web/stop"): {"app_name": "web", "status": "stopped"},
    ("POST", "/api/v1/apps/web/scale"): {
        "app_name": "web", "previous_replicas": 3, "current_replicas": 5, "scaling_time": 1.25},
    ("DELETE", "/api/v1/apps/web"): {
        "app_name": "web", "containers_removed": 3, "volumes_removed": 1,
        "removed_volumes": ["orchestry-web-data"]},
    ("GET", "/api/v1/apps/web/scaling"): {
        "app_name": "web", "mode": "auto", "policy": POLICY,
        "last_scaling_event": {
            "timestamp": "2026-01-01T00:00:02Z", "action": "scale_out", "from_replicas": 1,
            "to_replicas": 3, "reason": "Scale out from 1 to 3 replicas: much load."}},
    ("PUT", "/api/v1/apps/web/scaling"): {
        "message": "m", "app_name": "web", "previous_policy": POLICY,
        "new_policy": {**POLICY, "max_replicas": 9}},
    ("GET", "/api/v1/apps/web/scaling/decisions"): {
        "app_name": "web", "total": 1, "has_more": False, "decisions": [
            {"timestamp": "2026-01-01T00:00:02Z", "explanation": "Stay at 3 replicas: steady."}]},
    ("POST", "/api/v1/apps/web/scaling/simulate"): {
        "app_name": "web", "policy": POLICY, "rounds": [
            {"timestamp": f"2026-01-01T00:00:0{second}.5Z", "from_replicas": before,
             "would_be": after, "would_reason": "load", "recorded_replicas": 1}
            for second, before, after in ((0, 1, 1), (2, 1, 4), (4, 4, 4))],
        "summary": {"changes": 1, "turns": 0, "least_replicas": 1, "most_replicas": 4,
                    "mean_replicas": 3.0, "last_replicas": 4}},
    ("GET", "/api/v1/apps/web/metrics"): {
        "app_name": "web", "current": {**POINT, "healthy_replicas": 2, "total_replicas": 3},
        "replicas": [{"name": "web-1", "cpu_percent": 45.2, "memory_percent": None}],
        "history": [{"timestamp": "2026-01-01T00:00:00.5Z", **POINT}]},
    ("GET", "/api/v1/metrics"): {
        "system": {"cpu_percent": 35.2, "memory_used_gb": 1.5, "memory_total_gb": 4.0,
                   "disk_used_gb": 45.2, "disk_total_gb": 100.0},
        "network": {"requests_per_second": 342.1, "error_rate_percent": 0.12,
                    "avg_response_time_ms": 95},
        "applications": [{"name": "web", "cpu_percent": 15.2, "memory_mb": 256, "replicas": 3,
                          "rps": 127.5, "latency_p95_ms": 89}]},
    ("PUT", "/api/v1/apps/web"): {
        "message": "m", "app_name": "web", "status": "updated", "revision": 9, "deployment": 9,
        "dry_run": False, "plan": {
            "rolls": True, "start": ["web-1"], "stop": ["web-1"], "keep": ["web-2"], "changes": [
                {"field": "spec.image", "before": "nginx:1", "after": "nginx:2"}]}},
    ("POST", "/api/v1/apps/web/rollback"): {
        "message": "m", "app_name": "web", "revision": 9, "deployment": 9},
    ("POST", "/api/v1/apps/web/restart"): {
        "message": "m", "app_name": "web", "revision": 9, "deployment": 9},
    **{("POST", f"/api/v1/apps/web/{verb}"): {
        "message": "m", "app_name": "web", "deployment": 9, "phase": phase}
       for verb, phase in (("pause", "paused"), ("resume", "running"), ("promote", "running"))},
    ("GET", "/api/v1/apps/web/deployments"): {
        "app_name": "web", "deployments": [{**_DEPLOYMENT, "phase": "running", "ended_at": None}],
        "total": 1},
    ("GET", "/api/v1/apps/web/deployments/9"): {**_DEPLOYMENT, "replicas": []},
    ("GET", "/api/v1/apps/web/revisions"): {"app_name": "web", "total": 1, "revisions": [
        {"revision": 9, "current": True, "healthy": True, "cause": "updated",
         "created_at": "2026-01-01T00:00:00Z", "image": "nginx:2", "template": 9, "spec": SPEC,
         "pinned": "docker.io/library/nginx@sha256:" + "a" * 64}]},
    ("GET", "/api/v1/apps/web"): _APP,
    ("GET", "/api/v1/apps"): _APPS,
    ("GET", "/api/v1/apps/web/spec"): SPEC,
    ("GET", "/api/v1/apps/web/logs"): {"app_name": "web", "logs": [
        {"timestamp": "2026-01-01T00:00:02Z", "container": "web-2", "level": "INFO",
         "message": "second\x1b[2J"},
        {"timestamp": "2026-01-01T00:00:01Z", "container": "web-1", "level": "INFO",
         "message": "first"}]},
    ("GET", "/api/v1/apps/web/health"): {
        "app_name": "web", "overall_health": "degraded", "healthy_replicas": 1,
        "total_replicas": 2, "containers": [
            {"id": "a", "name": "web-1", "health": "healthy", "last_check": None,
             "consecutive_failures": 0, "response_time_ms": 4.5, "last_error": None},
            {"id": "b", "name": "web-2", "health": "unhealthy", "last_check": None,
             "consecutive_failures": None, "response_time_ms": None,
             "last_error": "status 500"}]},
    ("POST", "/api/v1/apps/web/health/check"): {
        "message": "Health check triggered", "app_name": "web", "containers_checked": 1,
        "healthy": 0, "unhealthy": 1, "results": [
            {"id": "b", "name": "web-2", "health": "healthy", "last_check": None, "ok": False,
             "consecutive_failures": 1, "response_time_ms": 2.0, "last_error": "status 500"}]},
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

ANSWERS = {(method, path): whole(method, path, said) for (method, path), said in _SAID.items()}
APP, APPS = ANSWERS["GET", "/api/v1/apps/web"], ANSWERS["GET", "/api/v1/apps"]
DEPLOYMENT = ANSWERS["GET", "/api/v1/apps/web/deployments/9"]


def answer(seen: Seen) -> Says:
    """A healthy cluster with one app, web."""
    found = ANSWERS.get((seen.method, seen.path.partition("?")[0]))
    if found is None:
        return error(404, "APP_NOT_FOUND", "No such app")
    return Says(200, found)
