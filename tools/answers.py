"""What the calls of the clients take and answer, by the OpenAPI document and the tables of specs:
for the generators of types."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, NamedTuple

import api
from api.answers import Answer
from orchestry.client.calls import Calls
from orchestry.client.exchange import Request
from orchestry.spec import jobs
from orchestry.spec.schema import of
from orchestry.spec.tables import MEMORY_FLOOR_BYTES
from tests.api.support import make

Schema = dict[str, Any]
ROOT = Path(__file__).parents[1]
# An answer whose parts depend on a parameter: which one is left out of the other answer.
WITHOUT = {"AppTotals": ("AppList", "apps")}
STREAMS = {"stream_events": "Event", "stream_logs": "LogEntry", "stream_metrics": "AppMeasured",
           "stream_deployment": "DeploymentDetail"}
# Arguments with which each call is made once, by their annotations.
SAMPLES: dict[str, Any] = {
    "str": "x", "int": 1, "Mapping[str, Any]": {"metadata": {"name": "x"}}, "Sequence[str]": ["x"],
    "str | Mapping[str, str]": "x", "Sequence[Mapping[str, Any]]": [],
}


# Bodies whose names would say nothing to who writes a program, or the same as an answer's.
BODIES = {"ScalingBody": "PolicyChanges", "ConfigBody": "ConfigChanges", "SampleBody": "Sample"}
# What a release and a simulation have inside is described elsewhere.
PARTS = {("ReleaseBody", "specs"): {"type": "array", "items": {"anyOf": [
    {"$ref": "#/components/schemas/AppSpec"}, {"$ref": "#/components/schemas/JobSpec"}]}},
    ("SimulateBody", "policy"): {"$ref": "#/components/schemas/PolicyChanges"},
    ("SecretBody", "values"): {"type": "object", "additionalProperties": {"type": "string"}}}
OLD = "compat_"
# A part of a backup is as a backup has it, and nobody writes one by hand.
OPAQUE = {"RestoreBody"}


class Types(NamedTuple):
    """`calls` is method -> name of its answer; `homes` is module -> names of the schemas in it.

    `bodies` are the names of what is sent, and of its parts.
    """

    calls: dict[str, str]
    schemas: dict[str, Schema]
    homes: dict[str, list[str]]
    bodies: list[str]


class Language(NamedTuple):
    """How types are written: of words, of lists and of keys, and the simple ones by kind."""

    words: Callable[[list[str]], str]
    array: Callable[[str], str]
    record: Callable[[str], str]
    simple: Mapping[str | None, str]


class _Recorded(Calls[Request, None]):
    def _send(self, request: Request) -> Request:
        return request


def answer_types() -> Types:
    """The answers of all calls and streams, with all that they are made of."""
    document = make()[2].get("/openapi.json").get_json()
    schemas: dict[str, Schema] = document["components"]["schemas"]
    for name, (whole, part) in WITHOUT.items():
        properties = schemas[whole]["properties"]
        schemas[name] = schemas[whole] | {
            "description": f"As `{whole}`, without `{part}`.",
            "properties": {key: properties[key] for key in properties if key != part}}
        schemas[whole]["required"].insert(0, part)
    schemas["SystemMetrics"]["required"].append("nodes")  # clients ask for those of all nodes
    now = schemas["MeasuredNow"]
    schemas["AppMeasured"] = now | {
        "description": "What was measured last, as it is streamed.",
        "required": ["app_name", *now["required"]],
        "properties": {"app_name": {"type": "string"}, **now["properties"]}}
    schemas["JobSpec"] = {
        "description": "What runs once or by a schedule, as its owner wants it.",
        **of(jobs.document(MEMORY_FLOOR_BYTES))}
    bodies = _bodies(document["paths"], schemas)
    calls = dict(_answers(document["paths"])) | STREAMS
    wanted: set[str] = {*WITHOUT, "JobSpec"}
    for name in calls.values():
        _reach(name, schemas, wanted)
    homes = _homes()
    found: dict[str, list[str]] = {}
    for name in sorted(wanted, key=list(homes).index):
        found.setdefault(homes[name], []).append(name)
    return Types(calls, schemas, found, bodies)


def typed(schema: Schema, name: str, nested: dict[str, Schema], language: Language) -> str:
    """A schema as a type; an object without a name gets this one, and into `nested`."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema or "enum" in schema:
        return language.words(schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(
            typed(one, name, nested, language) for one in schema["anyOf"]))
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items") or {"anyOf": schema.get("prefixItems") or [{}]}
        return language.array(typed(items, name, nested, language))
    if "properties" in schema:
        nested[name] = schema
        return name
    more = schema.get("additionalProperties")
    if kind == "object" and isinstance(more, dict):
        return language.record(typed(more, name, nested, language))
    return language.simple[kind]


