"""Paths, queries and bodies of requests, checked strictly and documented in /openapi.json."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from api.bodies import BODY_BYTES_MAX
from api.levels import Level
from cluster.state.status import Status
from orchestry.access import TOKEN_CHARACTERS_MAX

NAME_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
REPLICAS_MAX = 100
WAIT_S_MAX = 3600
GRACE_S_MAX = 300
INDEX_MAX = 2**62
LAST_S = 253_402_300_799  # the last second that RFC 3339 can write
KEY_PATTERN = r"[\x21-\x7e]{1,128}"
MATCH_PATTERN = r'("[0-9]{1,18}"|\*)'


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        if not re.fullmatch(r"-?[0-9]{1,19}", value):
            raise ValueError("must be a whole number")
        return int(value)
    return value


def _flag(value: Any) -> Any:
    if isinstance(value, str):
        if value not in ("true", "false"):
            raise ValueError("must be true or false")
        return value == "true"
    return value


def _level(value: Any) -> Any:
    if isinstance(value, str):
        return "WARN" if value.upper() == "WARNING" else value.upper()
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Since = Annotated[str, Field(max_length=64, json_schema_extra={"anyOf": [
    {"pattern": r"^[0-9]{1,23}[smhd]$"}, {"format": "date-time"},
]})]
EventId = Annotated[int, Field(ge=0, le=INDEX_MAX), BeforeValidator(_whole)]
Lines = Annotated[int, Field(ge=0, le=10_000), BeforeValidator(_whole)]
ReleaseRevision = Annotated[int, Field(ge=0, le=10**9), BeforeValidator(_whole)]
Slot = Annotated[int, Field(ge=1, le=REPLICAS_MAX), BeforeValidator(_whole)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Replicas = Annotated[int, Field(ge=0, le=REPLICAS_MAX)]


class AppPath(BaseModel):
    """The application that a path names."""

    model_config = ConfigDict(frozen=True)

    app_name: str = Field(
        pattern=NAME_PATTERN, description="Application name", examples=["my-app"])


class WriteQuery(BaseModel):
    """A write without further parameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _key(value: str) -> str:
    if re.fullmatch(KEY_PATTERN, value) is None:
        raise ValueError("must be 1-128 visible ASCII characters")
    return value


def _match(value: str) -> str:
    if re.fullmatch(MATCH_PATTERN, value) is None:
        raise ValueError('must be a revision in quotes, such as "42"')
    return value


class WriteHeaders(BaseModel):
    """What every write accepts."""

    model_config = ConfigDict(frozen=True)

    key: Annotated[str | None, AfterValidator(_key)] = Field(
        None, alias="Idempotency-Key", json_schema_extra={"pattern": f"^{KEY_PATTERN}$"},
        description="A repeat within 24 h under the same key, at any node, is not executed again "
                    "and gets the first answer")


class AppHeaders(WriteHeaders):
    """What every write on an application accepts."""

    match: Annotated[str | None, AfterValidator(_match)] = Field(
        None, alias="If-Match", json_schema_extra={"anyOf": [
            {"type": "string", "const": "*"},
            {"type": "string", "pattern": r'^"[0-9]{1,18}"$'}]},
        description="Only if the application has this revision: the `ETag` of a read")


class SigningQuery(WriteQuery):
    """What a certificate is asked for with."""

    request: str = Field(
        pattern=r"^[A-Za-z0-9_=-]{1,4000}$", description="A signing request in PEM, in base64url")


class ReadQuery(BaseModel):
    """What every read accepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_index: Whole = Field(
        0, ge=0, le=INDEX_MAX, description="Wait until this node has applied this Raft index")
    consistency: Literal["local", "linearizable"] = Field(
        "local", description="linearizable reads through a Raft barrier")


class ListQuery(ReadQuery):
    """Filter of the list of applications."""

    status: Status | None = Field(None, description="Only applications in this status")
    format: Literal["json", "summary"] = Field("json", description="summary leaves out `apps`")


class SpecQuery(ReadQuery):
    """Form of a spec."""

    resolved: Flag = Field(False, description="Fill in the defaults")


class EventsQuery(ReadQuery):
    """Filter of events."""

    type: Literal["scaling", "health", "config", "error", "cluster"] | None = None
    since: Since | None = Field(None, description="1h, 30m, 1d or an RFC 3339 time")
    limit: Whole = Field(100, ge=1, le=1000)
    before: EventId | None = Field(
        None, description="Event id, for paging")


class ActionsQuery(ReadQuery):
    """A page of a controller's record."""

    after: Whole = Field(0, ge=0, le=INDEX_MAX, description="Only records with a higher number")
    limit: Whole = Field(1000, ge=1, le=5000)


class PastEventsQuery(WriteQuery):
    """A page of a node's own events."""

    after: Whole = Field(0, ge=0, le=INDEX_MAX, description="Only higher ids")
    before: Whole = Field(INDEX_MAX, ge=0, le=INDEX_MAX, description="Only lower ids")
    limit: Whole = Field(1000, ge=1, le=5000)


class PastSamplesQuery(WriteQuery):
    """A page of a node's own measurements."""

    after_ms: Whole = Field(0, ge=0, le=INDEX_MAX, description="Only later ones, Unix ms")
    limit: Whole = Field(1000, ge=1, le=5000)


class AllEventsQuery(EventsQuery):
    """Filter of the events of the whole cluster."""

    app: str | None = Field(None, pattern=NAME_PATTERN)


