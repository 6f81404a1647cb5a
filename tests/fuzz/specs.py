"""Target `spec`: YAML, JSON and mutated specs through the parser of app specs."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import orjson

from cluster.state.addresses import addresses
from orchestry.errors import OrchestryError
from orchestry.manifest import ManifestError, load_documents
from orchestry.spec.model import AppSpec
from orchestry.spec.parse import canonical, parse_app, resolved, spec_of, unsupported
from orchestry.spec.shapes import SpecError
from orchestry.spec.tables import document as document_table
from tests.fuzz.source import Source

FULL: dict[str, Any] = {
    "apiVersion": "v1", "kind": "App",
    "metadata": {"name": "shop", "labels": {"app": "shop", "tier": "web"},
                 "annotations": {"owner": "team"}},
    "spec": {
        "type": "http", "image": "registry.example:5000/team/shop:1.2",
        "ports": [{"containerPort": 80, "protocol": "HTTP", "name": "web"}],
        "command": ["serve"], "args": ["--port", "80"], "workingDir": "/srv",
        "environment": [{"name": "A", "value": "1"},
                        {"name": "B", "source": "sdk", "key": "app.name"},
                        {"name": "C", "source": "secret", "key": "db", "field": "password"}],
        "resources": {"cpu": "500m", "memory": "128Mi"},
        "volumes": [{"name": "data", "mountPath": "/data", "perReplica": True}],
        "ingress": {"hosts": ["shop.example.com"], "path": "/api"},
        "restartPolicy": "Always",
        "security": {"user": "1000:1000", "readOnlyRootFilesystem": True,
                     "capAdd": ["NET_BIND_SERVICE"], "capDrop": ["ALL"]},
    },
    "scaling": {"mode": "auto", "minReplicas": 1, "maxReplicas": 5, "metrics": ["cpu", "rps"],
                "scaleOutThresholdPct": 80, "scaleInThresholdPct": 30, "windowSeconds": 60,
                "schedule": [{"cron": "0 8 * * MON-FRI", "timezone": "Europe/Berlin",
                              "minReplicas": 2, "maxReplicas": 9, "durationSeconds": 3600}]},
    "healthCheck": {"protocol": "HTTP", "path": "/health", "port": 80, "method": "GET",
                    "headers": [{"name": "X-A", "value": "b"}],
                    "expectedStatusCodes": [200, 204], "periodSeconds": 10},
    "termination": {"drainSeconds": 5, "terminationGracePeriodSeconds": 5},
    "deploy": {"strategy": "canary", "steps": [{"weight": 10, "pauseSeconds": 5}],
               "gate": {"maxExtraErrorPercent": 2, "maxP95Percent": 150, "minRequests": 50}},
}
SEEDS: tuple[bytes, ...] = (
    b"\x00" + json.dumps(FULL).encode(),
    b"\x00{apiVersion: v1, kind: App, metadata: {name: a}, spec: {image: a, ports: []}}",
    b"\x00a: &x [*x]\n--- !!python/object:os.system {}\n",
    b"\x01\x03\x05\x00\x02",
)
_SAFE_HOST = re.compile(r"[a-z0-9.-]{1,253}")
_SAFE_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,1024}")


def _words(value: Any) -> list[str]:
    """All texts of a document, its keys too."""
    if isinstance(value, dict):
        return [word for key, part in value.items() for word in (key, *_words(part))]
    if isinstance(value, list):
        return [word for part in value for word in _words(part)]
    return [value] if isinstance(value, str) else []


WORDS = sorted({*_words(FULL), "privileged", "env", "replicas", "0", "64Mi", "1Ki", "*/5 * * * *"})


def one(data: bytes) -> None:
    """Raise AssertionError, or whatever escapes, when the parser has a bug."""
    source = Source(data)
    if source.number(1) == 0:
        try:
            documents = load_documents(source.rest().decode("utf-8", "surrogateescape"))
        except ManifestError as error:
            _told(error)
            return
        for document in documents[:3]:
            _read(document)
        return
    document = copy.deepcopy(FULL)
    for _ in range(1 + source.number(3)):
        document = _mutated(document, source)
    _read(document)


def _mutated(document: Any, source: Source) -> Any:
    """One value at a place of the fuzzer's choice is another, is gone, or is new."""
    whole: dict[str, Any] = {"": document}
    holder: Any = whole
    key: Any = ""
    for _ in range(source.number(5)):
        inner = holder[key]
        if not isinstance(inner, dict | list) or not inner:
            break
        holder = inner
        key = source.pick(list(inner)) if isinstance(inner, dict) else source.number(len(inner) - 1)
    action = source.number(5)
    if action == 0 and holder is not whole:
        del holder[key]
    elif action == 1 and isinstance(holder, dict) and holder is not whole:
        holder[source.pick(WORDS)] = source.plain(WORDS)
    else:
        holder[key] = source.plain(WORDS)
    return whole[""]


def _read(document: object) -> None:
    try:
        spec = parse_app(document)
    except SpecError as error:
        _told(error)
        return
    _consistent(document, spec)


def _told(error: OrchestryError) -> None:
    """Every fault can be sent: text that JSON can carry, of bounded length."""
    text = orjson.dumps(error.details)
    assert text
    assert len(text) < 512 * 1024, "a refusal is larger than what was refused"
    assert str(error)


def _consistent(document: object, spec: AppSpec) -> None:
    """What was accepted means the same written back, and is safe for nginx."""
    assert parse_app(resolved(spec), min_memory_bytes=1) == spec
    assert spec_of(canonical(document)) == spec
    assert document_table(1)
    unsupported(spec)
    for address in addresses(spec, "localhost"):
        host, slash, path = address.partition("/")
        assert _SAFE_HOST.fullmatch(host), host
        assert _SAFE_PATH.fullmatch(slash + path), path
