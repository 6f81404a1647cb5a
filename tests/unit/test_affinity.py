"""Which threads share a core."""

import os
import sys
import threading

from api.affinity import core_of, share_a_core


def _cores(found: list[set[int]]) -> None:
    found.append(os.sched_getaffinity(0) if sys.platform == "linux" else set())


def test_a_controllers_core_is_fixed_and_controllers_spread() -> None:
    """A name leads to one of the allowed cores, always the same; many names use all of them."""
    cores = {1, 4, 6}
    chosen = [core_of(f"node-{number}", cores) for number in range(60)]
    assert chosen == [core_of(f"node-{number}", cores) for number in range(60)]
    assert set(chosen) == cores
    assert core_of("node-1", {5}) == 5


def test_only_threads_that_follow_share_the_core() -> None:
    """Threads started before keep all cores; those started afterwards inherit the one."""
    before: list[set[int]] = []
    after: list[set[int]] = []
    gate = threading.Event()

    def older() -> None:
        gate.wait(10)
        _cores(before)

    def server() -> None:
        share_a_core("node-1")
        thread = threading.Thread(target=_cores, args=(after,))
        thread.start()
        thread.join()

    early, serving = threading.Thread(target=older), threading.Thread(target=server)
    early.start()
    serving.start()
    serving.join()
    gate.set()
    early.join()
    everything: list[set[int]] = []
    _cores(everything)
    assert before == everything
    assert len(after) == 1
    if sys.platform == "linux":
        assert after == [{core_of("node-1", everything[0])}]
