"""replay: what a policy would have done with what was recorded; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from cluster.scaling.bounds import bounds
from cluster.scaling.decide import ALL, decide
from cluster.scaling.decision import Decision, Past
from cluster.scaling.samples import AppSample, Sample, clean
from cluster.scaling.window import Window
from orchestry.spec.model import Scaling


@dataclass(frozen=True, slots=True)
class Round:
    """What one round of a collector saw of an app. `at_s` is monotonic, `wall_ms` dates it."""

    at_s: float
    wall_ms: int
    samples: tuple[Sample, ...] = ()
    traffic: AppSample | None = None


def replay(
    policy: Scaling, rounds: Iterable[Round], *, current: int,
    measurable: Collection[str] = ALL,
) -> list[Decision]:
    """One decision for each round, each with the count that the one before chose.

    Rounds are in the order of time; the caller limits how many. Three assumptions, since the
    recording is of another count: the CPU work is the same in all and spreads evenly, so its
    use per replica changes (a replica that was at its limit hid more, which nobody knows);
    memory per replica stays; requests, connections and latency stay. Replicas are healthy at
    once.
    """
    window, past, decisions = Window(policy.window_s), None, []
    for one in rounds:
        past = past or Past(one.at_s)
        names = [f"replica-{number}" for number in range(1, current + 1)]
        window.keep(names)
        for sample in _spread(one, names):
            window.add(sample, one.at_s)
        if one.traffic is not None:
            window.add_app(one.traffic, one.at_s)
        decision = decide(
            policy, window, limits=bounds(policy, one.wall_ms), current=current,
            healthy=current, now_s=one.at_s, past=past, measurable=measurable,
        )
        past = past.after(decision, policy)
        current = decision.replicas
        decisions.append(decision)
    return decisions


def _spread(one: Round, names: list[str]) -> list[Sample]:
    """The recorded work on other replicas; a hole in one of the recorded is a hole in all."""
    cpus = [clean(sample.cpu_percent) for sample in one.samples if not sample.young]
    memories = [clean(sample.memory_percent) for sample in one.samples]
    known_cpus = [value for value in cpus if value is not None]
    known_memories = [value for value in memories if value is not None]
    cpu = memory = None
    if known_cpus and len(known_cpus) == len(cpus) and names:
        cpu = sum(known_cpus) / len(names)
    if known_memories and len(known_memories) == len(memories):
        memory = sum(known_memories) / len(known_memories)
    return [Sample(name, one.at_s, cpu, memory) for name in names]
