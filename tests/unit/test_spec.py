"""App specs that are right: defaults, round trips, what this version cannot carry out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestry.manifest import load_documents
from orchestry.spec import tables
from orchestry.spec.model import HealthCheck, Volume
from orchestry.spec.parse import (
    SpecError,
    canonical,
    parse_app,
    resolved,
    spec_of,
    unsupported,
)
from orchestry.spec.shapes import ListOf, Section

PAGE = Path(__file__).parents[2] / "docs" / "app-spec.md"


def minimal(**sections: Any) -> dict[str, Any]:
    """The smallest app, with further sections of the document."""
    return {
        "apiVersion": "v1",
        "kind": "App",
        "metadata": {"name": "web"},
        "spec": {"image": "nginx:alpine", "ports": [{"containerPort": 8080}]},
        **sections,
    }


def test_the_smallest_app_gets_the_documented_defaults() -> None:
    """Every default of the specification's table is filled in."""
    document = resolved(parse_app(minimal()))
    assert document == {
        "apiVersion": "v1",
        "kind": "App",
        "metadata": {"name": "web", "labels": {"app": "web"}, "annotations": {}},
        "spec": {
            "type": "http", "image": "nginx:alpine",
            "ports": [{"containerPort": 8080, "protocol": "HTTP"}],
            "environment": [], "resources": {"cpu": "100m", "memory": "128Mi"}, "volumes": [],
            "ingress": {"hosts": [], "path": "/"}, "restartPolicy": "Always",
            "security": {"readOnlyRootFilesystem": False, "capAdd": [], "capDrop": []},
        },
        "scaling": {
            "mode": "auto", "minReplicas": 1, "maxReplicas": 5, "targetRPSPerReplica": 50,
            "maxP95LatencyMs": 250, "maxCPUPercent": 70, "maxMemoryPercent": 75,
            "maxConnPerReplica": 100,
            "metrics": ["cpu", "memory", "rps", "latency", "connections"],
            "scaleOutThresholdPct": 80, "scaleInThresholdPct": 30, "windowSeconds": 60,
            "cooldownSeconds": 180, "maxScaleOutStep": 0, "maxScaleInStep": 1,
            "stabilizationWindowSeconds": 300, "schedule": [],
        },
        "healthCheck": {
            "protocol": "TCP", "path": "/health", "port": 8080, "method": "GET", "headers": [],
            "initialDelaySeconds": 30, "periodSeconds": 10, "timeoutSeconds": 5,
            "failureThreshold": 3, "successThreshold": 1,
        },
        "termination": {"drainSeconds": 30, "terminationGracePeriodSeconds": 30},
        "deploy": {
            "strategy": "rolling", "maxSurge": 1, "maxUnavailable": 0, "minHealthySeconds": 5,
            "progressDeadlineSeconds": 300, "autoRollback": True,
        },
    }


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_without_a_health_check_the_first_port_is_connected_to(kind: str) -> None:
    """No `healthCheck` section means TCP connect, for both types of app."""
    document = minimal()
    document["spec"]["type"] = kind
    assert parse_app(document).health_check == HealthCheck(protocol="TCP", port=8080)


def test_a_health_check_section_means_http_on_the_first_port() -> None:
    """An empty section already asks for HTTP."""
    assert parse_app(minimal(healthCheck={})).health_check == HealthCheck(port=8080)
    check = parse_app(minimal(healthCheck={"port": 9000, "expectedStatusCodes": [204]}))
    assert check.health_check == HealthCheck(port=9000, expected_status_codes=frozenset({204}))


def test_env_is_another_name_of_environment() -> None:
    """Both spellings are read alike."""
    document, other = minimal(), minimal()
    document["spec"]["environment"] = other["spec"]["env"] = [{"name": "A", "value": ""}]
    assert parse_app(document) == parse_app(other)
    assert parse_app(document).environment[0].value == ""


