"""How much a leader writes into the log: what has changed, once, however many wait for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cluster.control.images import Images
from cluster.engine.base import PullProgress
from cluster.state import commands as c
from cluster.state.status import converged
from tests.templates import key_of
from tests.unit.test_images import DOWN, SHOP, app_of, text, waits_for
from tests.unit.test_reconcile import Leader

APPS = 60
LEASE = ("RenewLease", "BeginEpoch", "Noop")


class Counted(Leader):
    """A leader whose entries are counted by their kind, but for its lease."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: Counter[str] = Counter()
        submit = self.log.submit

        def count(command: c.Command, stamp: c.Stamp) -> Any:
            self.kinds[type(command).__name__] += 1
            return submit(command, stamp)

        self.log.submit = count  # type: ignore[method-assign]
        self.run(2)

    def written(self, seconds: float) -> dict[str, int]:
        """What is written in so long a time."""
        self.kinds.clear()
        self.run(seconds)
        return {kind: many for kind, many in self.kinds.items() if kind not in LEASE}

    @property
    def images(self) -> Images:
        """The loop that pulls."""
        return next(one for one in self.parts.driver._loops if isinstance(one, Images))


def waiting(leader: Leader, apps: int = APPS) -> None:
    """So many apps that wait for one image."""
    for number in range(apps):
        found = text(f"a{number}")
        leader.do(c.RegisterApp(f"a{number}", found, 1, template_key=key_of(found)),
                  c.StartApp(f"a{number}", 1))


def test_progress_is_one_entry_for_all_who_wait() -> None:
    """One in 2 s at most, none while nothing comes; each of them can be told how far it is."""
    leader = Counted()
    leader.engine.images.push(SHOP, "one")
    leader.parts.workers.lane_longest_s["pull"] = 10_000.0
    waiting(leader)
    assert leader.written(5).get("BeginPull") == 1
    moved: Counter[str] = Counter()
    for second in range(1, 11):
        for work in leader.images._works.values():
            work.progress = PullProgress(second * 1_000, 99_000)
        moved += Counter(leader.written(1))
    assert moved == {"TellPulls": moved["TellPulls"]}
    assert 4 <= moved["TellPulls"] <= 6
    assert sum(leader.written(4).values()) <= 1
    for name in ("a0", f"a{APPS - 1}"):
        found = waits_for(leader, name)
        assert found is not None
        assert (found.image, found.done_bytes, found.total_bytes) == (SHOP, 10_000, 99_000)
    assert leader.written(10) == {}


def test_a_registry_that_is_down_is_told_once_and_some_of_those_who_wait() -> None:
    """Each app has the reason as its problem: one entry for each, and not at each attempt."""
    leader = Counted()
    leader.engine.images.push(SHOP, "one")
    leader.engine.images.refuse[SHOP] = DOWN
    waiting(leader)
    first = leader.written(10)
    assert app_of(leader, f"a{APPS - 1}").problem == DOWN.reason
    assert first["ReportApp"] <= 2 * APPS
    assert first["RecordEvent"] <= 10
    later = leader.written(60)
    attempts = later.pop("BeginPull")
    assert later == {"NotePulled": attempts}
    assert attempts <= 6


def test_a_cluster_in_which_nothing_happens_writes_its_lease_alone() -> None:
    """Whatever is looked at, checked and measured meanwhile."""
    leader = Counted()
    leader.engine.images.push(SHOP, "one")
    waiting(leader, 10)
    leader.run(30)
    assert converged(app_of(leader, "a0"))
    assert leader.written(120) == {}
