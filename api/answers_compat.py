"""Answers to the command line `orchestry` 1.0.1, described in /openapi.json; see api.answers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from api.answers import Amount, Answer, Count
from cluster.state.status import Status

State = Literal["ready", "pending", "down"]
Moment = Annotated[float, Field(ge=0)]
"""Unix seconds."""


class CompatRegistered(Answer):
    """An application is registered."""

    status: Literal["registered"]
    app: str
    message: str


class CompatDone(Answer):
    """What was done; `replicas` is how many there are now."""

    status: Literal["started", "starting", "stopped"]
    app: str
    replicas: Count


class CompatScaled(Answer):
    """An application is scaled; `replicas` is how many there are now."""

    status: Literal["scaled", "scaling"]
    app: str
    replicas: Count
    previous_replicas: Count


class CompatDeleted(Answer):
    """An application is gone."""

    status: Literal["deleted"]
    app: str
    containers_removed: Count
    volumes_removed: Count


class CompatPolicy(Answer):
    """The policy that was changed, in the words of a spec."""

    status: Literal["updated"]
    app: str
    policy: dict[str, Any]


class CompatInstance(Answer):
    """One replica; null where nothing was measured lately."""

    container_id: str
    ip: str | None
    port: int | None
    state: State
    cpu_percent: Amount | None
    memory_percent: Amount | None
    failures: Count


class CompatStatus(Answer):
    """One application with its replicas."""

    app: str
    status: Status
    replicas: Count
    ready_replicas: Count
    mode: Literal["auto", "manual"]
    instances: list[CompatInstance]


class CompatRow(Answer):
    """One application of the list."""

    name: str
    status: Status
    replicas: Count
    ready_replicas: Count
    mode: Literal["auto", "manual"]
    image: str
    created_at: Moment
    updated_at: Moment


class CompatList(Answer):
    """All applications."""

    apps: list[CompatRow]


class CompatSpec(Answer):
    """The spec as registered, and with its defaults filled in."""

    name: str
    raw: dict[str, Any]
    parsed: dict[str, Any]


class CompatLine(Answer):
    """One line of a log."""

    timestamp: Moment
    container: str
    message: str


class CompatLogs(Answer):
    """The last lines of all replicas, oldest first."""

    app: str
    logs: list[CompatLine]
    total_containers: Count


class CompatScaling(Answer):
    """One change of the number of replicas."""

    timestamp: Moment
    message: str
    details: dict[str, Any]


class CompatMetrics(Answer):
    """What was measured last, and the last changes of the number of replicas."""

    app: str
    metrics: dict[str, Any]
    scaling_history: list[CompatScaling]


class CompatEvent(Answer):
    """One event."""

    id: Count
    app: str | None
    kind: str
    message: str
    timestamp: Moment
    payload: dict[str, Any]


class CompatEvents(Answer):
    """Events, newest first."""

    events: list[CompatEvent]


class CompatCounts(Answer):
    """Numbers of applications."""

    total: Count
    running: Count


class CompatInstances(Answer):
    """Numbers of replicas."""

    total: Count
    healthy: Count
    unhealthy: Count


class CompatSystem(Answer):
    """Numbers of the whole cluster."""

    timestamp: Moment
    apps: CompatCounts
    instances: CompatInstances
