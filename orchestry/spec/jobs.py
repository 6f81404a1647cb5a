"""Jobs: documents of what runs once, as tables; see orchestry.spec.tables."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

from orchestry.spec import grammar as g
from orchestry.spec import tables
from orchestry.spec.model import AppSpec, Job, Scaling, Termination
from orchestry.spec.shapes import Key, Problem, Rule, Section, boolean, choice, integer, text

KIND: Final = "Job"
RETRIES_MAX: Final = 10
_OF_CONTAINERS: Final = (
    "image", "imagePullPolicy", "command", "args", "workingDir", "environment", "secretFiles",
    "resources", "volumes", "security")
_NO_SCALING: Final = Scaling(mode="manual", min_replicas=0)
_JOB: Final = Section(Job, (
    Key("schedule", "schedule", text(g.cron), omit_empty=True),
    Key("timezone", "timezone", text(g.timezone)),
    Key("concurrencyPolicy", "concurrency_policy", choice("Allow", "Forbid", "Replace")),
    Key("timeoutSeconds", "timeout_s", tables.RUN_S),
    Key("retries", "retries", integer(0, RETRIES_MAX)),
    Key("startingDeadlineSeconds", "starting_deadline_s", integer(1, tables.WINDOW_MAX_S)),
    Key("suspend", "suspend", boolean()),
))


def _volumes_fault(seen: Any) -> str:
    own = [volume.name for volume in getattr(seen, "volumes", ()) if volume.per_replica]
    return "" if not own else (
        f"must not have perReplica in a Job, which has no replicas: leave it out of {own[0]}")


@lru_cache(8)
def _spec(min_memory_bytes: int) -> Section:
    """What containers are made from, and nothing about serving."""
    keys = tables.spec(min_memory_bytes).keys
    return Section(
        dict, tuple(key for key in keys if key.name in _OF_CONTAINERS),
        rules=(Rule("volumes", ("volumes",), _volumes_fault),),
        elsewhere={"name": "metadata.name", "schedule": "job.schedule"})


@lru_cache(8)
def document(min_memory_bytes: int) -> Section:
    """The whole document; its result is a dict of the parts that were given."""
    return Section(dict, (
        Key("apiVersion", "api_version", choice("v1"), required=True),
        Key("kind", "kind", choice(KIND), required=True),
        Key("metadata", "metadata", tables.METADATA, required=True),
        Key("spec", "spec", _spec(min_memory_bytes), required=True),
        Key("job", "job", _JOB),
        Key("termination", "termination", tables.TERMINATION),
    ), elsewhere={"schedule": "job.schedule", "name": "metadata.name"})


def assembled(read: dict[str, Any]) -> AppSpec:
    """The job as an app without replicas, ports and ingress."""
    metadata = read["metadata"]
    return AppSpec(**({"labels": (("app", metadata["name"]),)} | metadata | read["spec"] | {
        "ports": (), "type": "tcp", "scaling": _NO_SCALING, "job": read.get("job", Job()),
        "termination": read.get("termination", Termination())}))


def resolved(spec: AppSpec) -> dict[str, Any]:
    """Its document with every default filled in."""
    return {
        "apiVersion": "v1", "kind": KIND, "metadata": tables.METADATA.write(spec),
        "spec": _spec(1).write(spec), "job": _JOB.write(spec.job),
        "termination": tables.TERMINATION.write(spec.termination),
    }


def unknown_zone(spec: AppSpec) -> tuple[Problem, ...]:
    """A time zone that this machine has no rules for."""
    if spec.job is None:
        return ()
    try:
        ZoneInfo(spec.job.timezone)
    except (LookupError, ValueError, OSError):
        return (Problem(
            "job.timezone", "must be a known time zone such as Europe/Berlin, not "
            f'"{spec.job.timezone}"'),)
    return ()
