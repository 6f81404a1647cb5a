"""App spec v1 as tables: every key, its shape, and the rules over several keys; pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from orchestry import units
from orchestry.spec import grammar as g
from orchestry.spec import model as m
from orchestry.spec.shapes import (
    Key,
    ListOf,
    MapOf,
    Rule,
    Scalar,
    Section,
    boolean,
    choice,
    integer,
    number,
    text,
)

MEMORY_FLOOR_BYTES: Final = 64 * 1024**2
MEMORY_MAX_BYTES: Final = 64 * 1024**3
CPU_MIN_MILLICORES: Final = 10
CPU_MAX_MILLICORES: Final = 16_000
REPLICAS_MAX: Final = 100
WINDOW_MAX_S: Final = 86_400
SCHEDULE_MAX_S: Final = 7 * 86_400
PROBE_MAX_S: Final = 3_600
DRAIN_MAX_S: Final = 300
THRESHOLD_MAX: Final = 100
CONNECTIONS_MAX: Final = 1_000_000
ENVIRONMENT_MAX: Final = 1_000
SECRET_FILES_MAX: Final = 64
ARGUMENTS_MAX: Final = 1_000
PORTS_MAX: Final = 32
VOLUMES_MAX: Final = 32
HOSTS_MAX: Final = 64
HEADERS_MAX: Final = 32
SCHEDULES_MAX: Final = 64
STEPS_MAX: Final = 32
LABELS_MAX: Final = 64

SDK_KEYS: Final = (
    "instance.ip", "instance.port", "instance.id", "app.name", "app.replicas", "app.revision")
METRICS: Final = ("cpu", "memory", "rps", "latency", "connections")
_DOCKER_DEFAULT_CAPABILITIES: Final = (
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
)
CAPABILITIES_ALLOWED: Final = (*_DOCKER_DEFAULT_CAPABILITIES, "IPC_LOCK", "LEASE", "SYS_NICE")


_CPU_SCHEMA: Final = {"anyOf": [
    {"type": "number", "minimum": CPU_MIN_MILLICORES / 1000, "maximum": CPU_MAX_MILLICORES / 1000},
    {"type": "string", "pattern": r"^(?:[0-9]+m|[0-9]+(?:\.[0-9]+)?)$"},
]}
_MEMORY_SCHEMA: Final = {"type": "string", "pattern": r"^[0-9]+(?:\.[0-9]+)?(?:[KMGT]i?)?$"}


def _quantity(
    parse: Any, format_: Any, least: int, most: int, schema: Mapping[str, Any]
) -> Scalar:
    def check(value: object) -> int:
        parsed: int = parse(value)
        if not least <= parsed <= most:
            raise ValueError(f"must be from {format_(least)} to {format_(most)}")
        return parsed

    return Scalar(check, format_, schema)


_CPU = _quantity(
    units.parse_cpu, units.format_cpu, CPU_MIN_MILLICORES, CPU_MAX_MILLICORES, _CPU_SCHEMA)
_SELF: Final[dict[str, Callable[[Any], object]]] = {"": lambda value: value}
_PERCENT = number(1, 100)
_PORT = integer(1, 65_535)
_ARGUMENTS = ListOf(text(g.block(g.ENV_VALUE_BYTES_MAX)), most=ARGUMENTS_MAX)
_MIN_REPLICAS = Key("minReplicas", "min_replicas", integer(0, REPLICAS_MAX))
_MAX_REPLICAS = Key("maxReplicas", "max_replicas", integer(1, REPLICAS_MAX))
_REPLICAS_RULE = Rule(
    "maxReplicas", ("min_replicas", "max_replicas"),
    lambda v: "" if v.max_replicas >= v.min_replicas
    else f"must be at least minReplicas ({v.min_replicas}), not {v.max_replicas}",
)

METADATA = Section(
    dict,
    (
        Key("name", "name", text(g.app_name), required=True),
        Key("labels", "labels", MapOf(g.label_key, text(g.label_value), LABELS_MAX, 64 * 1024)),
        Key("annotations", "annotations", MapOf(
            g.line(253, least=1), text(g.block(g.ANNOTATIONS_BYTES_MAX)), 1_000,
            g.ANNOTATIONS_BYTES_MAX,
        )),
    ),
    (
        Rule(
            "labels.app", ("name", "labels"),
            lambda v: "" if dict(getattr(v, "labels", ())).get("app", v.name) == v.name
            else f"must equal metadata.name ({v.name})",
        ),
    ),
)

_PORTS = ListOf(
    Section(m.Port, (
        Key("containerPort", "container_port", _PORT, required=True),
        Key("protocol", "protocol", choice("HTTP", "TCP")),
        Key("name", "name", text(g.dns_label), omit_empty=True),
    )),
    least=1, most=PORTS_MAX,
    unique={"containerPort": lambda port: port.container_port, "name": lambda port: port.name},
)


def _source_fault(v: Any) -> str:
    if (v.value is None) == (v.source == ""):
        return "must be given, or a source: exactly one of the two"
    return ""


def _source_key_fault(v: Any) -> str:
    if v.source == "" and v.key:
        return "has a meaning only with source"
    if v.source and not v.key:
        return f"is required with source: {v.source}"
    if v.source == "sdk" and v.key not in SDK_KEYS:
        return f"must be one of {', '.join(SDK_KEYS)}"
    return ""


_ENVIRONMENT = ListOf(
    Section(
        m.EnvVar,
        (
            Key("name", "name", text(g.env_name), required=True),
            Key("value", "value", text(g.block(g.ENV_VALUE_BYTES_MAX), secret=True)),
            Key("source", "source", choice("sdk", "secret"), omit_empty=True),
            Key("key", "key", text(g.secret_name), omit_empty=True),
            Key("field", "field", text(g.secret_name), only=("source", "secret")),
        ),
        (
            Rule("value", ("value", "source"), _source_fault),
            Rule("key", ("source", "key"), _source_key_fault),
        ),
    ),
    most=ENVIRONMENT_MAX, unique={"name": lambda variable: variable.name},
)

_SECRET_FILES = ListOf(
    Section(m.SecretFile, (
        Key("name", "name", text(g.file_name), required=True),
        Key("key", "key", text(g.secret_name), required=True),
        Key("field", "field", text(g.secret_name), omit_empty=True),
    )), most=SECRET_FILES_MAX, unique={"name": lambda file: file.name})


def _volumes_fault(seen: Any) -> str:
    """A slot's own volume is stored as `<name>-<slot>`: no other is called so, or within one."""
    volumes = getattr(seen, "volumes", ())
    own = {volume.name for volume in volumes if volume.per_replica}
    for volume in volumes:
        name, _, slot = volume.name.rpartition("-")
        if name in own and slot.isdecimal():
            return f"must not hold {volume.name}, which is the name of a replica's own {name}"
    for inner in volumes:
        for outer in volumes:
            if inner.mount_path.startswith(f"{outer.mount_path}/"):
                return f"must not hold {inner.mount_path}, which is below {outer.mount_path}"
    return ""