def test_the_memory_floor_is_the_clusters() -> None:
    """A lower floor of the cluster admits smaller apps; stored apps are always read."""
    document = minimal()
    document["spec"]["resources"] = {"memory": "4Mi"}
    with pytest.raises(SpecError, match=r"spec\.resources\.memory must be from 64Mi to 64Gi"):
        parse_app(document)
    assert parse_app(document, min_memory_bytes=4 * 1024**2).resources.memory_bytes == 4 * 1024**2
    assert spec_of(canonical(document)).resources.memory_bytes == 4 * 1024**2


def test_a_volume_is_read_with_its_defaults() -> None:
    """A volume is shared and writable unless told otherwise."""
    document = minimal()
    document["spec"]["volumes"] = [
        {"name": "data", "mountPath": "/var/lib/data"}, {"name": "etc", "mountPath": "/etc/shop"}]
    assert parse_app(document).volumes == (
        Volume("data", "/var/lib/data"), Volume("etc", "/etc/shop"))


def test_canonical_keeps_the_owners_order_and_refuses_nan() -> None:
    """The stored text is the owner's document, as compact JSON."""
    document = minimal(termination={"drainSeconds": 5})
    assert list(json.loads(canonical(document))) == list(document)
    assert canonical({"b": "é", "a": [1]}) == '{"b":"é","a":[1]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical(float("nan"))


def test_every_source_of_a_variable_is_carried_out() -> None:
    """None of them is told as a feature that is still to come."""
    document = minimal()
    document["spec"]["environment"] = [
        {"name": "A", "value": "1"},
        {"name": "B", "source": "secret", "key": "db", "field": "password"},
        {"name": "C", "source": "sdk", "key": "instance.ip"},
        {"name": "D", "source": "sdk", "key": "instance.id"},
    ]
    assert unsupported(parse_app(document)) == ()
    assert unsupported(parse_app(minimal())) == ()


