"""The OpenAPI document: whole, valid, and no more and no less than the routes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import jsonschema_rs
import pytest
from pydantic import BaseModel
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

import api
from orchestry.errors import Code
from orchestry.spec import schema
from tests.api.support import SPEC, make

SDK = {
    "register_app", "start_app", "stop_app", "scale_app", "remove_app", "get_app_status",
    "list_apps", "get_app_spec", "get_app_metrics", "get_app_events", "get_app_logs",
    "get_scaling_policy", "update_scaling_policy", "get_health", "system_health",
    "system_metrics", "cluster_status", "cluster_leader", "cluster_health", "check_health",
    "update_app", "list_revisions", "rollback_app", "restart_app", "pause_app", "resume_app",
    "promote_app", "list_deployments", "get_deployment",
    "exec_app", "run_app", "list_runs", "get_run", "cancel_run",
    "list_jobs", "get_job", "trigger_job", "suspend_job", "resume_job",
    "get_config", "update_config", "stream_logs", "stream_metrics", "stream_events",
    "stream_deployment",
}
"""Methods of the SDKs with a call of their own: the operations carry the same names."""
WRITES = {"post", "put", "delete"}
NO_WRITE = {"simulate_scaling", "check_health"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """What a client gets."""
    found = make()[2].get("/openapi.json").get_json()
    assert isinstance(found, dict)
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path, method, operation) of all."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def responses(document: dict[str, Any], operation: dict[str, Any]) -> dict[str, Any]:
    """Status -> response, references followed."""
    shared = document["components"]["responses"]
    return {
        status: shared[one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        for status, one in operation["responses"].items()
    }


def test_it_is_openapi_3_1(document: dict[str, Any]) -> None:
    """By the schema of the OpenAPI Initiative; and each schema in it is one."""
    faults = [f"{list(e.instance_path)} {e.message}" for e in OPENAPI_31_VALIDATOR.iter_errors(
        document)]
    assert faults == []
    for name, value in document["components"]["schemas"].items():
        jsonschema_rs.validator_for(
            {"$ref": f"#/components/schemas/{name}", "components": document["components"]})
        assert value


def test_every_operation_says_what_succeeds_and_what_fails(document: dict[str, Any]) -> None:
    """A success with a schema, and the error body for each other status."""
    error = {"$ref": "#/components/schemas/Error"}
    for path, method, operation in operations(document):
        found = responses(document, operation)
        assert not operation["operationId"].startswith("stream_") or "101" in found
        found.pop("101", None)
        good = {status for status in found if status < "300"}
        assert len(good) == (0 if operation["operationId"] == "exec_app" else 1), (path, method)
        for status, response in found.items():
            assert response["description"]
            if status != "414":  # which the server answers before anything of ours
                assert {"X-Orchestry-Node", "X-Orchestry-Index", "X-RateLimit-Limit"} <= response[
                    "headers"].keys()
            assert response["content"], (path, method, status)
            for kind, content in response["content"].items():
                assert content["schema"], (path, method, status, kind)
                if status not in good and path != "/readyz":  # whose 503 is its own body
                    assert error in content["schema"].get("anyOf", [content["schema"]])
        assert {"400", "500"} <= found.keys()
        assert ("429" in found) is (path not in {"/livez", "/readyz"}), path
        if method in WRITES:
            assert {"307", "403", "503"} <= found.keys()
            assert "Location" in found["307"]["headers"]


def test_names_are_readable_and_those_of_the_sdks(document: dict[str, Any]) -> None:
    """Each once, in snake case."""
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    assert [name for name in names if re.fullmatch("[a-z]+(_[a-z]+)*", name) is None] == []
    assert set(names) >= SDK


def test_every_write_takes_a_key_and_every_write_on_an_app_a_revision(
    document: dict[str, Any],
) -> None:
    """A new route cannot forget them."""
    for path, method, operation in operations(document):
        headers = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "header"}
        if method not in WRITES or operation["operationId"] in NO_WRITE:
            assert not headers
        elif "{app_name}" in path:
            assert headers == {"Idempotency-Key", "If-Match"}, path
        else:
            assert headers == {"Idempotency-Key"}, path


def test_what_is_no_json_is_described_as_such(document: dict[str, Any]) -> None:
    """Prometheus text, the page, lines of a backup, and YAML of a spec."""
    paths = document["paths"]

    def kinds(path: str) -> set[str]:
        return set(paths[path]["get"]["responses"]["200"]["content"])

    assert kinds("/metrics") == {
        "text/plain", "application/openmetrics-text", "application/json"}
    assert kinds("/docs") == {"text/html"}
    assert kinds("/api/v1/events/stream") == {"text/event-stream"}
    assert kinds("/cluster/backup") == {"application/x-ndjson"}
    body = paths["/api/v1/apps/register"]["post"]["requestBody"]
    assert body["required"]
    assert set(body["content"]) == {"application/json", "application/yaml"}


def test_objects_are_open_for_later_keys_and_bodies_are_not(document: dict[str, Any]) -> None:
    """Answers may grow within v1; an unknown key of a request is refused."""
    for name, value in document["components"]["schemas"].items():
        if name.endswith("Body") or name == "AppSpec":
            # A sample may be a whole point of the history, of which some keys are used.
            assert value.get("additionalProperties", name == "SampleBody") in (
                False, name == "SampleBody"), name
        else:
            assert "additionalProperties" not in value, name


def models() -> list[type[BaseModel]]:
    """All bodies, queries and answers."""
    return [
        model
        for module in iter_modules(api.__path__) if module.name.startswith(("answers", "models"))
        for model in vars(import_module(f"api.{module.name}")).values()
        if inspect.isclass(model) and issubclass(model, BaseModel)
        and model.__module__ == f"api.{module.name}"]


def lost(of: Any, there: Any) -> list[str]:
    """The words of one schema that another one lacks, but for titles and defaults."""
    if isinstance(of, list):
        return [word for a, b in zip(of, there, strict=True) for word in lost(a, b)]
    if not isinstance(of, dict):
        return []
    return [word for word, value in of.items() if word not in ("$defs", "default", "title")
            for word in ([word] if word not in there else lost(value, there[word]))]


def test_no_word_of_a_model_is_lost(document: dict[str, Any]) -> None:
    """What pydantic says of a body or an answer stands in the document, by whatever way."""
    schemas = document["components"]["schemas"]
    described = [model for model in models() if model.__name__ in schemas]
    assert len(described) > 50
    assert {model.__name__: words for model in described if (words := lost(
        model.model_json_schema(), schemas[model.__name__]))} == {}


def test_a_secret_of_named_fields_fits(document: dict[str, Any]) -> None:
    """Either of the two ways to give values, and none of both at once."""
    validator = jsonschema_rs.validator_for(document["components"]["schemas"]["SecretBody"])
    assert validator.is_valid({"values": {"user": "a", "password": "b"}})
    assert validator.is_valid({"value": "a"})
    assert not validator.is_valid({"values": {"no name": "a"}})
    assert not validator.is_valid({"value": "a", "values": {"user": "a"}})


def test_every_model_has_a_name_of_its_own(document: dict[str, Any]) -> None:
    """Of two with one name the document would describe only one, for both."""
    names = [model.__name__ for model in models()]
    assert [name for name in names if names.count(name) > 1] == []
    assert set(names) > {"AppStatus", "Traffic"}
    during = document["components"]["schemas"]["Receipt"]["properties"]["during"]["anyOf"][0]
    assert during == {"$ref": "#/components/schemas/Traffic"}


def test_every_code_is_listed(document: dict[str, Any]) -> None:
    """The enumeration is the catalogue."""
    listed = document["components"]["schemas"]["Error"]["properties"]["code"]["enum"]
    assert listed == sorted({code.value.code for code in Code})


def test_the_schema_of_a_spec_holds_what_is_registered() -> None:
    """The spec of these tests, its resolved form and the example of the page fit."""
    validator = jsonschema_rs.validator_for(schema.app_spec())
    client = make()[2]
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    validator.validate(client.get("/api/v1/apps/shop/spec?resolved=true").get_json())
    validator.validate(SPEC)
    for example in schema.app_spec()["examples"]:
        validator.validate(example)
        assert client.post("/api/v1/apps/register", json=example).status_code == 201
    assert not validator.is_valid({**SPEC, "kind": "Application"})
    assert not validator.is_valid({**SPEC, "other": 1})


def test_all_that_is_allowed_for_an_index_is_read() -> None:
    """The highest that is described is no fault; one more is."""
    client = make()[2]
    assert client.get(f"/api/v1/events?before={2**62}").status_code == 200
    body = client.get(f"/api/v1/events?before={2**62 + 1}").get_json()
    assert body["details"][0]["field"] == "before"


def test_numbers_in_paths_and_queries_have_bounds(document: dict[str, Any]) -> None:
    """The lowest and the highest are described, whether it may be left out or not."""
    found = {
        f"{method} {path} {one['name']}": schema
        for path, method, operation in operations(document)
        for one in operation.get("parameters", [])
        for schema in (one["schema"], *one["schema"].get("anyOf", []))
        if schema.get("type") in ("integer", "number")}
    assert found["get /api/v1/events before"]["maximum"] == 2**62
    assert found[
        "get /api/v1/releases/{release}/revisions/{revision} against"]["maximum"] == 10**9
    assert [name for name, schema in found.items()
            if not {"minimum", "maximum"} <= schema.keys()] == []


def test_bounds_of_what_may_be_left_out_are_described(document: dict[str, Any]) -> None:
    """A value that may be left out has its limits all the same."""
    schemas = document["components"]["schemas"]
    for body, key, most in (
        ("StartBody", "replicas", 100), ("StopBody", "timeout", 300), ("SimulateBody", "replicas",
        100),
    ):
        kinds = schemas[body]["properties"][key]["anyOf"]
        assert {"type": "integer", "minimum": 0, "maximum": most} in kinds, (body, kinds)


@pytest.mark.parametrize(
    "timestamp", [0, -1, 5e-324, 1e300, "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_moments_that_no_answer_could_show(timestamp: Any) -> None:
    """A sample outside of what RFC 3339 can say since 1970 is refused with its field."""
    client = make()[2]
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    answer = client.post("/api/v1/apps/shop/scaling/simulate", json={
        "samples": [{"timestamp": timestamp}]})
    assert answer.status_code == 400
    assert answer.get_json()["details"][0]["field"].startswith("samples[0].timestamp")


def test_headers_are_judged_with_the_rest() -> None:
    """Path, query, headers and body at once; also where nothing would be proposed."""
    client = make()[2]
    answer = client.post(
        "/api/v1/apps/Shop/scale?x=1", json={"replicas": -1},
        headers={"Idempotency-Key": "a b", "If-Match": "3"})
    assert answer.status_code == 400
    assert [fault["field"] for fault in answer.get_json()["details"]] == [
        "app_name", "x", "Idempotency-Key", "If-Match", "replicas"]
    answer = client.post("/cluster/transfer", json={"to": "one"}, headers={"Idempotency-Key": " "})
    assert answer.status_code == 400
