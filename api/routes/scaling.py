"""Scaling: the policy, the decisions and their reasons, and what another policy would do."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from flask import Response

from api import answers_scaling as answers
from api import errors, measured, relay
from api.admission import must_have_replicas
from api.blueprint import Blueprint
from api.endpoint import checked
from api.here import answer, app_of, here, read
from api.models import (
    AppHeaders,
    AppPath,
    DecisionsQuery,
    ReadQuery,
    SampleBody,
    ScalingBody,
    SimulateBody,
    WriteQuery,
)
from api.times import rfc3339, since_ms
from api.writes import expected_revision, propose
from cluster.config.keys import spec_defaults
from cluster.scaling.decision import Decision
from cluster.scaling.replay import Round, replay
from cluster.scaling.samples import AppSample, Sample
from cluster.state.commands import SetScaling
from cluster.state.model import App
from orchestry import policy as policies
from orchestry.errors import Code, OrchestryError
from orchestry.spec.model import Scaling

blueprint = Blueprint(
    "scaling", __name__, url_prefix="/api/v1/apps",
    abp_tags=[{"name": "Scaling and metrics"}],
)


@blueprint.get(
    "/<app_name>/scaling", operation_id="get_scaling_policy",
    responses={200: answers.ScalingPolicy},
)
@checked
def policy(path: AppPath, query: ReadQuery) -> Response:
    """The scaling policy in force, and the last change of the number of replicas."""
    state = read(query)
    app = app_of(state, path.app_name)
    written = policies.written(
        policies.policy_of(app.document, app.scaling, spec_defaults(state.config)))
    return answer({
        "app_name": app.name, "mode": written.pop("mode"), "policy": written,
        "last_scaling_event": _last(app),
    })


def _last(app: App) -> dict[str, Any] | None:
    if app.last_scaling is None:
        return None
    before, after, why = app.last_scaling
    return {
        "timestamp": rfc3339(app.last_scaled_at_ms),
        "action": "scale_out" if after > before else "scale_in",
        "from_replicas": before, "to_replicas": after, "reason": why,
    }


@blueprint.put(
    "/<app_name>/scaling", operation_id="update_scaling_policy",
    responses={200: answers.PolicyUpdated},
)
@checked
def update(path: AppPath, query: WriteQuery, header: AppHeaders, body: ScalingBody) -> Response:
    """Change the keys that are named; the others stay as they are."""
    changes = policies.changes_of(body.model_extra or {})
    app = here().controller.log.state().apps.get(path.app_name)
    if app is not None:
        must_have_replicas(app, "scale")
        after = policies.changed(app.document, app.scaling, changes)  # every fault by its field
        policies.check_zones(policies.policy_of(app.document, after))
    applied = propose(SetScaling(path.app_name, changes, expected_revision()))
    return answer({
        "message": "Scaling policy updated successfully", "app_name": path.app_name,
        "previous_policy": policies.filled(applied.get("previous")),
        "new_policy": policies.filled(applied.get("policy")),
    })


@blueprint.get(
    "/<app_name>/scaling/decisions", operation_id="get_scaling_decisions",
    responses={200: answers.Decisions},
)
@checked
def decisions(path: AppPath, query: DecisionsQuery) -> Response:
    """The autoscaler's decisions with their inputs and reasons, newest first.

    They are in the leader's memory: of the last hour at most, and since it began to lead.
    """
    app = app_of(read(query), path.app_name)
    elsewhere = relay.relayed()
    if elsewhere is not None:
        return elsewhere
    now_ms = here().controller.clock.wall_ms()
    least_ms, most_ms = _time("since", query.since, 0), _time("until", query.until, now_ms)
    found = [
        record for record in here().controller.telemetry.records(app.name, since_ms=least_ms)
        if record.point.at_ms <= most_ms
        and not (query.changes and record.decision.direction == "stay")
    ]
    shown = found[-query.limit:][::-1]
    return answer({
        "app_name": app.name,
        "decisions": [measured.decision(r.decision, r.point.at_ms) for r in shown],
        "total": len(found), "has_more": len(found) > len(shown),
    })


@blueprint.post(
    "/<app_name>/scaling/simulate", operation_id="simulate_scaling",
    responses={200: answers.Simulation},
)
@checked
def simulate(path: AppPath, query: WriteQuery, body: SimulateBody) -> Response:
    """What a policy would have done with the recorded or the given measurements."""
    state = here().controller.log.state()
    app = state.apps.get(path.app_name)
    if app is None:
        raise OrchestryError(
            Code.APP_NOT_FOUND, f"Application '{path.app_name}' does not exist")
    must_have_replicas(app, "scale")
    changes = app.scaling
    if body.policy:
        changes = policies.changed(
            app.document, app.scaling, policies.changes_of(body.policy))
    policy = policies.policy_of(app.document, changes, spec_defaults(state.config))
    policies.check_zones(policy)
    rounds, recorded = _rounds(app, body)
    if not rounds:
        raise OrchestryError(
            Code.VALIDATION_ERROR,
            "There is no measurement to run the policy over: give `samples`, or wait until "
            "the application was measured for some seconds")
    current = body.replicas if body.replicas is not None else recorded[0]
    made = replay(policy, rounds, current=current)
    return answer({
        "app_name": app.name, "policy": policies.written(policy),
        "rounds": [
            {**measured.decision(one, seen.wall_ms), "recorded_replicas": count}
            for one, seen, count in zip(made, rounds, recorded, strict=True)
        ],
        "summary": _summary(made, policy),
    })


def _summary(made: Sequence[Decision], policy: Scaling) -> dict[str, Any]:
    counts = [one.wanted if policy.mode == "manual" else one.replicas for one in made]
    moves = [b - a for a, b in pairwise(counts) if a != b]
    turns = sum((a > 0) != (b > 0) for a, b in pairwise(moves))
    return {
        "changes": sum(one.direction != "stay" for one in made), "turns": turns,
        "least_replicas": min(counts), "most_replicas": max(counts),
        "mean_replicas": round(sum(counts) / len(counts), 2),
        "last_replicas": counts[-1],
    }


def _rounds(app: App, body: SimulateBody) -> tuple[list[Round], list[int]]:
    """Rounds, and how many replicas there were in each."""
    if body.samples is not None:
        given = [_given(number, one) for number, one in enumerate(body.samples)]
        for number, (before, after) in enumerate(pairwise(given), 1):
            if after.at_s <= before.at_s:
                raise errors.invalid([
                    (f"samples[{number}].timestamp", "must be after the one before")])
        return given, [one.total_replicas for one in body.samples]
    records = here().controller.telemetry.records(
        app.name, since_ms=_time("since", body.since, 0))
    return [record.round for record in records], [r.decision.current for r in records]


def _given(number: int, one: SampleBody) -> Round:
    at_s = one.timestamp
    if isinstance(at_s, str):
        try:
            at = datetime.fromisoformat(at_s)
        except ValueError:
            at = None
        if at is None or at.tzinfo is None or at.timestamp() < 1:
            raise errors.invalid([(
                f"samples[{number}].timestamp",
                "must be an RFC 3339 time such as 2026-01-15T10:30:00Z, or seconds")])
        at_s = at.timestamp()
    samples = tuple(
        Sample(f"replica-{slot}", at_s, one.cpu_percent, one.memory_percent)
        for slot in range(one.total_replicas)
    )
    traffic = AppSample(
        at_s, one.rps, one.rps, one.latency_p95_ms, one.active_connections, 0.0)
    return Round(at_s, int(at_s * 1000), samples, traffic)


def _time(field: str, text: str | None, default_ms: int) -> int:
    if text is None:
        return default_ms
    try:
        return since_ms(text, here().controller.clock.wall_ms())
    except ValueError as error:
        raise errors.invalid([(field, str(error))]) from None
