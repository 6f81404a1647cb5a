"""What goes on, or stays held, when a spec changes nothing of how a deployment goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster.state import commands as c
from cluster.state.status import app_status, converged, settled
from tests.templates import key_of
from tests.unit.test_failed_rollouts import failed
from tests.unit.test_held_rollouts import there
from tests.unit.test_reconcile import Leader
from tests.unit.test_restarts import live, shop, update
from tests.unit.test_rollout_steps import Shop, document

LABELS = {"name": "shop", "labels": {"tier": "web"}}


@pytest.mark.parametrize(("sections", "begins"), [
    ({"metadata": LABELS}, False), ({"scaling": {"maxReplicas": 9}}, False),
    ({"termination": {"drainSeconds": 1}}, False),
    ({"spec": {"ingress": {"hosts": ["shop.localhost"]}}}, False),
    ({"deploy": {"pre": {"command": ["x"]}}}, True), ({"healthCheck": {"periodSeconds": 3}}, True),
    ({"spec": {"restartPolicy": "Never"}}, True), ({"spec": {"command": ["x"]}}, True),
    ({"spec": {"imagePullPolicy": "Always"}}, True),
])
@pytest.mark.parametrize("held", ["failed", "paused"])
def test_what_begins_a_deployment_anew_that_is_held(
    sections: dict[str, Any], begins: bool, held: str
) -> None:
    """Only what decides how it goes, or whether it fails; it can be resumed all the same."""
    shop = Shop()
    second = shop.update()
    if held == "failed":
        shop.finish("failed")
    else:
        shop.do(c.SteerRollout("shop", "pause"))
    before = shop.app
    text = document("shop:2", **sections)
    applied = shop.do(c.UpdateApp("shop", text, key_of(text), 1, ("shop.localhost/",)))
    assert shop.app.rollout is not None
    if begins:
        assert (shop.app.rollout.id, shop.app.rollout.phase) == (shop.app.revision, "running")
        return
    assert (shop.app.rollout, shop.app.deployments) == (before.rollout, before.deployments)
    assert (shop.app.made_from, applied.get("deployment")) == (second, 0)
    assert (shop.app.document, shop.app.revision > second) == (text, True)
    shop.do(c.SteerRollout("shop", "resume"))
    assert shop.app.rollout.id == second
    shop.finish()
    assert (shop.app.good, converged(shop.app)) == (True, True)


def test_other_labels_leave_a_deployment_and_its_job_as_they_are() -> None:
    """The job that prepares it is not begun a second time, and the last healthy one comes back."""
    shop = Shop()
    pre = {"pre": {"command": ["migrate"]}}
    second = shop.update(deploy=pre)
    run = shop.do(c.PrepareRevision("shop", second, 60)).get("run")
    text = document("shop:2", deploy=pre, metadata=LABELS)
    applied = shop.do(c.UpdateApp("shop", text, key_of(text), 1, ("shop.localhost/",)))
    assert (shop.app.pre, applied.get("deployment")) == (run, second)
    assert not shop.state.runs[str(run)].ending
    shop.finish("failed", roll_back=True)
    assert shop.app.document == document()


def test_nothing_is_restarted_by_other_labels_while_a_deployment_has_failed() -> None:
    """Old replicas go on, no other new one is tried, and their number is followed as before."""
    leader = failed()
    before, old = there(leader), serving(leader)
    assert [name for name, _ in before] == ["shop:1"] * 3 + ["shop:2"]
    other = json.loads(shop(leader).document)
    other["metadata"]["labels"] = {"tier": "web"}
    other["scaling"] = {"maxReplicas": 9}
    update(leader, json.dumps(other))
    live(leader, 30)
    assert serving(leader) == old
    assert set(there(leader)) <= set(before)
    rollout = shop(leader).rollout
    assert rollout is not None
    assert (rollout.phase, app_status(shop(leader))) == ("failed", "error")
    leader.do(c.ScaleApp("shop", 4, 1))
    live(leader, 20)
    assert settled(shop(leader))
    assert len(serving(leader) - old) == 1


def serving(leader: Leader) -> set[str]:
    """The containers of the revision before."""
    return {one.id for one in leader.engine.containers()
            if one.revision != shop(leader).made_from}
