"""Revisions and rollouts in the state: which containers a revision takes over, and what ends."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from cluster.state import commands as c
from cluster.state.backup import lines
from cluster.state.codec import decode_snapshot, encode_snapshot
from cluster.state.machine import apply
from cluster.state.model import App, Applied, Canary, ClusterState, Replica
from cluster.state.revisions import REVISIONS_MAX
from cluster.state.rollouts import DEPLOYMENTS_MAX
from cluster.state.status import app_status, converged
from orchestry.errors import Code
from tests.templates import key_of


def document(image: str = "shop:1", **sections: Any) -> str:
    """A spec of the shop."""
    return json.dumps({
        "apiVersion": "v1", "kind": "App", "metadata": {"name": "shop"},
        "spec": {"image": image, "ports": [{"containerPort": 80}], **sections.pop("spec", {})},
        **sections})


class Shop:
    """A state with the shop, two replicas of which are healthy."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self.do(c.RegisterApp(
            "shop", document(), 1, ("shop.localhost/",), key_of(document())))
        self.do(c.StartApp("shop", 2))
        self.report(2)

    @property
    def app(self) -> App:
        return self.state.apps["shop"]

    def ask(self, command: c.Command) -> Applied:
        index = self.state.index + 1
        self.state, applied = apply(self.state, command, c.Stamp(index * 1000, "n1"), index)
        return applied

    def do(self, command: c.Command) -> Applied:
        applied = self.ask(command)
        assert applied.rejected is None, applied
        return applied

    def update(self, image: str = "shop:2", **sections: Any) -> int:
        text = document(image, **sections)
        applied = self.do(c.UpdateApp("shop", text, key_of(text), 1, ("shop.localhost/",)))
        return int(applied.get("revision"))

    def report(self, count: int) -> None:
        self.do(c.ReportApp("shop", self.app.revision, tuple(
            Replica(slot, self.app.made_from, f"c{slot}", f"shop.{slot}", "10.0.0.2", 80,
                    "running", "healthy") for slot in range(1, count + 1))))

    def finish(self, outcome: Any = "done", *, roll_back: bool = False) -> None:
        assert self.app.rollout is not None
        self.do(c.EndRollout("shop", self.app.rollout.id, outcome, "why", roll_back=roll_back))
        if outcome == "done":
            self.report(2)


@pytest.mark.parametrize(("sections", "rolls"), [
    ({"scaling": {"maxReplicas": 9}}, False),
    ({"metadata": {"name": "shop", "labels": {"tier": "web"}, "annotations": {"a": "b"}}}, False),
    ({"termination": {"drainSeconds": 1}}, False),
    ({"deploy": {"maxSurge": 2}}, False),
    ({"healthCheck": {"protocol": "TCP", "periodSeconds": 3, "failureThreshold": 5}}, False),
    ({"spec": {"ingress": {"hosts": ["shop.localhost"]}}}, False),
    ({"spec": {"restartPolicy": "Never"}}, False),
    ({"healthCheck": {"path": "/other"}}, True),
    ({"spec": {"environment": [{"name": "A", "value": "b"}]}}, True),
    ({"spec": {"command": ["x"]}}, True), ({"spec": {"args": ["x"]}}, True),
    ({"spec": {"workingDir": "/x"}}, True),
    ({"spec": {"resources": {"cpu": "200m"}}}, True),
    ({"spec": {"volumes": [{"name": "d", "mountPath": "/d"}]}}, True),
    ({"spec": {"security": {"user": "1"}}}, True),
    ({"spec": {"secretFiles": [{"name": "pw", "key": "db"}]}}, True),
    ({"spec": {"secretFiles": []}}, False),
    ({"spec": {"ports": [{"containerPort": 81}]}}, True),
])
def test_what_rolls(sections: dict[str, Any], rolls: bool) -> None:
    """Only what containers are made from, and what is asked of them, replaces them."""
    shop = Shop()
    before = shop.app.made_from
    revision = shop.update("shop:1", **sections)
    assert (shop.app.rollout is not None) is rolls
    assert shop.app.made_from == (revision if rolls else before)
    assert app_status(shop.app) == ("updating" if rolls else "running")


