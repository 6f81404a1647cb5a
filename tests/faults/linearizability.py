"""Linearizability: could one server, doing one call at a time, have given these answers?

Each key is judged alone, since a history is linearizable if and only if its part for each
key is. The search takes the calls one by one in every order that respects real time, and
remembers which sets of calls it has seen to lead to which state.

Sources: Herlihy and Wing 1990 (the definition, and that it is local); Wing and Gong 1993
(the search); Lowe 2017 (remembered configurations).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

STEPS_MAX = 500_000
CALLS_SHOWN = 12
NEVER_S = float("inf")


@dataclass(frozen=True, slots=True)
class Call:
    """One operation of one client on one key; times are monotonic seconds of one clock.

    `answer` is None while the outcome is unknown: the operation may happen at any time after
    its begin, or never; `returned_s` is then NEVER_S.
    """

    key: str
    kind: str
    argument: int
    answer: Hashable
    invoked_s: float
    returned_s: float
    client: str = ""

    def __str__(self) -> str:
        end = "never" if self.answer is None else f"{self.returned_s:.4f}"
        argument = f"({self.argument})" if self.argument else ""
        return (f"{self.invoked_s:.4f}-{end} {self.client} {self.kind}{argument}"
                f" -> {'unknown' if self.answer is None else self.answer}")


State = Hashable
Model = Callable[[State, Call], State | None]
"""The state after a call, or None when the call cannot have had its answer in this state."""


class NotLinearizable(AssertionError):
    """No order explains the answers; the message holds the shortest part that shows it."""


class TooHard(Exception):
    """The search took more than its bound: neither proven nor refuted."""


def check(
    history: Iterable[Call], model: Model, initial: Callable[[str], State], *,
    steps_max: int = STEPS_MAX,
) -> None:
    """Judge every key of a history; `initial` gives the state that a key begins with.

    Raises:
        NotLinearizable: with the shortest stuck prefix of the first key that has one.
        TooHard: more than `steps_max` steps for one key.
    """
    by_key: dict[str, list[Call]] = defaultdict(list)
    for call in history:
        by_key[call.key].append(call)
    for key, calls in sorted(by_key.items()):
        state = initial(key)
        if _explains(calls, model, state, steps_max) is not None:
            raise NotLinearizable(_report(key, calls, model, state, steps_max))


def _explains(
    calls: Sequence[Call], model: Model, initial: State, steps_max: int
) -> list[State] | None:
    """None when some order explains all answers, else the states where the search got stuck."""
    ordered = sorted(calls, key=lambda call: call.invoked_s)
    everything = (1 << len(ordered)) - 1
    certain = sum(1 << n for n, call in enumerate(ordered) if call.answer is not None)
    stack: list[tuple[int, State]] = [(0, initial)]
    seen = set(stack)
    stuck: dict[State, None] = {}
    most = -1
    for _ in range(steps_max):
        if not stack:
            return list(stuck)
        done, state = stack.pop()
        if done & certain == certain:
            return None
        if (count := (done & certain).bit_count()) > most:
            most, stuck = count, {}
        if count == most:
            stuck[state] = None
        for number in reversed(_possible(ordered, everything & ~done)):
            after = model(state, ordered[number])
            step = (done | 1 << number, after)
            if after is not None and step not in seen:
                seen.add(step)
                stack.append(step)
    raise TooHard(f"{len(calls)} calls took more than {steps_max} steps")


def _possible(ordered: Sequence[Call], open_calls: int) -> list[int]:
    """The open calls that may come next: none of the others had returned before they began."""
    found = []
    first_return_s = NEVER_S
    while open_calls:
        lowest = open_calls & -open_calls
        number = lowest.bit_length() - 1
        call = ordered[number]
        if call.invoked_s > first_return_s:
            break
        first_return_s = min(first_return_s, call.returned_s)
        found.append(number)
        open_calls ^= lowest
    return found


def _until(calls: Sequence[Call], end_s: float) -> list[Call]:
    """The history as it was known at a moment."""
    return [
        call if call.returned_s <= end_s else replace(call, answer=None, returned_s=NEVER_S)
        for call in calls if call.invoked_s <= end_s
    ]


def _report(
    key: str, calls: Sequence[Call], model: Model, initial: State, steps_max: int
) -> str:
    """Cut the history at the first answer that cannot be explained, and show its end."""
    ends_s = sorted({call.returned_s for call in calls if call.answer is not None})
    low, high = 0, len(ends_s) - 1
    while low < high:
        middle = (low + high) // 2
        part = _until(calls, ends_s[middle])
        if _explains(part, model, initial, steps_max) is None:
            low = middle + 1
        else:
            high = middle
    prefix = _until(calls, ends_s[low])
    stuck = _explains(prefix, model, initial, steps_max)
    culprits = [str(call) for call in calls if call.returned_s == ends_s[low]]
    shown = [str(call) for call in sorted(prefix, key=lambda c: c.invoked_s)[-CALLS_SHOWN:]]
    return "\n  ".join([
        f"{key} is not linearizable after {len(prefix)} of {len(calls)} calls",
        f"no order explains: {'; '.join(culprits)}",
        f"the state could have been: {'; '.join(map(str, stuck or []))}",
        f"the last {len(shown)} calls until then:", *shown,
    ])