class StreamQuery(ReadQuery):
    """What every stream accepts."""

    access_token: str | None = Field(
        None, max_length=TOKEN_CHARACTERS_MAX,
        description="The token, for clients that cannot send an `Authorization` header")


class MetricsStreamQuery(StreamQuery):
    """Each measurement."""


class EventsStreamQuery(StreamQuery):
    """Which events, and from where on."""

    app: str | None = Field(None, pattern=NAME_PATTERN)
    type: Literal["scaling", "health", "config", "error", "cluster"] | None = None
    since_id: EventId | None = Field(
        None, description="Only events with a higher id; by default new ones")


class LogsQuery(ReadQuery):
    """Filter of log lines."""

    container: str | None = Field(
        None, max_length=128,
        description="Name of a replica (shop-1) or a run (shop-run-7), or an id")
    tail: Whole = Field(100, ge=0, le=10_000, description="Lines from the end")
    since: Since | None = Field(None, description="1h, 30m, 1d or an RFC 3339 time")
    level: Annotated[Level, BeforeValidator(_level)] | None = Field(
        None, description="Only lines of this level or a worse one")
    follow: Flag = Field(False, description="Needs a WebSocket: see `.../logs/stream`")


class LogsStreamQuery(StreamQuery):
    """Which lines, and how many that were written before."""

    container: str | None = Field(
        None, max_length=128,
        description="Name of a replica (shop-1) or a run (shop-run-7), or an id")
    tail: Lines | None = Field(
        None,
        description="Lines from before, at most; by default none, with `since` all since then")
    since: Since | None = Field(None, description="1h, 30m, 1d or an RFC 3339 time")
    level: Annotated[Level, BeforeValidator(_level)] | None = Field(
        None, description="Only lines of this level or a worse one")


class MetricsQuery(ReadQuery):
    """How much of the history."""

    history: Whole = Field(10, ge=0, le=1000, description="Points of the history")
    interval: Literal["5m", "1h", "1d"] | None = Field(
        None, description="Width of a point, which is then a mean; by default each measurement")


class SystemMetricsQuery(ReadQuery):
    """Whose host."""

    node: str | None = Field(
        None, pattern=NAME_PATTERN, description="Id of a controller; by default the leader")


class DecisionsQuery(ReadQuery):
    """Filter of the autoscaler's decisions."""

    limit: Whole = Field(100, ge=1, le=1000)
    since: Since | None = Field(None, description="1h, 30m, 1d or an RFC 3339 time")
    until: Since | None = Field(None, description="Only up to then")
    changes: Flag = Field(False, description="Only those that changed the number of replicas")


class DeleteQuery(BaseModel):
    """How to delete an application."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    force: Flag = Field(False, description="Do not drain")
    keep_data: Flag = Field(False, description="Keep the volumes")


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    bytes_max: ClassVar[int] = BODY_BYTES_MAX


class StartBody(Body):
    """Start an application; every key is optional."""

    replicas: Replicas | None = None
    wait: bool = Field(True, description="Answer when all replicas are healthy")
    timeout: int = Field(300, ge=1, le=WAIT_S_MAX, description="Seconds to wait at most")


class StopBody(Body):
    """Stop an application; every key is optional."""

    force: bool = Field(False, description="Kill at once")
    timeout: Annotated[int, Field(ge=0, le=GRACE_S_MAX)] | None = Field(
        None,
        description="Grace period in seconds; by default the one of the spec")


class ScaleBody(Body):
    """Scale an application."""

    replicas: Replicas
    wait: bool = Field(True, description="Answer when exactly these replicas are healthy")
    timeout: int = Field(300, ge=1, le=WAIT_S_MAX, description="Seconds to wait at most")


class ScalingBody(BaseModel):
    """Keys of the scaling policy; what is not named stays as it is."""

    model_config = ConfigDict(extra="allow", frozen=True)
    bytes_max: ClassVar[int] = BODY_BYTES_MAX


class ConfigBody(BaseModel):
    """Groups of keys of the configuration, each with its new value, or null to take it back."""

    model_config = ConfigDict(extra="allow", frozen=True)
    bytes_max: ClassVar[int] = BODY_BYTES_MAX


class SampleBody(Body):
    """What was measured at one moment, as in the history of `GET .../metrics`.

    CPU and memory are means over `total_replicas`, the others are of the whole app.
    """

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)
    timestamp: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | Annotated[
        float, Field(ge=1, le=LAST_S)] = Field(description="RFC 3339 since 1970, or Unix seconds")
    total_replicas: Replicas = 1
    cpu_percent: float | None = None
    memory_percent: float | None = None
    rps: float | None = None
    latency_p95_ms: float | None = None
    active_connections: float | None = None


class SimulateBody(Body):
    """Run a policy over what was recorded or given."""

    policy: dict[str, Any] = Field(
        default_factory=dict, description="Changes to the policy in force")
    since: Since = Field("1h", description="How far back the recording is used")
    samples: list[SampleBody] | None = Field(
        None, max_length=5000, description="Instead of the recording, oldest first")
    replicas: Replicas | None = Field(
        None, description="To begin with; by default as recorded")


class Fault(BaseModel):
    """One thing to correct."""

    field: str
    message: str


class Error(BaseModel):
    """The body of every error."""

    error: str
    details: str | list[Fault] | dict[str, Any] | None
    code: str
    timestamp: str
