"""beyond: whether the autoscaler will take back a number of replicas that a user asks for; pure."""

from __future__ import annotations

from cluster.control.specs import spec_for
from cluster.scaling.bounds import bounds
from cluster.state.model import App
from orchestry.spec.model import Defaults


def warning(app: App | None, replicas: int, now_ms: int, defaults: Defaults) -> str | None:
    """Which bound a number that a user sets is beyond, and what to do; None when none is.

    Zero by hand stays, and so does everything where users scale by hand alone.
    """
    spec = spec_for(app, defaults) if app is not None else None
    if app is None or spec is None or spec.scaling.mode == "manual" or not replicas:
        return None
    limits = bounds(spec.scaling, now_ms)
    allowed = limits.within(replicas)
    if allowed == replicas:
        return None
    more = replicas > allowed
    key, option, verb = ("maxReplicas", "--max", "raise") if more else (
        "minReplicas", "--min", "lower")
    at = f"scaling.schedule[{limits.entries[0]}].{key}" if limits.entries else f"scaling.{key}"
    first = f"{verb} it first" + (
        "" if limits.entries else f" (`orchestry autoscale {app.name} {option} {replicas}`)")
    return (
        f"`{at}` is {allowed}, so the autoscaler goes from {replicas} back to {allowed}: to keep "
        f"{replicas}, {first}, or scale by hand alone (`orchestry autoscale {app.name} --mode "
        "manual`)")
