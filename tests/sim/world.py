"""World: real controllers' logs in virtual time, on simulated disks and network.

PySyncObj, the journal, snapshots and recovery are the real ones. One seed gives one history.

    with World(seed=5, make_actor=make) as world:
        world.run_until(world.leader, 5)
        world.isolate(world.leader())
        world.run(10)
"""

from __future__ import annotations

import functools
import random
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pysyncobj.syncobj as raft

from cluster.clock import Clock
from cluster.consensus.log import RaftStatus
from cluster.consensus.raft_config import RaftConfig
from cluster.consensus.syncobj_log import SyncObjLog
from cluster.consensus.tickets import SyncObjTicket
from cluster.state.commands import Command, Stamp
from cluster.state.model import Applied, ClusterState
from orchestry.errors import OrchestryError
from tests.sim.network import NodeClock, SimClock, SimNetwork, SimNode, SimTransport
from tests.sim.storage import MemoryDisk, PowerCut, Session

TICK_S = 0.01
EVENTS_SHOWN = 60


class Actor(Protocol):
    """What runs beside a log on each controller, e.g. the control loops."""

    def tick(self) -> None:
        """One step; called after each step of the log."""


MakeActor = Callable[[str, SyncObjLog, Clock], Actor]


class World:
    """Controllers c1, c2, …; every method takes their ids. `check` runs at each tick."""

    def __init__(
        self, seed: int, *, controllers: int = 3, loss: float = 0.0,
        snapshot_min_entries: int = 40, make_actor: MakeActor | None = None,
        rate_off: float = 0.0, members: int | None = None,
    ) -> None:
        """`rate_off` is how far clocks may run off the true rate, 0.01 for 1 %.

        Of the controllers only the first `members` belong to the cluster; the others join.
        """
        self.seed = seed
        self.dice = random.Random(seed)
        self.clock = SimClock()
        self.network = SimNetwork(self.clock, self.dice, loss)
        self.ids = [f"c{number}" for number in range(1, controllers + 1)]
        self.first = self.ids[:members]
        self.clocks = {
            name: NodeClock(self.clock, 1 + self.dice.uniform(-rate_off, rate_off))
            for name in self.ids
        }
        self.stalled_until_s = dict.fromkeys(self.ids, 0.0)
        self.addresses = {name: f"127.0.0.1:{7000 + int(name[1:])}" for name in self.ids}
        self.disks = {name: MemoryDisk(self.dice) for name in self.ids}
        self.logs: dict[str, SyncObjLog] = {}
        self.actors: dict[str, Actor] = {}
        self.paused: set[str] = set()
        self.events: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self.acknowledged: list[tuple[Command, Applied]] = []
        self._make_actor = make_actor
        self._snapshot_min_entries = snapshot_min_entries
        self._sessions: dict[str, Session] = {}
        self._open: list[tuple[SyncObjTicket, Command]] = []
        self._requests = 0
        self._wiped: set[str] = set()
        self._named_by: dict[str, set[str]] = {}
        self._seen: dict[str, ClusterState] = {}
        self._known: dict[int, ClusterState] = {}
        self._leader_of_term: dict[int, str] = {}
        self._library = (raft.monotonicTime, raft.random)

    def __enter__(self) -> Self:
        raft.random = self.dice
        for name in self.first:
            self.start(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._trace = self.trace() if error is not None else ""
        try:
            for name in list(self.logs):
                self._forget(name)
        finally:
            raft.monotonicTime, raft.random = self._library
        if error is not None:
            error.add_note(self._trace)

    def trace(self) -> str:
        """What a failure needs to be understood: the last events, and where everybody is."""
        rows = [f"seed={self.seed}, t={self.clock.now_s:.2f}, last events:", *self.events]
        for name, log in sorted(self.logs.items()):
            s = log.status()
            rows.append(
                f"{name}: {s.role} of term {s.term}, applied {s.applied_index}, committed "
                f"{s.commit_index}, leader {s.leader_id}, members "
                f"{','.join(sorted(log.state().members)) or 'of the settings'}"
                f"{', paused' if name in self.paused else ''}{s.fault and f', {s.fault}'}")
        rows += [f"{name}: down" for name in self.ids if name not in self.logs]
        return "\n  ".join([*rows, f"repeat with: pytest tests/sim -k '[{self.seed}]'"])

    # What may happen

    def note(self, event: str) -> None:
        """Keep an event, to be shown with a failure."""
        self.events.append(f"{self.clock.now_s:.2f} {event}")

    def start(self, name: str) -> None:
        """Boot a controller from what its disk holds."""
        self.note(f"start {name}")
        session = self._sessions[name] = Session(self.disks[name])
        joins = name not in self.first or name in self._wiped
        known = [*sorted(self.members()), name] if joins else self.first
        config = RaftConfig(
            name, {one: self.addresses[one] for one in known}, Path("/sim") / name,
            snapshot_min_entries=self._snapshot_min_entries, joins=joins,
        )
        clock = self.clocks[name]
        raft.monotonicTime = clock.monotonic_s
        log = SyncObjLog(
            config, clock=clock, disk=session, run=lambda job: job(),
            transportClass=functools.partial(SimTransport, self.network), nodeClass=SimNode,
        )
        log.open()
        self.logs[name] = log
        self.network.relink()
        if self._make_actor is not None:
            self.actors[name] = self._make_actor(name, log, clock)

    def crash(self, name: str) -> None:
        """Power cut: what was not synced may be gone."""
        self.note(f"crash {name}")
        self._forget(name)
        self.disks[name].crash()
        self.disks[name].owed_s = self.stalled_until_s[name] = 0.0

    def slow_disk(self, name: str) -> None:
        """Each sync may take up to two seconds, during which the Raft thread stands still."""
        self.note(f"disk of {name} is slow")
        self.disks[name].slow_s = 2.0

    def fill_disk(self, name: str) -> None:
        """No byte fits any more."""
        self.note(f"disk of {name} is full")
        self.disks[name].full = True

    def jump(self, name: str) -> None:
        """The wall clock of a machine jumps by up to an hour, in either direction."""
        self.note(f"clock of {name} jumps")
        self.clocks[name].wall_off_ms = self.dice.randint(-3_600_000, 3_600_000)

    def _forget(self, name: str) -> None:
        self._sessions[name].dead = True
        self._remember_named(name)
        self.logs.pop(name).stop(transfer=False)
        self.actors.pop(name, None)
        self.paused.discard(name)
        self._seen.pop(name, None)

    def cut_power_soon(self, name: str) -> None:
        """Crash in the middle of one of the next disk operations."""
        self.note(f"power of {name} will be cut")
        self.disks[name].operations_left = self.dice.randint(0, 12)

    def pause(self, name: str) -> None:
        """Stop the process, not its clock; messages wait for it."""
        self.note(f"pause {name}")
        self.paused.add(name)

    def resume(self, name: str) -> None:
        """Let a paused process go on."""
        self.note(f"resume {name}")
        self.paused.discard(name)

    def isolate(self, name: str) -> None:
        """Cut a controller off from all others; connections break."""
        self.note(f"isolate {name}")
        for other in self.ids:
            self.cut(name, other)

    def wipe(self, name: str) -> None:
        """A crashed controller's machine is replaced by one with an empty disk."""
        self.note(f"wipe {name}")
        self.disks[name] = MemoryDisk(self.dice)
        self._seen.pop(name, None)
        self._named_by.pop(name, None)
        self._wiped.add(name)

    def cut(self, a: str, b: str) -> None:
        """Cut the link between two controllers; the connection breaks."""
        self.network.cuts.add((self.addresses[a], self.addresses[b]))
        self.network.relink()

    def silence(self, a: str, b: str) -> None:
        """Lose all messages from a to b, while the connection seems to live."""
        self.note(f"silence {a}>{b}")
        self.network.silent.add((self.addresses[a], self.addresses[b]))

    def heal(self) -> None:
        """Undo cuts, silence, pauses and full disks; what crashed stays down."""
        self.note("heal")
        self.network.cuts.clear()
        self.network.silent.clear()
        self.network.relink()
        self.paused.clear()
        for disk in self.disks.values():
            disk.full = False
            disk.slow_s = 0.0
            disk.operations_left = None

    def repair(self) -> None:
        """Heal, and every machine runs again."""
        self.heal()
        for name in self.ids:
            if name not in self.logs:
                self.start(name)

    def submit(self, name: str, command: Command, *, epoch: int | None = None) -> SyncObjTicket:
        """Hand a command to a controller's log, and remember it once it is acknowledged."""
        self._requests += 1
        raft.monotonicTime = self.clocks[name].monotonic_s
        stamp = Stamp(self.clocks[name].wall_ms(), name, f"sim-{self._requests}", epoch)
        ticket = self.logs[name].submit(command, stamp)
        self._open.append((ticket, command))
        return ticket

    # Time

    def run(self, seconds: float) -> None:
        """Let virtual time pass."""
        for _ in range(round(seconds / TICK_S)):
            self._step()

    def run_until(self, condition: Callable[[], Any], within_s: float) -> None:
        """Let time pass until `condition()` holds; AssertionError after `within_s`."""
        for _ in range(round(within_s / TICK_S)):
            if condition():
                return
            self._step()
        assert condition(), f"not true within {within_s} s"

    def _step(self) -> None:
        self.clock.now_s = round(self.clock.now_s + TICK_S, 6)
        self.network.deliver()
        for name in self.ids:
            if name in self.logs and name not in self.paused:
                self._tick(name)
        self._collect()
        self.check()

    def _tick(self, name: str) -> None:
        raft.monotonicTime = self.clocks[name].monotonic_s
        if self.clock.now_s >= self.stalled_until_s[name]:
            try:
                self.logs[name].tick(0.0)
            except PowerCut:
                self.crash(name)
            self.stalled_until_s[name] = self.clock.now_s + self.disks[name].owed_s
            self.disks[name].owed_s = 0.0
        if name in self.actors:
            self.actors[name].tick()

    def _collect(self) -> None:
        waiting = []
        for ticket, command in self._open:
            try:
                applied = ticket.poll()
            except OrchestryError:
                continue
            if applied is None:
                waiting.append((ticket, command))
            elif applied.rejected is None:
                self.acknowledged.append((command, applied))
        self._open = waiting

    # What must hold

    def leader(self) -> str | None:
        """The Raft leader with the highest term, or None."""
        leading = [
            (log.status().term, name) for name, log in self.logs.items()
            if name not in self.paused and log.is_raft_leader()
        ]
        return max(leading)[1] if leading else None

    def members(self) -> set[str]:
        """Who votes, by the newest state that a controller has applied."""
        states = [log.state() for log in self.logs.values()]
        newest = max(states, key=lambda state: state.index, default=ClusterState())
        return set(newest.members) or set(self.first)

    def named(self) -> set[str]:
        """All that are members according to any log, committed or not."""
        for name in self.logs:
            self._remember_named(name)
        return {name for named in self._named_by.values() for name in named}

    def _remember_named(self, name: str) -> None:
        node = self.logs[name]._node
        if node is not None:
            self._named_by[name] = set(node.configurations.latest.addresses)

    def settled(self) -> bool:
        """True when all members run, agree on a leader and have the same state."""
        members = self.members()
        if not members <= self.logs.keys():
            return False
        statuses = [self._status(name) for name in sorted(members)]
        states = [self.logs[name].state() for name in sorted(members)]
        return (
            len({s.leader_id for s in statuses}) == 1 and statuses[0].leader_id is not None
            and len({s.applied_index for s in statuses}) == 1
            and all(state == states[0] for state in states)
        )

    def _status(self, name: str) -> RaftStatus:
        """By the controller's own clock: after a minute those of two are far apart."""
        raft.monotonicTime = self.clocks[name].monotonic_s
        return self.logs[name].status()

    def check(self) -> None:
        """Safety: equal index means equal state, indexes never fall, a term has one leader."""
        for name, log in self.logs.items():
            state, before = log.state(), self._seen.get(name)
            if state is not before:
                assert before is None or state.index >= before.index, f"{name} went back"
                self._seen[name] = state
                known = self._known.setdefault(state.index, state)
                assert known == state, f"{name} differs at index {state.index}"
            if log.is_raft_leader():
                term = log.status().term
                leader = self._leader_of_term.setdefault(term, name)
                assert leader == name, f"{leader} and {name} lead in term {term}"