def test_an_old_document_comes_back_with_its_containers() -> None:
    """In the middle of an update: what is left of them is taken over."""
    shop = Shop()
    first = shop.app.made_from
    second = shop.update()
    shop.do(c.StepRollout("shop", second, 0, (1,), ((first, 2),), 1, 2))
    shop.update("shop:1")
    rollout = shop.app.rollout
    assert rollout is not None
    assert (shop.app.made_from, rollout.new, rollout.old) == (first, (2,), ((second, 1),))
    assert [one.phase for one in shop.app.deployments] == ["superseded"]


def test_a_failed_document_that_comes_again_is_another_template() -> None:
    """Its image may have been what failed, so it is looked up anew."""
    shop = Shop()
    second = shop.update()
    shop.do(c.StepRollout("shop", second, 0, (1,), ((shop.app.revisions[0].template, 2),), 0, 2))
    shop.do(c.EndRollout("shop", second, "failed", "it crashes", roll_back=True))
    back = shop.app.rollout
    assert back is not None
    assert (back.kind, back.old) == ("rollback", ((second, 1),))
    third = shop.update()  # while its containers are there
    assert shop.app.made_from == third
    shop.do(c.RollBackApp("shop"))
    back = shop.app.rollout
    assert back is not None
    shop.do(c.StepRollout("shop", back.id, back.step, (1, 2), (), 2, 2))
    shop.do(c.EndRollout("shop", back.id, "done"))
    fourth = shop.update()
    assert shop.app.made_from == fourth


def test_slots_above_the_wanted_number_are_old() -> None:
    """They serve until others do."""
    shop = Shop()
    first = shop.app.made_from
    shop.update()
    shop.do(c.ScaleApp("shop", 1, 1))
    shop.do(c.RollBackApp("shop"))
    rollout = shop.app.rollout
    assert rollout is not None
    assert (rollout.new, rollout.old) == ((1,), ((first, 2),))


def test_a_step_that_is_about_something_else_changes_nothing() -> None:
    """Of another rollout, or decided before another step."""
    shop = Shop()
    second = shop.update()
    shop.do(c.StepRollout("shop", second, 0, (1,), (), 0, 2))
    before = shop.app
    for stale in (c.StepRollout("shop", second, 0, (2,), (), 0, 2),
                  c.StepRollout("shop", second + 1, 1, (2,), (), 0, 2),
                  c.EndRollout("shop", second + 1, "failed")):
        shop.do(stale)
        assert shop.app == before


@pytest.mark.parametrize("outcome", ["done", "failed", "overdue"])
@pytest.mark.parametrize("meanwhile", [
    c.SteerRollout("shop", "pause"), c.SteerRollout("shop", "promote"), c.ScaleApp("shop", 4, 1),
    c.StartApp("shop", 4), c.AutoScale("shop", 4, 2, 4, "cpu", "why"),
])
def test_an_end_that_was_decided_before_something_else_changes_nothing(
    outcome: Any, meanwhile: c.Command
) -> None:
    """Who pauses wants nothing to go back, and who scales more replicas than were counted."""
    shop = Shop()
    rollout = shop.update()
    assert rollout == 4
    late = c.EndRollout("shop", rollout, outcome, "why", roll_back=True, step=0)
    shop.do(meanwhile)
    before = shop.app
    shop.do(late)
    assert before.rollout is not None
    assert shop.app == before
    shop.do(replace(late, outcome="done", step=before.rollout.step))
    assert shop.app.rollout is None


@pytest.mark.parametrize("outcome", ["failed", "overdue"])
def test_what_is_paused_or_has_failed_does_not_fail(outcome: Any) -> None:
    """Whatever the leader said: only what goes on can be late."""
    shop = Shop()
    shop.update()
    shop.do(c.SteerRollout("shop", "pause"))
    before = shop.app
    shop.finish(outcome, roll_back=True)
    assert shop.app == before
    shop.do(c.SteerRollout("shop", "resume"))
    shop.finish("failed")
    before = shop.app
    shop.finish(outcome, roll_back=True)
    assert shop.app == before