_VOLUMES = ListOf(
    Section(m.Volume, (
        Key("name", "name", text(g.dns_label), required=True),
        Key("mountPath", "mount_path", text(g.mount_path), required=True),
        Key("perReplica", "per_replica", boolean()),
        Key("readOnly", "read_only", boolean()),
    )),
    most=VOLUMES_MAX,
    unique={"name": lambda volume: volume.name, "mountPath": lambda volume: volume.mount_path},
)

_INGRESS = Section(m.IngressRule, (
    Key("hosts", "hosts", ListOf(text(g.host), most=HOSTS_MAX, unique=_SELF)),
    Key("path", "path", text(g.ingress_path)),
))
_SECURITY = Section(m.Security, (
    Key("user", "user", text(g.user), omit_empty=True),
    Key("readOnlyRootFilesystem", "read_only_root_filesystem", boolean()),
    Key("capAdd", "cap_add", ListOf(
        choice(*CAPABILITIES_ALLOWED), most=len(CAPABILITIES_ALLOWED), unique=_SELF,
    )),
    Key("capDrop", "cap_drop", ListOf(
        choice("ALL", *CAPABILITIES_ALLOWED), most=len(CAPABILITIES_ALLOWED) + 1, unique=_SELF,
    )),
))


SCHEDULE_ENTRY = Section(
    m.ScheduleEntry,
    (
        Key("cron", "cron", text(g.cron), required=True),
        Key("timezone", "timezone", text(g.timezone), required=True),
        Key("minReplicas", "min_replicas", _MIN_REPLICAS.shape, required=True),
        Key("maxReplicas", "max_replicas", _MAX_REPLICAS.shape, required=True),
        Key("durationSeconds", "duration_s", integer(1, SCHEDULE_MAX_S), required=True),
    ),
    (_REPLICAS_RULE,),
)
SCALING = Section(
    m.Scaling,
    (
        Key("mode", "mode", choice("auto", "manual")),
        _MIN_REPLICAS,
        _MAX_REPLICAS,
        Key("targetRPSPerReplica", "target_rps_per_replica", number(1, 10_000)),
        Key("maxP95LatencyMs", "max_p95_latency_ms", number(1, 30_000)),
        Key("maxCPUPercent", "max_cpu_percent", _PERCENT),
        Key("maxMemoryPercent", "max_memory_percent", _PERCENT),
        Key("maxConnPerReplica", "max_conn_per_replica", integer(1, CONNECTIONS_MAX)),
        Key("metrics", "metrics", ListOf(
            choice(*METRICS), least=1, most=len(METRICS), unique=_SELF,
        )),
        Key("scaleOutThresholdPct", "scale_out_threshold_pct", _PERCENT),
        Key("scaleInThresholdPct", "scale_in_threshold_pct", _PERCENT),
        Key("windowSeconds", "window_s", integer(5, WINDOW_MAX_S)),
        Key("cooldownSeconds", "cooldown_s", integer(0, WINDOW_MAX_S)),
        Key("maxScaleOutStep", "max_scale_out_step", integer(0, REPLICAS_MAX)),
        Key("maxScaleInStep", "max_scale_in_step", integer(0, REPLICAS_MAX)),
        Key("stabilizationWindowSeconds", "stabilization_window_s", integer(0, WINDOW_MAX_S)),
        Key("schedule", "schedule", ListOf(SCHEDULE_ENTRY, most=SCHEDULES_MAX)),
    ),
    (
        _REPLICAS_RULE,
        Rule(
            "scaleOutThresholdPct", ("scale_out_threshold_pct", "scale_in_threshold_pct"),
            lambda v: "" if v.scale_out_threshold_pct > v.scale_in_threshold_pct
            else f"must be above scaleInThresholdPct ({v.scale_in_threshold_pct}), "
            f"not {v.scale_out_threshold_pct}",
        ),
    ),
)


