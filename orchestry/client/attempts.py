"""What to do after each try of a call: pure, so that every case is one line of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Why = Literal["unreachable", "no_leader", "unknown_outcome"]

TRIES_MAX = 100
BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 1.0
# How long a call goes on while no controller at all takes a connection, unless it says more.
PATIENCE_S = 1.5
# How long a controller may be silent before the next one is asked, if there is another one.
HASTE_S = 2.0
# How long at its second turn, if several were silent.
TURN_S = 4.0
# Controllers stop naming a dead leader after its election timeout; this many take 5 s or more.
REDIRECTS_MAX = 10
# A proxy before the controllers answers with these while it finds no controller.
PROXY_STATUSES = frozenset({502, 503, 504})
# A controller answers a read with these for reasons of its own.
NODE_STATUSES = frozenset({500, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """One call while it is being tried.

    `nodes` are the known controllers, `node` is where the last try went. `failing_since_s`
    is the time of the first of the last tries in a row without any answer.
    `maybe_done` says that a write may have been carried out although nobody confirmed it.
    The present try began at `begun_s` and may be silent for `silence_s`; a `hasty` one is cut
    short, since others may answer; `silent` are those that were cut short and have not had their
    second turn, `cuts` is how often that was.
    """

    nodes: tuple[str, ...]
    node: str
    write: bool
    deadline_s: float
    tries: int = 1
    redirects: int = 0
    failures: int = 0
    failing_since_s: float | None = None
    maybe_done: bool = False
    patience_s: float = PATIENCE_S
    silence_max_s: float = 10.0
    begun_s: float = 0.0
    silence_s: float = 10.0
    hasty: bool = False
    silent: tuple[str, ...] = ()
    cuts: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """A controller, or a proxy before it (`code` is None), answered."""

    status: int
    code: str | None = None
    redirect_to: str | None = None
    retry_after_s: float | None = None
    outcome_unknown: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer; `sent` says that the request may have reached the controller.

    `silent` says that it was awaited in vain.
    """

    sent: bool
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Return:
    """The answer is final, good or bad."""


@dataclass(frozen=True, slots=True)
class Try:
    """Send the same request again, to `call.node`, after the delay."""

    call: Call
    delay_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No time or no hope is left."""

    why: Why


def begun(call: Call, now_s: float) -> Call:
    """The call as its next try begins.

    A controller that hangs is passed by soon. When nobody else has answered each that was cut
    short has another, longer turn, and one that is alone, or the last of several, all of the
    silence that may be: all of them may be slow.
    """
    past_s = 0.0 if call.failing_since_s is None else now_s - call.failing_since_s
    turn_s = min(TURN_S, call.silence_max_s)
    others = [node for node in call.nodes if node != call.node]
    hasty = bool(others) and call.node not in call.silent
    if hasty:
        silence_s = min(HASTE_S, call.silence_max_s / 2, (call.deadline_s - now_s) / 2)
    elif any(node in call.silent for node in others):
        silence_s = turn_s
    elif call.cuts > 1:
        silence_s = call.silence_max_s
    else:
        silence_s = max(call.silence_max_s - past_s, turn_s)
    return replace(call, begun_s=now_s, silence_s=silence_s, hasty=hasty)


def next_attempt(
    call: Call, outcome: Answered | Failed, *, now_s: float, jitter: float
) -> Return | Try | GiveUp:
    """Decide what follows a try; `jitter` is a random number in [0, 1).

    A write is repeated only because all its tries carry one `Idempotency-Key`.
    """
    if isinstance(outcome, Failed):
        return _after_failure(call, outcome, now_s, jitter)
    silent = tuple(node for node in call.silent if node != call.node)
    call = replace(call, failures=0, failing_since_s=None, silent=silent)
    if outcome.status == 307:
        return _after_redirect(call, outcome, now_s, jitter)
    if outcome.code == "CLUSTER_NOT_READY":
        return _again(call, _next_node(call), backoff_s(call.tries, jitter), now_s, "no_leader")
    if outcome.code == "NO_LEADER" and call.tries < len(call.nodes):
        # A controller that has just started does not know the leader yet; another one does.
        return _again(call, _next_node(call), 0.0, now_s, "no_leader")
    if outcome.code is None and outcome.status in PROXY_STATUSES:
        call = replace(call, maybe_done=call.maybe_done or call.write)
        return _again(call, _next_node(call), backoff_s(call.tries, jitter), now_s, "unreachable")
    if outcome.status == 504 and call.write and outcome.outcome_unknown:
        call = replace(call, maybe_done=True)
        delay_s = backoff_s(call.tries, jitter)
        return _again(call, _next_node(call), delay_s, now_s, "unknown_outcome")
    if outcome.status in NODE_STATUSES and not call.write and call.tries <= len(call.nodes):
        # One controller lags behind or has lost its engine; the others may not.
        return _again(call, _next_node(call), 0.0, now_s, "unreachable")
    if outcome.status == 429 and outcome.retry_after_s is not None:
        again = _again(call, call.node, outcome.retry_after_s, now_s, "unreachable")
        return again if isinstance(again, Try) or call.maybe_done else Return()
    return Return()


def _after_failure(
    call: Call, outcome: Failed, now_s: float, jitter: float
) -> Try | GiveUp:
    since_s = call.failing_since_s
    if since_s is None:
        since_s = call.begun_s if outcome.silent else now_s
    silent = {node: None for node in call.silent if node != call.node}
    cut = outcome.silent and call.hasty
    if cut:
        silent[call.node] = None
    call = replace(
        call,
        failures=call.failures + 1,
        failing_since_s=since_s,
        silent=tuple(silent),
        cuts=call.cuts + cut,
        maybe_done=call.maybe_done or (call.write and outcome.sent),
    )
    rounds, within_round = divmod(call.failures, len(call.nodes))
    if rounds and now_s - since_s >= call.patience_s and not silent:
        return _give_up(call, "unreachable")
    # Every node is asked once without delay, since a survivor answers at once.
    delay_s = 0.0 if within_round else backoff_s(rounds, jitter)
    return _again(call, _next_node(call), delay_s, now_s, "unreachable")


def _after_redirect(
    call: Call, outcome: Answered, now_s: float, jitter: float
) -> Try | GiveUp:
    # The first redirect is the normal way; more of them mean that the named leader is gone.
    delay_s = backoff_s(call.redirects, jitter) if call.redirects else 0.0
    node = outcome.redirect_to or _next_node(call)
    call = replace(call, redirects=call.redirects + 1)
    if call.redirects > REDIRECTS_MAX:
        return _give_up(call, "no_leader")
    return _again(call, node, delay_s, now_s, "no_leader")


def _again(
    call: Call,
    node: str,
    delay_s: float,
    now_s: float,
    why: Why,
) -> Try | GiveUp:
    if call.tries >= TRIES_MAX or now_s + delay_s >= call.deadline_s:
        return _give_up(call, why)
    return Try(replace(call, node=node, tries=call.tries + 1), delay_s)


def _give_up(
    call: Call, why: Why
) -> GiveUp:
    return GiveUp("unknown_outcome" if call.maybe_done else why)


def _next_node(call: Call) -> str:
    if call.node not in call.nodes:
        return call.nodes[0]
    return call.nodes[(call.nodes.index(call.node) + 1) % len(call.nodes)]


def backoff_s(round_number: int, jitter: float) -> float:
    """The wait before a round of tries."""
    full_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2.0 ** min(round_number, 10))
    return full_s * (0.5 + jitter / 2)