def fields_of(
    name: str, schema: Schema, nested: dict[str, Schema], language: Language
) -> Iterator[tuple[str, str, bool]]:
    """(key, its type, whether it is always there) of an object."""
    for key, part in schema["properties"].items():
        inner = name + key[0].upper() + key[1:]
        yield key, typed(part, inner, nested, language), key in schema.get("required", ())


def imports_of(home: str, types: Types) -> dict[str, list[str]]:
    """Other module -> what this one has from there; `bodies` is a home, too."""
    found: dict[str, list[str]] = {}
    own = types.homes.get(home, types.bodies)
    parts = {part for name in own for part in parts_of(types.schemas[name])} - set(own)
    for other, names in sorted(types.homes.items()):
        if other != home and parts & set(names):
            found[other] = sorted(parts & set(names), key=str.lower)
    return found


def parts_of(schema: Schema) -> Iterator[str]:
    """The names that a schema refers to."""
    for found in re.findall(r"'\$ref': '#/components/schemas/(\w+)'", repr(schema)):
        yield str(found)


def sentence(schema: Schema) -> str:
    """The first line of a description."""
    return str(schema.get("description", "")).partition("\n")[0]


def _reach(name: str, schemas: Mapping[str, Schema], found: set[str]) -> None:
    if name not in found:
        found.add(name)
        for part in parts_of(schemas[name]):
            _reach(part, schemas, found)


def _bodies(paths: Mapping[str, Any], schemas: dict[str, Schema]) -> list[str]:
    """The names of all bodies and of their parts; `schemas` gets those under their own names."""
    for (body, key), part in PARTS.items():
        schemas[body]["properties"][key] = part
    for old, new in BODIES.items():
        schemas[new] = schemas[old]
    sent: set[str] = set()
    for item in paths.values():
        for operation in item.values():
            if "requestBody" in operation and not operation["operationId"].startswith(OLD):
                (schema,) = {one["schema"]["$ref"] for one in
                             operation["requestBody"]["content"].values()}
                name = schema.rpartition("/")[2]
                if name not in OPAQUE:
                    _reach(BODIES.get(name, name), schemas, sent)
    for schema in (schemas[name] for name in sent):
        for old, new in BODIES.items():
            _rename(schema, f"#/components/schemas/{old}", f"#/components/schemas/{new}")
    return sorted((sent - set(BODIES) - {"AppSpec", "JobSpec"}) | set(BODIES.values()))


def _rename(schema: Any, old: str, new: str) -> None:
    for key, part in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if part == old:
            schema[key] = new
        elif isinstance(part, dict | list):
            _rename(part, old, new)


def _answers(paths: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(method, name of its answer) of all calls that are answered once, by what they send."""
    routes = sorted(
        ((re.sub(r"{\w+}", "[^/]+", path), method.upper(), operation)
         for path, item in paths.items() for method, operation in item.items()),
        key=lambda route: route[0].count("[^/]+"))
    client = _Recorded("http://127.0.0.1:1")
    for name, function in inspect.getmembers(Calls, inspect.isfunction):
        if name.startswith("_") or function.__annotations__["return"] != "R":
            continue
        needed = {
            key: SAMPLES[parameter.annotation]
            for key, parameter in inspect.signature(function).parameters.items()
            if key != "self" and parameter.default is inspect.Parameter.empty}
        request: Request = getattr(client, name)(**needed)
        operation = next(
            operation for path, method, operation in routes
            if method == request.method and re.fullmatch(path, request.path))
        (good,) = (one for status, one in operation["responses"].items() if "200" <= status < "300")
        yield name, good["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]


def _homes() -> dict[str, str]:
    """Name of a model -> the module that it belongs to, in the order of the source."""
    homes: dict[str, str] = {}
    for module in iter_modules(api.__path__):
        if module.name.partition("_")[0] != "answers":
            continue
        home = module.name.partition("_")[2] or "apps"
        for name, model in vars(import_module(f"api.{module.name}")).items():
            if inspect.isclass(model) and issubclass(model, Answer) \
                    and model.__module__ == f"api.{module.name}":
                assert name not in homes, f"two answers have the name {name}"
                homes[name] = home
    return homes | {
        "AppTotals": "apps", "AppMeasured": "scaling", "AppSpec": "spec", "JobSpec": "jobs"}