def test_a_failure_goes_back_to_the_last_healthy_revision() -> None:
    """Over one that never was healthy; and a rollback is not rolled back."""
    shop = Shop()
    first = shop.app.made_from
    shop.update("shop:2")
    shop.update("shop:3")
    shop.finish("failed", roll_back=True)
    assert (shop.app.document, shop.app.made_from) == (document("shop:1"), first)
    rollout = shop.app.rollout
    assert rollout is not None
    assert rollout.kind == "rollback"
    shop.finish("failed", roll_back=True)
    assert shop.app.rollout is not None
    assert (shop.app.rollout.id, shop.app.rollout.phase) == (rollout.id, "failed")


def test_a_rollback_that_takes_long_is_told_and_goes_on() -> None:
    """There is nothing better to do."""
    shop = Shop()
    shop.update()
    shop.finish("failed", roll_back=True)
    shop.finish("overdue")
    assert shop.app.rollout is not None
    assert (shop.app.rollout.phase, shop.app.rollout.overdue) == ("running", True)
    assert "takes too long" in shop.state.events[-1].message


def test_healthy_revisions_are_those_that_were_complete() -> None:
    """And the present one once it is."""
    shop = Shop()
    shop.update("shop:2")
    shop.finish()
    assert shop.app.good
    assert converged(shop.app)
    shop.update("shop:3")
    assert [one.healthy for one in shop.app.revisions] == [True, True]
    shop.update("shop:4")
    assert [one.healthy for one in shop.app.revisions] == [True, True, False]


def test_the_policy_that_was_changed_since_stays_unless_the_owner_changes_it() -> None:
    """An update of the image leaves the changes; one of the policy is the last word."""
    shop = Shop()
    shop.do(c.SetScaling("shop", '{"maxReplicas":8}'))
    shop.update("shop:2")
    assert json.loads(shop.app.scaling) == {"maxReplicas": 8}
    shop.update("shop:2", scaling={"maxReplicas": 6})
    assert shop.app.scaling == ""


def test_an_app_that_does_not_run_has_nothing_to_roll() -> None:
    """It begins with the new spec when it starts; a stop ends what is under way."""
    shop = Shop()
    shop.update("shop:2")
    shop.do(c.StopApp("shop"))
    assert shop.app.rollout is None
    shop.update("shop:3")
    assert [one.phase for one in shop.app.deployments] == ["stopped", "done"]
    assert shop.app.deployments[-1].notes[0].text == "the application does not run"


def test_addresses_move_with_the_spec_and_are_nobody_elses() -> None:
    """The new ones are taken, the old ones free; one of another app is refused."""
    shop = Shop()
    text = document(spec={"ingress": {"hosts": ["new.example"]}})
    shop.do(c.UpdateApp("shop", text, key_of(text), 1, ("new.example/",)))
    assert dict(shop.state.owners) == {"new.example/": "shop"}
    shop.do(c.RegisterApp("blog", document(), 1, ("shop.localhost/",)))
    taken = shop.ask(c.UpdateApp("shop", document(), "k", 1, ("shop.localhost/",)))
    assert (taken.rejected, "'blog'" in taken.details) == (Code.CONFLICT, True)
    back = shop.ask(c.RollBackApp("shop", shop.app.revisions[0].revision))
    assert back.rejected is Code.CONFLICT


def test_what_is_remembered_is_bounded() -> None:
    """The last ones, and always the last healthy one."""
    shop = Shop()
    first = shop.app.revision
    for number in range(2, 30):
        shop.update(f"shop:{number}")
    assert len(shop.app.revisions) == REVISIONS_MAX
    assert shop.app.revisions[0].revision == first
    assert len(shop.app.deployments) == DEPLOYMENTS_MAX