def _header(name: str, value: str = "") -> tuple[str, str]:
    return name, value


def _header_name(value: str) -> str:
    if g.header_name(value).lower() in {"host", "content-length", "transfer-encoding"}:
        raise ValueError("is set by the health check itself: must be another header")
    return value


class _Header(Section):
    """A {name, value} mapping kept as a pair."""

    def write(self, value: tuple[str, str]) -> dict[str, str]:
        """See Shape."""
        return {"name": value[0], "value": value[1]}


# The port's default is the app's first port, so the parser builds it.
_HEALTH = Section(dict, (
    Key("protocol", "protocol", choice("HTTP", "TCP")),
    Key("path", "path", text(g.health_path)),
    Key("port", "port", _PORT),
    Key("method", "method", choice("GET", "POST")),
    Key("headers", "headers", ListOf(
        _Header(_header, (
            Key("name", "name", text(_header_name), required=True),
            Key("value", "value", text(g.header_value, secret=True), required=True),
        )),
        most=HEADERS_MAX,
    )),
    Key("body", "body", text(g.block(g.BODY_BYTES_MAX)), omit_empty=True),
    Key("expectedStatusCodes", "expected_status_codes", ListOf(
        integer(100, 599), least=1, most=500, build=frozenset,
    ), omit_empty=True),
    Key("initialDelaySeconds", "initial_delay_s", integer(0, PROBE_MAX_S)),
    Key("periodSeconds", "period_s", integer(1, PROBE_MAX_S)),
    Key("timeoutSeconds", "timeout_s", integer(1, PROBE_MAX_S)),
    Key("failureThreshold", "failure_threshold", integer(1, THRESHOLD_MAX)),
    Key("successThreshold", "success_threshold", integer(1, THRESHOLD_MAX)),
))
TERMINATION = Section(m.Termination, (
    Key("drainSeconds", "drain_s", integer(0, DRAIN_MAX_S)),
    Key("terminationGracePeriodSeconds", "grace_period_s", integer(0, DRAIN_MAX_S)),
))
RUN_S = integer(1, WINDOW_MAX_S)
_PRE = Section(m.PreDeploy, (
    Key("command", "command", ListOf(text(g.block(4096)), least=1, most=100), required=True),
    Key("timeoutSeconds", "timeout_s", RUN_S),
))
_DEPLOY = Section(
    m.Deploy,
    (
        Key("strategy", "strategy", choice("rolling", "recreate", "canary")),
        Key("maxSurge", "max_surge", integer(0, REPLICAS_MAX), only=("strategy", "rolling")),
        Key("maxUnavailable", "max_unavailable", integer(0, REPLICAS_MAX),
            only=("strategy", "rolling")),
        Key("steps", "steps", ListOf(
            Section(m.CanaryStep, (
                Key("weight", "weight", integer(1, 100), required=True),
                Key("pauseSeconds", "pause_s", integer(0, WINDOW_MAX_S)),
            )),
            least=1, most=STEPS_MAX,
        ), only=("strategy", "canary")),
        Key("gate", "gate", Section(m.Gate, (
            Key("maxExtraErrorPercent", "extra_error_percent", integer(0, 100)),
            Key("maxP95Percent", "p95_percent", integer(100, 10_000)),
            Key("minRequests", "min_requests", integer(1, 1_000_000)),
        )), only=("strategy", "canary")),
        Key("minHealthySeconds", "min_healthy_s", integer(0, PROBE_MAX_S)),
        Key("progressDeadlineSeconds", "progress_deadline_s", integer(1, WINDOW_MAX_S)),
        Key("autoRollback", "auto_rollback", boolean()),
        Key("pre", "pre", _PRE, omit_empty=True),
    ),
    (
        Rule(
            "maxSurge", ("strategy", "max_surge", "max_unavailable"),
            lambda v: "must be at least 1 when maxUnavailable is 0"
            if v.strategy == "rolling" and v.max_surge == v.max_unavailable == 0 else "",
        ),
        Rule(
            "steps", ("strategy", "steps"),
            lambda v: "is required with strategy: canary"
            if v.strategy == "canary" and not v.steps else "",
        ),
        Rule(
            "steps", ("steps",),
            lambda v: "" if all(
                one.weight < two.weight for one, two in zip(v.steps, v.steps[1:], strict=False)
            ) else "must have growing weights",
        ),
        Rule(
            "gate", ("steps", "gate"),
            lambda v: "has nothing to compare with at a weight of 100: end with a lower one"
            if v.gate is not None and any(step.weight == 100 for step in v.steps) else "",
        ),
    ),
)
SIDES = (
    Key("scaling", "scaling", SCALING),
    Key("healthCheck", "health_check", _HEALTH),
    Key("termination", "termination", TERMINATION),
    Key("deploy", "deploy", _DEPLOY),
)


