"""explain: one paragraph that says why, with the numbers; pure."""

from __future__ import annotations

from cluster.scaling.decision import Decision, Input, Reason
from orchestry.signals import SIGNALS

_WHY: dict[Reason, str] = {
    "above_max": "more run than the maximum allows, which is corrected at once",
    "asleep": "it is at zero and nobody asks for it",
    "at_max": "more are needed, but the maximum or the largest step is reached",
    "at_min": "fewer would do, but the minimum is reached",
    "below_min": "fewer run than the minimum asks for, which is corrected at once",
    "by_hand": "a user scaled it to zero, and it stays there until a user scales or starts it",
    "cooldown": "fewer would do, but the cooldown since the last change is not over",
    "frozen": "fewer would do, but a deployment runs, and nothing is taken away meanwhile",
    "idle": "there was no request and no connection for the whole stabilisation window",
    "latency": "the latency stays over its limit under load, which asks for one bounded step",
    "latency_not_capacity": (
        "the latency stays over its limit, but earlier steps did not improve it: the cause "
        "is not the number of replicas"
    ),
    "load": "a signal is over the scale-out threshold",
    "manual": "the mode is manual",
    "missing": "a signal was not measured, and without it nothing is taken away",
    "none_healthy": "no replica is healthy, so the measurements say nothing",
    "quiet": "all signals are under the scale-in threshold",
    "settling": "a scale that a user asked for is still under way",
    "slow": "the load is low, but the latency is over its limit",
    "stabilising": (
        "the load is low, but the stabilisation window needed as many, or fewer would come "
        "too close to the scale-out threshold"
    ),
    "steady": "no signal calls for more, and not all allow fewer",
    "wake": "it is at zero and there is a request for it",
    "warming": "fewer would do, but the measurements do not reach back far enough yet",
}


def explain(decision: Decision) -> str:
    """Why the decision is what it is, as one paragraph of plain English."""
    verb = {"out": "Scale out", "in": "Scale in", "stay": "Stay"}[decision.direction]
    move = (
        f"{verb} at {_replicas(decision.current)}" if decision.direction == "stay"
        else f"{verb} from {decision.current} to {_replicas(decision.replicas)}"
    )
    parts = [f"{move}: {_WHY[decision.reason]}."]
    if decision.reason == "manual":
        parts.append(
            f"Mode auto would set {_replicas(decision.wanted)}: {_WHY[decision.would]}."
        )
    parts.extend(_signal(one) for one in decision.inputs if one.counts)
    need = "unknown" if decision.need is None else str(decision.need)
    parts.append(
        f"Fewest replicas for this load with a margin: {need}; allowed are "
        f"{decision.minimum} to {decision.maximum}, {decision.healthy} of {decision.current} "
        "are healthy."
    )
    return " ".join(parts)


def headline(decision: Decision) -> str:
    """The move and its cause in one short sentence, for the list of events."""
    verb = "Scaled out" if decision.replicas > decision.current else "Scaled in"
    move = f"{verb} from {decision.current} to {_replicas(decision.replicas)}"
    if decision.reason in ("load", "wake", "latency"):
        known = [one for one in decision.inputs if one.counts and one.factor is not None
                 and (SIGNALS[one.signal].kind == "guard") == (decision.reason == "latency")]
        if known:
            worst = max(known, key=lambda one: one.factor or 0.0)
            return f"{move}: {_signal(worst).rstrip('.')}"
    return f"{move}: {_WHY[decision.reason]}"


def _signal(one: Input) -> str:
    if one.reading is None or one.factor is None:
        return f"{one.signal}: not measured."
    unit = one.unit if one.unit == "%" else f" {one.unit}"
    share = f"{100 * one.factor:.0f} % of its target"
    if SIGNALS[one.signal].kind == "guard":
        return f"{one.signal}: {one.reading:.4g}{unit}, {share} of {one.target:.4g}{unit}."
    # reading / replicas again, as people know their targets
    each = one.factor * one.target
    return f"{one.signal}: {each:.4g}{unit} per replica, {share} of {one.target:.4g}{unit}."


def _replicas(count: int) -> str:
    return f"{count} replica" if count == 1 else f"{count} replicas"
