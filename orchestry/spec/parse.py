"""App spec v1: parse a document, fill in its defaults, write it back; pure."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from orchestry.spec import jobs, tables
from orchestry.spec.model import AppSpec, Defaults, HealthCheck, Scaling
from orchestry.spec.shapes import BAD, Faults, Problem, SpecError, join

__all__ = [
    "DEFAULTED", "DEFAULTS", "Problem", "SpecError", "canonical", "parse_app", "resolved",
    "spec_of", "unknown_zones", "unsupported",
]

DEPTH_MAX: Final = 32
NODES_MAX: Final = 50_000
STRINGS_CHARACTERS_MAX: Final = 1024**2
# More than a cluster has apps: one that is too small for all of them helps with none.
STORED_SPECS_MAX: Final = 65_536

DEFAULTS: Final = Defaults()
"""Those of a cluster whose configuration nobody changed."""

DEFAULTED: Final = {
    "cooldown_s": ("scaling", "cooldownSeconds"),
    "period_s": ("healthCheck", "periodSeconds"),
    "timeout_s": ("healthCheck", "timeoutSeconds"),
    "failure_threshold": ("healthCheck", "failureThreshold"),
}
"""Part of `Defaults` -> the section and the key that it stands in for."""
_IN_SCALING: Final = frozenset({"cooldown_s"})
_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_app(
    document: object, *, min_memory_bytes: int = tables.MEMORY_FLOOR_BYTES
) -> AppSpec:
    """The app that a document of plain values (from JSON or YAML) asks for.

    Raises:
        SpecError: with every fault of the document, at most PROBLEMS_MAX.
    """
    faults = Faults()
    if not _is_bounded(document, faults):
        raise SpecError(tuple(faults.problems))
    is_job = isinstance(document, dict) and document.get("kind") == jobs.KIND
    table = jobs.document if is_job else tables.document
    read = table(min_memory_bytes).read(document, "", faults)
    if faults.problems or read is BAD:
        raise SpecError(tuple(faults.problems))
    if is_job:
        return jobs.assembled(read)
    return replace(_assemble(read), unnamed=_unnamed(document))


def _assemble(read: dict[str, Any]) -> AppSpec:
    """Fill in the defaults that depend on other parts of the document."""
    metadata, spec = read["metadata"], read["spec"]
    sides = {key.attribute: read[key.attribute] for key in tables.SIDES if key.attribute in read}
    first_port = {"port": spec["ports"][0].container_port}
    sides["health_check"] = HealthCheck(
        **(first_port | sides.get("health_check", {"protocol": "TCP"}))
    )
    return AppSpec(**({"labels": (("app", metadata["name"]),)} | metadata | spec | sides))


def _unnamed(document: Any) -> frozenset[str]:
    return frozenset(
        attribute for attribute, (side, name) in DEFAULTED.items()
        if name not in document.get(side, ())
    )


def _is_bounded(document: object, faults: Faults) -> bool:
    """Refuse what is too large, too deep or no plain value, before any other look at it."""
    nodes, characters = 0, 0
    left: list[tuple[object, str, int]] = [(document, "", 1)]
    while left:
        value, at, depth = left.pop()
        nodes += 1
        parts: list[tuple[object, str, int]] = []
        if isinstance(value, dict):
            for key, part in value.items():
                if not isinstance(key, str) or _SURROGATE.search(key):
                    faults.add(at, "must have keys that are text (in quotes)")
                    return False
                characters += len(key)
                parts.append((part, join(at, key), depth + 1))
        elif isinstance(value, list):
            parts = [(part, f"{at}[{i}]", depth + 1) for i, part in enumerate(value)]
        elif isinstance(value, str):
            characters += len(value)
        elif isinstance(value, float) and not math.isfinite(value):
            faults.add(at, f"must be a finite number, not {value}")
            return False
        elif value is not None and not isinstance(value, bool | int | float):
            faults.add(at, f"must be a plain value, not a {type(value).__name__}")
            return False
        if depth > DEPTH_MAX:
            faults.add(at, f"must be nested at most {DEPTH_MAX} levels deep")
        elif nodes + len(left) + len(parts) > NODES_MAX:
            faults.add("", f"must have at most {NODES_MAX} values")
        elif characters > STRINGS_CHARACTERS_MAX:
            faults.add("", f"must have at most {STRINGS_CHARACTERS_MAX} characters of text")
        if faults.problems:
            return False
        left += parts
    return True


def canonical(document: object) -> str:
    """The document as compact JSON text, its keys in the owner's order.

    Raises:
        ValueError: NaN or infinity.
    """
    return json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def spec_of(document_text: str, defaults: Defaults = DEFAULTS) -> AppSpec:
    """The app of a stored document; the memory floor counts only when it is registered.

    Raises:
        SpecError: the text was not written by `canonical` of a valid document.
    """
    if defaults is DEFAULTS:
        return _parsed(document_text)
    return _filled(document_text, defaults)


@lru_cache(STORED_SPECS_MAX)
def _parsed(document_text: str) -> AppSpec:
    return parse_app(json.loads(document_text), min_memory_bytes=1)


@lru_cache(STORED_SPECS_MAX)
def _filled(document_text: str, defaults: Defaults) -> AppSpec:
    """Not parsed again: with thousands of apps that would take the control loop seconds."""
    spec = _parsed(document_text)
    scaling = {name: getattr(defaults, name) for name in spec.unnamed if name in _IN_SCALING}
    check = {name: getattr(defaults, name) for name in spec.unnamed if name not in _IN_SCALING}
    return replace(
        spec, scaling=replace(spec.scaling, **scaling),
        health_check=replace(spec.health_check, **check),
    )


def resolved(spec: AppSpec) -> dict[str, Any]:
    """The document of `spec` with every default filled in; `parse_app` reads it back.

    What has no default of its own (the image's command, for example) is left out.
    """
    if spec.job is not None:
        return jobs.resolved(spec)
    return {
        "apiVersion": "v1",
        "kind": "App",
        "metadata": tables.METADATA.write(spec),
        "spec": tables.spec(1).write(spec),
        **{key.name: key.shape.write(getattr(spec, key.attribute)) for key in tables.SIDES},
    }


def unknown_zones(scaling: Scaling) -> tuple[Problem, ...]:
    """Time zones of the schedule that this machine has no rules for.

    Not a rule of the spec: what is in the log must mean the same on every controller.
    """
    found = []
    for number, entry in enumerate(scaling.schedule):
        try:
            ZoneInfo(entry.timezone)
        except (LookupError, ValueError, OSError):
            found.append(Problem(
                f"scaling.schedule[{number}].timezone",
                f'must be a known time zone such as Europe/Berlin, not "{entry.timezone}"'))
    return tuple(found)


def unsupported(spec: AppSpec) -> tuple[Problem, ...]:
    """What `spec` asks for and this version does not carry out yet."""
    found = [*unknown_zones(spec.scaling), *jobs.unknown_zone(spec)]
    if spec.deploy.strategy == "canary" and spec.type != "http":
        found.append(Problem(
            "deploy.strategy", "canary shares HTTP requests out: use it with type http only"))
    if spec.deploy.strategy == "canary" and any(one.per_replica for one in spec.volumes):
        found.append(Problem(
            "deploy.strategy", "canary runs old and new replicas beside one another, which "
            "volumes with perReplica do not allow: use rolling or recreate"))
    return tuple(found)