@lru_cache(8)
def spec(min_memory_bytes: int) -> Section:
    """The `spec` section; a smaller `resources.memory` is a fault."""
    memory = _quantity(
        units.parse_memory, units.format_memory, min_memory_bytes, MEMORY_MAX_BYTES,
        _MEMORY_SCHEMA,
    )
    return Section(dict, (
        Key("type", "type", choice("http", "tcp")),
        Key("image", "image", text(g.image), required=True),
        Key("imagePullPolicy", "image_pull_policy", choice("Always", "IfNotPresent", "Never"),
            omit_empty=True),
        Key("ports", "ports", _PORTS, required=True),
        Key("command", "command", _ARGUMENTS, omit_empty=True),
        Key("args", "args", _ARGUMENTS, omit_empty=True),
        Key("workingDir", "working_dir", text(g.working_dir), omit_empty=True),
        Key("environment", "environment", _ENVIRONMENT, aliases=("env",)),
        Key("secretFiles", "secret_files", _SECRET_FILES, omit_empty=True),
        Key("resources", "resources", Section(m.Resources, (
            Key("cpu", "cpu_millicores", _CPU),
            Key("memory", "memory_bytes", memory),
        ))),
        Key("volumes", "volumes", _VOLUMES),
        Key("ingress", "ingress", _INGRESS),
        Key("restartPolicy", "restart_policy", choice("Always", "OnFailure", "Never")),
        Key("security", "security", _SECURITY),
    ), rules=(Rule("volumes", ("volumes",), _volumes_fault),), elsewhere={
        "name": "metadata.name", "labels": "metadata.labels",
        "replicas": "scaling.minReplicas", **{key.name: key.name for key in SIDES},
    })


@lru_cache(8)
def document(min_memory_bytes: int) -> Section:
    """The whole document; its result is a dict of the parts that were given."""
    spec_section = spec(min_memory_bytes)
    return Section(dict, (
        Key("apiVersion", "api_version", choice("v1"), required=True),
        Key("kind", "kind", choice("App", "Job"), required=True),
        Key("metadata", "metadata", METADATA, required=True),
        Key("spec", "spec", spec_section, required=True),
        *SIDES,
    ), elsewhere={"name": "metadata.name", "replicas": "scaling.minReplicas",
                  **{key.name: f"spec.{key.name}" for key in spec_section.keys}})
