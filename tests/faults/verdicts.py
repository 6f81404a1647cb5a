"""What must hold after every fault, whatever it was."""

from __future__ import annotations

import os
import random
from typing import Any

from tests.faults import wanted
from tests.faults.clusters import SAME_S, FaultCluster, State
from tests.faults.linearizability import check
from tests.faults.recorder import Connections, Recorder, Request, meaning
from tests.live import until

REPEATED = 40


def rounds(few: int) -> int:
    """How often to do a fault: `few` in the normal run, FAULT_ROUNDS in the long one."""
    return int(os.environ.get("FAULT_ROUNDS", few))


def assert_sound(cluster: FaultCluster, recorder: Recorder, earlier: set[str]) -> None:
    """Nothing lost, nothing twice, the same state everywhere, and one order explains it all.

    `earlier` are apps of earlier rounds, which must still be there.
    """
    assert not recorder.surprises, recorder.surprises[:5]
    check(recorder.history, wanted.step, lambda key: wanted.ABSENT)
    before = cluster.same_state()
    registered = earlier | recorder.registered()
    for node in cluster.ids:
        lost = registered - cluster.apps(node).keys()
        assert not lost, f"{node} has lost {sorted(lost)[:5]} and {len(lost)} in all"
    _assert_repeats_change_nothing(cluster, recorder)
    after = cluster.same_state()
    newest = max(event["id"] for event in before["events"])
    done_again = [
        event for event in after["events"]
        if event["id"] > newest and event["type"] in ("config", "scaling")
    ]
    assert not done_again, done_again[:5]
    assert wishes(after) == wishes(before)
    for app, row in cluster.apps(cluster.ids[0]).items():
        if row["replicas"]["desired"]:  # the containers of many rounds would pile up
            status, body = cluster.write("POST", f"/api/v1/apps/{app}/stop", {"force": True})
            assert status == 200, body


def wishes(state: State) -> dict[str, tuple[int, int]]:
    """What users asked for: revision and wanted replicas of each app."""
    return {row["name"]: (row["revision"], row["replicas"]["desired"]) for row in state["apps"]}


def _assert_repeats_change_nothing(cluster: FaultCluster, recorder: Recorder) -> None:
    """Acknowledged writes, sent again under their keys, get their first answers again."""
    repeatable = [pair for pair in recorder.acknowledged if pair[0].kind != wanted.STOP]
    connections = Connections()
    try:
        for call, request in random.sample(repeatable, min(REPEATED, len(repeatable))):
            url = cluster.url(random.choice(cluster.ids), request.path)

            def again(url: str = url, request: Request = request) -> tuple[int, Any] | None:
                status, body, location = connections.ask(url, request)
                if status == 307:
                    status, body, _ = connections.ask(location, request)
                return (status, body) if status not in (503, 504) else None

            status, body = until("an answer to a repeat", again, SAME_S)
            assert meaning(call.kind, status, body) == call.answer, (
                f"{call} was repeated under its key: {status} {body}")
    finally:
        connections.close()