@pytest.mark.parametrize("more", [
    {"type": "tcp", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
    {"volumes": [{"name": "d", "mountPath": "/d", "perReplica": True}]},
])
def test_a_canary_needs_http_and_replicas_beside_one_another(more: dict[str, Any]) -> None:
    """Weights are of requests, and no volume is written by two."""
    document = minimal(deploy={"strategy": "canary", "steps": [{"weight": 5}]})
    assert unsupported(parse_app(document)) == ()
    document["spec"].update(more)
    assert [problem.field for problem in unsupported(parse_app(document))] == ["deploy.strategy"]


@pytest.mark.parametrize(
    "image",
    [
        "nginx", "nginx:1.27-alpine", "team/app", "localhost/app:1", "localhost:5000/a/b/c",
        "registry.example.com/app_one/two__three/four-five:V1.2_x", f"app@sha256:{'0a' * 32}",
        f"10.0.0.1:5000/app:1@sha256:{'f' * 64}", "Registry.Example/app", "a" * 255,
    ],
)
def test_image_references_of_the_distribution_grammar(image: str) -> None:
    """Registry, path, tag and digest in every allowed combination."""
    document = minimal()
    document["spec"]["image"] = image
    assert parse_app(document).image == image


@pytest.mark.parametrize(
    "cron", ["* * * * *", "0 8 * * MON-FRI", "*/15 0-6,22-23 1,15 jan-mar 0", "5/10 0 31 12 7"]
)
def test_cron_expressions(cron: str) -> None:
    """Numbers, names, lists, ranges and steps of crontab(5)."""
    entry = {
        "cron": cron, "timezone": "Europe/Berlin", "minReplicas": 2, "maxReplicas": 9,
        "durationSeconds": 3600,
    }
    assert parse_app(minimal(scaling={"schedule": [entry]})).scaling.schedule[0].cron == cron


def _mapping(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=values)


_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}[a-z0-9]", fullmatch=True)
_WORDS = st.text(max_size=8).filter(lambda word: "\0" not in word).filter(
    lambda word: not any("\ud800" <= sign <= "\udfff" for sign in word)
)
_VARIABLES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"name": _NAMES.map(lambda n: n.replace("-", "_")), "value": _WORDS}),
    st.fixed_dictionaries({
        "name": _NAMES.map(lambda n: n.replace("-", "_")), "source": st.just("sdk"),
        "key": st.sampled_from(tables.SDK_KEYS),
    }),
)
_METADATA: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"name": _NAMES},
    optional={
        "annotations": st.dictionaries(_NAMES, _WORDS, max_size=2),
        "labels": st.dictionaries(st.just("team"), _NAMES, max_size=1),
    },
)
_PORTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    _mapping(protocol=st.sampled_from(["HTTP", "TCP"])).flatmap(
        lambda port: st.integers(1, 65_535).map(lambda number: {**port, "containerPort": number})
    ),
    min_size=1, max_size=3, unique_by=lambda port: port["containerPort"],
)
_SPEC_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from(["http", "tcp"]),
    "command": st.lists(_WORDS, max_size=2),
    "workingDir": st.just("/srv"),
    "environment": st.lists(_VARIABLES, max_size=3, unique_by=lambda v: v["name"]),
    "resources": _mapping(
        cpu=st.sampled_from(["10m", "1", 1, 2.5, "16"]),
        memory=st.integers(64, 65_536).map(lambda size: f"{size}Mi"),
    ),
    "security": _mapping(
        user=st.just("1000:1000"), capDrop=st.just(["ALL"]),
        capAdd=st.just(["CHOWN"]), readOnlyRootFilesystem=st.booleans(),
    ),
    "ingress": _mapping(hosts=st.just(["a.example.com"]), path=st.just("/api")),
}
_SPECS: st.SearchStrategy[dict[str, Any]] = _mapping(**_SPEC_OPTIONS).flatmap(
    lambda options: _PORTS.map(lambda ports: {"image": "a.b/c:1", "ports": ports, **options})
)
DOCUMENTS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "apiVersion": st.just("v1"),
        "kind": st.just("App"),
        "metadata": _METADATA,
        "spec": _SPECS,
    },
    optional={
        "scaling": _mapping(
            minReplicas=st.integers(0, 5), maxReplicas=st.integers(5, 100),
            targetRPSPerReplica=st.floats(1, 10_000), maxCPUPercent=st.integers(1, 100),
            metrics=st.just(["cpu"]),
        ),
        "healthCheck": _mapping(
            port=st.integers(1, 65_535), protocol=st.sampled_from(["HTTP", "TCP"]), body=_WORDS,
            headers=st.just([{"name": "X-A", "value": "b"}]),
            expectedStatusCodes=st.lists(st.integers(100, 599), min_size=1, max_size=3),
        ),
        "deploy": st.sampled_from([
            {}, {"strategy": "recreate"}, {"strategy": "rolling", "maxSurge": 0,
                                           "maxUnavailable": 1},
            {"strategy": "canary", "steps": [{"weight": 5, "pauseSeconds": 0}]},
            {"strategy": "canary", "steps": [{"weight": 5}], "gate": {"minRequests": 9}},
            {"pre": {"command": ["migrate"]}}, {"pre": {"command": ["a"], "timeoutSeconds": 9}},
        ]),
    },
)


@given(DOCUMENTS)
def test_a_resolved_document_reads_as_the_same_app(document: dict[str, Any]) -> None:
    """Filling in the defaults changes nothing and is done once."""
    spec = parse_app(document)
    full = resolved(spec)
    assert parse_app(full) == spec
    assert resolved(parse_app(full)) == full
    assert spec_of(canonical(document)) == spec


def test_the_examples_of_the_page_are_valid_and_show_every_key() -> None:
    """The examples of docs/app-spec.md are read as they stand, and leave out no key."""
    blocks = re.findall(r"```yaml ?(\w*)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    shown = ""
    for kind, text in blocks:
        (document,) = load_documents(text)
        assert isinstance(document, dict)
        parse_app(minimal(**document) if kind == "part" else document)
        shown += text
    assert [kind for kind, _ in blocks] == ["", "full", "part"]
    for key in _known_keys(tables.document(1)):
        assert re.search(rf"\b{key}:", shown), key


def _known_keys(section: Section) -> set[str]:
    found = set()
    for key in section.keys:
        found.add(key.name)
        shape: Any = key.shape
        shape = shape.item if isinstance(shape, ListOf) else shape
        if isinstance(shape, Section):
            found |= _known_keys(shape)
    return found
