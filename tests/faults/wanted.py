"""The model of one application: which revision of it there is, and how many replicas it wants."""

from __future__ import annotations

from dataclasses import dataclass

from tests.faults.linearizability import Call, State

EXISTS = "APP_ALREADY_EXISTS"
MISSING = "APP_NOT_FOUND"
SCALING = "SCALING_IN_PROGRESS"
OK = "ok"

READ = "read"
REGISTER = "register"
START = "start"
SCALE = "scale"
STOP = "stop"


@dataclass(frozen=True, slots=True)
class Absent:
    """No such application."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the cluster was told of an application; `revision` 0 is not known yet."""

    revision: int
    replicas: int


ABSENT = Absent()


def step(state: State, call: Call) -> State | None:
    """The state after a call, or None when this state cannot have given this answer.

    A read answers (revision, replicas), a scale the replicas that were wanted before, a
    registration (revision,), a start and a stop `ok`; each may answer a code instead.
    """
    answer = call.answer
    if call.kind == REGISTER:
        return _register(state, answer)
    if not isinstance(state, Wanted):
        return state if answer in (None, MISSING) else None
    if answer == MISSING:
        return None
    if call.kind == READ:
        return _read(state, answer)
    if call.kind == SCALE and answer == SCALING:
        return state  # how long a scale lasts is not part of the model
    if call.kind == SCALE and answer not in (None, state.replicas):
        return None
    return Wanted(state.revision, 0 if call.kind == STOP else call.argument)


def _register(state: State, answer: object) -> State | None:
    if isinstance(state, Wanted):
        return state if answer in (None, EXISTS) else None
    if answer is None:
        return Wanted(0, 0)
    return Wanted(answer[0], 0) if isinstance(answer, tuple) else None


def _read(state: Wanted, answer: object) -> State | None:
    if answer is None:
        return state
    if not isinstance(answer, tuple) or answer[1] != state.replicas:
        return None
    if state.revision not in (0, answer[0]):
        return None
    return Wanted(answer[0], state.replicas)
