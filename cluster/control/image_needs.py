"""image_needs: which images an app needs now, by name and policy; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cluster.control.pull_policy import Policy, policy_of, policy_of_pin
from cluster.control.specs import spec_of_template
from cluster.state.images import pin_of
from cluster.state.jobs import is_job
from cluster.state.model import App, ClusterState
from cluster.state.pins import Pin, Pulling
from orchestry.admission import full_name


@dataclass(frozen=True, slots=True)
class Need:
    """What one template of an app needs; `pin` when it is known which image that is."""

    app: App
    template: int
    name: str
    policy: Policy
    pin: Pin | None = None


def needs(
    app: App, of_runs: Collection[int], *, lost: Collection[str], present: Collection[str],
    made: Collection[int],
) -> Iterable[Need]:
    """Those of the replicas, of a job whenever it is there, and of runs that wait.

    `of_runs` and `made` are the templates of runs that wait and of replicas that are there,
    `lost` and `present` refs of pins that are known not to be on the host, and to be there.
    """
    has_replicas = app.running and app.replicas > 0
    mine = set(of_runs)
    if has_replicas or is_job(app.document):
        mine.add(app.made_from)
    rolls = app.rollout is not None and app.rollout.phase == "running"
    for template in sorted(mine):
        pin = pin_of(app, template)
        if pin is None:
            yield from _first(app, template, made)
        elif pin.ref in lost or (
            rolls and template == app.made_from and pin.ref not in present
        ):
            yield from _again(app, pin)
    if lost and app.rollout is not None and has_replicas:
        for template in {place[0] for place in app.rollout.old} - mine:
            pin = pin_of(app, template)
            if pin is not None and pin.ref in lost:
                yield from _again(app, pin)


def pulling_of(state: ClusterState, app: App) -> Pulling | None:
    """The pull that an app waits for, by the records of those that have begun."""
    if not state.pulls:
        return None
    mine = {run.template for run in state.runs.values()
            if run.app == app.name and run.phase == "waiting"}
    if (app.running and app.replicas) or is_job(app.document):
        mine.add(app.made_from)
        if app.rollout is not None:
            mine |= {template for template, _ in app.rollout.old}
    for template in sorted(mine, reverse=True):
        pin, spec = pin_of(app, template), spec_of_template(app, template)
        if pin is None and spec is None:
            continue
        name = pin.ref if pin is not None else spec.image if spec is not None else ""
        begun = state.pulls.get(full_name(name))
        if begun is not None:
            return Pulling(name, begun.began_at_ms, begun.done_bytes, begun.total_bytes)
    return None


def _first(app: App, template: int, made: Collection[int]) -> Iterable[Need]:
    spec = spec_of_template(app, template)
    if spec is not None:
        policy = policy_of(spec)
        if policy != "Never" and template in made:
            policy = "IfNotPresent"  # replicas of it are there: what they are made from
        yield Need(app, template, spec.image, policy)


def _again(app: App, pin: Pin) -> Iterable[Need]:
    spec = spec_of_template(app, pin.template)
    if spec is not None:
        yield Need(app, pin.template, pin.ref, policy_of_pin(pin, spec), pin)