def test_snapshots_from_before_have_no_revisions() -> None:
    """An app of an older version can be updated and rolled back; its spec is not read for that."""
    shop = Shop()
    old = replace(shop.state, apps=shop.state.apps.set("shop", replace(
        shop.app, template=0, template_key="", good=False)))
    written = json.loads(encode_snapshot(old))
    names = set(written["state"]["apps"]["shop"])
    assert not names & {"template", "template_key", "revisions", "rollout", "deployments", "good"}
    shop.state = decode_snapshot(json.dumps(written))
    again = shop.update("shop:1", scaling={"maxReplicas": 9})
    assert shop.app.made_from == again
    assert shop.app.revisions[0].template_key == ""
    shop.update("shop:2")
    shop.finish("failed", roll_back=True)
    assert shop.app.made_from == 1


def test_a_version_that_cannot_read_a_spec_decides_the_same(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proposer's key decides, however little of the spec this version understands."""
    def unreadable(*_: object) -> None:
        raise ValueError("a newer version wrote it")

    for name in ("orchestry.spec.parse.spec_of", "cluster.state.template.template_key"):
        monkeypatch.setattr(name, unreadable)
    shop, first = Shop.__new__(Shop), c.RegisterApp("shop", '{"a":1}', 1, (), "k1")
    shop.state = ClusterState()
    shop.do(first)
    shop.do(c.StartApp("shop", 2))
    for key, document_, template in (("k1", '{"a":2}', 1), ("k2", '{"a":3}', 4),
                                     ("k2", '{"a":4}', 4)):
        shop.do(c.UpdateApp("shop", document_, key, 1))
        assert shop.app.made_from == template
    assert [one.template_key for one in shop.app.revisions] == ["k1", "k1", "k2"]
    shop.do(c.UpdateApp("new", '{"a":1}', "k3", 1))
    assert shop.state.apps["new"].template_key == "k3"


def test_a_backup_keeps_a_rollout_within_its_parts() -> None:
    """With the specs that it needs; those of large specs that need too much room are left out."""
    shop = Shop()
    for number in range(2, 6):
        shop.update(f"shop:{number}", metadata={
            "name": "shop", "annotations": {"note": "x" * 200_000}})
    found = list(lines(shop.state, {}))
    assert max(map(len, found)) < 600_000
    assert any(b'"rollout"' in line for line in found)


def canary(app: App) -> Canary | None:
    """Where the canary of the present rollout is."""
    assert app.rollout is not None
    return app.rollout.canary


def test_a_canary_is_promoted_to_the_next_step_or_to_the_end() -> None:
    """Once for each step that was seen; the end waits for nothing but health."""
    shop = Shop()
    first = shop.app.made_from
    second = shop.update()
    shop.do(c.SteerRollout("shop", "promote", canary_step=1))
    assert canary(shop.app) == Canary(1, waits="replicas")
    shop.do(c.StepRollout(
        "shop", second, 1, (1,), ((first, 1), (first, 2)), 1, 2, ("why",),
        Canary(1, second, 10, 5, "promotion")))
    for _ in range(2):
        shop.do(c.SteerRollout("shop", "promote", canary_step=2))
        assert canary(shop.app) == Canary(2, second, 10, 0, "replicas")
    assert shop.app.rollout is not None
    assert not shop.app.rollout.promoted
    shop.do(c.SteerRollout("shop", "promote"))
    assert shop.app.rollout is not None
    assert shop.app.rollout.promoted


def test_an_update_takes_over_the_share_of_the_canary_before() -> None:
    """Until it has replicas; of the same template it goes on where it was. A rollback has none."""
    shop = Shop()
    first = shop.app.made_from
    second = shop.update()
    at = Canary(1, second, 10, 30, "time")
    shop.do(c.StepRollout(
        "shop", second, 0, (1,), ((first, 1), (first, 2)), 1, 2, (), at))
    shop.update(scaling={"maxReplicas": 9})
    assert canary(shop.app) == at
    shop.update(deploy={"maxSurge": 2})
    assert canary(shop.app) == replace(at, held_s=0)
    shop.update("shop:3")
    assert canary(shop.app) == Canary(0, second, 10, 0, "time")
    shop.do(c.RollBackApp("shop"))
    assert canary(shop.app) is None
