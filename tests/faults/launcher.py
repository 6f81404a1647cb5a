"""A controller as the fault tests run it: the product, on a host without Docker.

Takes its settings from the environment, as `orchestry node` does. Its engine is the fake one,
whose containers are always well, but for those of apps named `restless…`: one of them dies
every DEATH_GAP_S, and is started again without delay, so that the leader always has something
to do. Each side effect is written to a file the moment it happens.

`FAULT_RAFT` has the bounds of the election time-out in seconds.

These break the product on purpose: `--local-reads` serves linearizable reads as local ones,
`--endless-lease` lets a leader act on after its lease is over.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from api import here, node
from api.models import ReadQuery
from cluster import clock, controller
from cluster.consensus import lease
from cluster.consensus.raft_config import RaftConfig
from cluster.control import backoff, lease_keeper
from cluster.control.judge import Probe
from cluster.engine import fake
from cluster.state.model import ClusterState

DEATH_GAP_S = 0.05
RESTLESS = "restless"


class _Well:
    """Every replica answers."""

    def __init__(self, clock: object) -> None:
        """Needs no clock."""

    def probe(self, address: str, policy: object) -> Probe:
        return Probe(ok=True)


def _engine(effects: str) -> type[fake.FakeEngine]:
    """The fake engine with a file of its side effects and with containers that die."""
    file = os.open(effects, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    class RestlessEngine(fake.FakeEngine):
        def __init__(self, clock: Any) -> None:
            super().__init__(clock)
            threading.Thread(target=self._kill_some, daemon=True).start()

        def _note(self, verb: Any, container: Any) -> None:
            line = {"at_s": time.time(), "verb": verb, "name": container.name}
            os.write(file, json.dumps(line).encode() + b"\n")

        def _kill_some(self) -> None:
            while True:
                time.sleep(DEATH_GAP_S)
                alive = [
                    c for c in self.containers()
                    if c.app.startswith(RESTLESS) and c.phase == "running"
                ]
                if alive:
                    self.kill(min(alive, key=lambda c: c.started_at_ms).id)

    return RestlessEngine


def _locally(read: Callable[[ReadQuery], ClusterState]) -> Callable[[ReadQuery], ClusterState]:
    def broken(query: ReadQuery) -> ClusterState:
        return read(query.model_copy(update={"consistency": "local"}))

    return broken


def _never_drop(keeper: Any) -> Callable[[Any], None]:
    """The keeper's step, but a lease stays when Raft no longer says that we lead."""
    step = keeper.step

    def broken(self: Any) -> None:
        held = self._lease
        step(self)
        self._lease = self._lease or held

    return broken


def _wrong_clock(path: str) -> Callable[[Any], int]:
    """The wall clock, off by as many seconds as the file says while it exists."""
    def wall_ms(self: Any) -> int:
        try:
            with open(path, encoding="ascii") as file:
                off_s = int(file.read() or 0)
        except FileNotFoundError:
            off_s = 0
        return time.time_ns() // 1_000_000 + off_s * 1000

    return wall_ms


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal comes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--effects", required=True)
    parser.add_argument("--local-reads", action="store_true")
    parser.add_argument("--endless-lease", action="store_true")
    options = parser.parse_args(argv)
    changes: list[tuple[Any, str, Any]] = [
        (controller, "HttpProber", _Well),
        (fake, "FakeEngine", _engine(options.effects)),
        (backoff, "restart_delay_s", lambda in_a_row, seed: 0.0),
    ]
    if "FAULT_CLOCK" in os.environ:
        changes.append((clock.SystemClock, "wall_ms", _wrong_clock(os.environ["FAULT_CLOCK"])))
    if "FAULT_RAFT" in os.environ:
        least_s, most_s = map(float, os.environ["FAULT_RAFT"].split())
        changes.append((controller, "RaftConfig", partial(
            RaftConfig, raft_min_timeout_s=least_s, raft_max_timeout_s=most_s,
            leader_fallback_timeout_s=most_s, connection_timeout_s=most_s)))
    if options.local_reads:
        changes.append((here, "read", _locally(here.read)))
    if options.endless_lease:
        changes.append((lease.Lease, "valid", lambda self, now_s: True))
        changes.append((lease_keeper.LeaseKeeper, "step", _never_drop(lease_keeper.LeaseKeeper)))
    for module, name, value in changes:
        assert hasattr(module, name), f"{module.__name__} has no {name} any more"
        setattr(module, name, value)
    return node.main([])


if __name__ == "__main__":
    sys.exit(main())
