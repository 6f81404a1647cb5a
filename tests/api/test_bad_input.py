"""Bad input gets the error body that names the field; nothing changes, nothing is HTML."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest
from flask.testing import FlaskClient

from orchestry.errors import Code
from tests.api.support import SPEC, make


@pytest.fixture
def client() -> FlaskClient:
    """A client of a node with one application."""
    _, _, client = make()
    client.post("/api/v1/apps/register", json=SPEC)
    return client


def _is_error(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.get_data()
    assert answer.mimetype == "application/json"
    body: dict[str, Any] = answer.get_json()
    assert set(body) == {"error", "details", "code", "timestamp"}
    assert body["code"] == code
    assert body["timestamp"].endswith("Z")
    assert "Traceback" not in str(body)
    return body


@pytest.mark.parametrize(
    ("call", "body", "field"),
    [
        ("scale", b'{"replicas": -1}', "replicas"),
        ("scale", b'{"replicas": 101}', "replicas"),
        ("scale", b'{"replicas": 1e9}', "replicas"),
        ("scale", b'{"replicas": "3"}', "replicas"),
        ("scale", b'{"replicas": 3.0}', "replicas"),
        ("scale", b'{"replicas": true}', "replicas"),
        ("scale", b'{"replicas": null}', "replicas"),
        ("scale", b'{"replicas": NaN}', "body"),
        ("scale", b'{"replicas": 18446744073709551616}', "replicas"),
        ("scale", b"{}", "replicas"),
        ("scale", b'{"replicas": 1, "color": 1}', "color"),
        ("scale", b'{"replicas": 1, "wait": "yes"}', "wait"),
        ("scale", b'{"replicas": 1, "timeout": 0}', "timeout"),
        ("scale", b'{"replicas": 1, "replicas": 2}', "body"),
        ("scale", b"[1]", "body"),
        ("scale", b'"{\\"replicas\\": 2}"', "body"),
        ("scale", b"null", "body"),
        ("scale", b"{", "body"),
        ("scale", b'{"replicas": 1} x', "body"),
        ("scale", b'{"\\ud800": 1}', "body"),
        ("scale", b"\xff\xfe", "body"),
        ("scale", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "body"),
        ("scale", b"[" * 10_000, "body"),
        ("start", b'{"replicas": "3"}', "replicas"),
        ("start", b'{"wait": 1}', "wait"),
        ("stop", b'{"timeout": 301}', "timeout"),
        ("stop", b'{"force": "true"}', "force"),
    ],
)
def test_bodies(client: FlaskClient, call: str, body: bytes, field: str) -> None:
    """A wrong body is a VALIDATION_ERROR that names the field, and changes nothing."""
    index = client.get("/livez").headers["X-Orchestry-Index"]
    answer = client.post(f"/api/v1/apps/shop/{call}", data=body, content_type="application/json")
    fields = [fault["field"] for fault in _is_error(answer, 400, "VALIDATION_ERROR")["details"]]
    assert fields == [field]
    assert answer.headers["X-Orchestry-Index"] == index


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/v1/apps?status=sleeping", "status"),
        ("/api/v1/apps?format=xml", "format"),
        ("/api/v1/apps?colour=red", "colour"),
        ("/api/v1/apps?status=running&status=error", "status"),
        ("/api/v1/apps?min_index=-1", "min_index"),
        ("/api/v1/apps?min_index=5.0", "min_index"),
        ("/api/v1/apps?min_index=1e3", "min_index"),
        ("/api/v1/apps?min_index=99999999999999999999", "min_index"),
        ("/api/v1/apps?consistency=strong", "consistency"),
        ("/api/v1/apps/shop/events?limit=0", "limit"),
        ("/api/v1/apps/shop/events?limit=1001", "limit"),
        ("/api/v1/apps/shop/events?since=yesterday", "since"),
        ("/api/v1/apps/shop/events?since=2026-01-01", "since"),
        ("/api/v1/apps/shop/events?type=party", "type"),
        ("/api/v1/events?app=No", "app"),
        ("/api/v1/apps/shop/logs?tail=-1", "tail"),
        ("/api/v1/apps/shop/logs?tail=10001", "tail"),
        ("/api/v1/apps/shop/logs?tail=1e12", "tail"),
        ("/api/v1/apps/shop/logs?container=nobody", "container"),
        ("/api/v1/apps/shop/logs?follow=true", "follow"),
        ("/api/v1/apps/shop/spec?resolved=1", "resolved"),
        ("/api/v1/apps/Shop", "app_name"),
        ("/api/v1/apps/" + "a" * 64, "app_name"),
        ("/api/v1/apps/-a", "app_name"),
        ("/api/v1/apps/a%0d%0ab", "app_name"),
        ("/api/v1/apps/a%0a", "app_name"),
        ("/api/v1/apps/$(id)", "app_name"),
        ("/api/v1/apps/%D1%95hop", "app_name"),
        ("/api/v1/apps/a%00", "app_name"),
    ],
)
def test_paths_and_queries(client: FlaskClient, path: str, field: str) -> None:
    """A wrong path or query value is a VALIDATION_ERROR that names it."""
    body = _is_error(client.get(path), 400, "VALIDATION_ERROR")
    assert [fault["field"] for fault in body["details"]] == [field]


def test_all_faults_at_once(client: FlaskClient) -> None:
    """Path, query and body are judged together."""
    answer = client.post("/api/v1/apps/Shop/scale?x=1", json={"replicas": -1, "wait": 3})
    details = _is_error(answer, 400, "VALIDATION_ERROR")["details"]
    assert {fault["field"] for fault in details} == {"app_name", "x", "replicas", "wait"}
    assert all(fault["message"] for fault in details)


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/api/v1/apps/", "/api/v1/apps/../x", "//health", "/api/v1/configs",
             "/api/v1/apps/shop/nothing", "/docs/../api", "/docs/secret.js"],
)
def test_unknown_routes(client: FlaskClient, path: str) -> None:
    """What does not exist is NOT_FOUND, also endpoints that come later."""
    _is_error(client.get(path), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "/api/v1/apps", "GET, HEAD"), ("GET", "/api/v1/apps/shop/start", "POST"),
     ("PATCH", "/api/v1/apps/shop", "DELETE, GET, HEAD, PUT"), ("OPTIONS", "/livez", "GET, HEAD")],
)
def test_wrong_method(client: FlaskClient, method: str, path: str, allowed: str) -> None:
    """A wrong method is a 405 that says which are right."""
    answer = client.open(path, method=method)
    _is_error(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == allowed


def test_depth_has_a_limit(client: FlaskClient) -> None:
    """32 levels are read, one more is refused before anybody looks at it."""
    def nested(depth: int) -> str:
        return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)

    for depth, word in ((32, "is not known here"), (33, "is nested too deeply")):
        answer = client.post("/api/v1/apps/shop/scale", data=nested(depth),
                             content_type="application/json")
        assert answer.status_code == 400
        assert word in answer.get_data(as_text=True)


@pytest.mark.parametrize("depth", [500, 2_000, 100_000])
def test_too_deep(client: FlaskClient, depth: int) -> None:
    """Depth is named as the fault, not what a parser ran out of."""
    answer = client.post(
        "/api/v1/apps/shop/scale", data=b"[" * depth, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["details"] == [{"field": "body", "message": "is nested too deeply"}]


@pytest.mark.parametrize("path", ["/api/v1/apps/shop/scale", "/api/v1/apps/register"])
def test_too_large(client: FlaskClient, path: str) -> None:
    """More than 1 MiB is a 413, with and without a Content-Length."""
    large = b'{"a": "' + b"x" * 2 * 1024**2 + b'"}'
    answer = client.post(path, data=large, content_type="application/json")
    _is_error(answer, 413, "PAYLOAD_TOO_LARGE")
    chunked = client.post(
        path, input_stream=io.BytesIO(large), content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"},
    )
    _is_error(chunked, 413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.parametrize("path", ["/api/v1/apps/shop/scale", "/api/v1/apps/register"])
def test_wrong_content_type(client: FlaskClient, path: str, content_type: str | None) -> None:
    """A body of another type is a 415."""
    answer = client.post(path, data=b'{"replicas": 1}', content_type=content_type)
    assert "Content-Type" in _is_error(answer, 415, "UNSUPPORTED_MEDIA_TYPE")["details"]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (b"a: 1\na: 2\n", "twice"), (b"a: &x 1\nb: *x\n", ""), (b"!!python/object:os.x {}\n", ""),
        (b"\xff", "UTF-8"), (b"a: 1\n---\nb: 2\n", "one document"), (b"", "empty"),
    ],
)
def test_bad_yaml(client: FlaskClient, text: bytes, part: str) -> None:
    """Bad YAML is INVALID_SPEC, with the reason."""
    answer = client.post("/api/v1/apps/register", data=text, content_type="application/yaml")
    body = _is_error(answer, 400, "INVALID_SPEC")
    assert part in body["details"][0]["message"]


def test_deep_spec(client: FlaskClient) -> None:
    """A spec nested 900 levels deep, which JSON itself allows, is a fault and no crash."""
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    answer = client.post("/api/v1/apps/register", data=deep, content_type="application/json")
    assert answer.status_code == 400
    assert answer.get_json()["code"] in ("INVALID_SPEC", "VALIDATION_ERROR")


def test_a_fault_of_ours_shows_no_trace(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is a 500 with the request id that the log has too."""
    node, _, client = make()
    client.post("/api/v1/apps/register", json=SPEC)
    node.components = None  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.ERROR):
        answer = client.get("/health", headers={"X-Request-Id": "trace-me"})
    body = _is_error(answer, 500, "INTERNAL_ERROR")
    assert "trace-me" in body["details"]
    assert "NoneType" not in str(body)
    assert "trace-me" in caplog.text
    assert answer.headers["X-Request-Id"] == "trace-me"


def test_request_ids(client: FlaskClient) -> None:
    """A sensible X-Request-Id is kept, another one is replaced."""
    kept = client.get("/livez", headers={"X-Request-Id": "abc-1.2_3"})
    assert kept.headers["X-Request-Id"] == "abc-1.2_3"
    other = client.get("/livez", headers={"X-Request-Id": "a b<script>"})
    assert other.headers["X-Request-Id"] != "a b<script>"
    assert len(other.headers["X-Request-Id"]) == 16


def test_every_code_has_a_status_and_a_remedy() -> None:
    """The catalogue is complete: each code has an HTTP status, a title and a remedy."""
    for code in Code:
        assert 300 <= code.value.http_status < 600
        assert code.value.title
        assert code.value.remedy
