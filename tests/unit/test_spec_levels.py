"""Levels of specs: what a key needs, who asks for it, and that no step depends on knowing it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from cluster.config.keys import DOMAIN
from cluster.state import codec, spec_levels
from cluster.state import commands as c
from cluster.state.addresses import addresses, addresses_of
from cluster.state.levels import Need
from cluster.state.model import App, ClusterState, Release, ReleaseApp, ReleaseRevision, Revision
from orchestry.policy import filled, policy_of, text_of, written
from orchestry.spec import parse, tables
from orchestry.spec.model import Defaults, Scaling
from orchestry.spec.parse import canonical, parse_app
from tests.unit.test_spec import DOCUMENTS
from tests.unit.test_state_machine import run, stamp

LATER = {"deploy.pre": 2, "kind=Job": 3, "scaling.boost": 4, "spec.ports[].weight": 5}
PRE = canonical({"kind": "App", "deploy": {"pre": ["migrate"]}})
PLAIN = canonical({"kind": "App", "metadata": {"name": "a", "labels": {"kind": "Job"}}})


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that came after the first version."""
    monkeypatch.setattr(spec_levels, "SPEC", {**spec_levels.SPEC, **LATER})


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("text", "at", "need"), [
    (PRE, "", Need(2, "`deploy.pre`")),
    ('{"kind":"Job","deploy":{"pre":[]}}', "", Need(3, "`kind: Job`")),
    ('{"spec":{"ports":[{"name":"a"},{"weight":1}]}}', "", Need(5, "`spec.ports[].weight`")),
    ('{"scaling":{"boost":null}}', "", Need(4, "`scaling.boost`")),
    ('{"boost":1}', "scaling", Need(4, "`scaling.boost`")),
])
def test_a_spec_needs_the_level_of_its_newest_key(text: str, at: str, need: Need) -> None:
    """Wherever it stands, and also where it is empty."""
    assert spec_levels.need_of(text, at) == need


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize("text", ["", "{", "[]", "7", PLAIN, '{"kind":7}', '{"x":{"pre":1}}',
                                  "[" * 100_000])
def test_what_has_no_such_key_needs_no_level(text: str) -> None:
    """A label is no key, and what is no spec at all is refused elsewhere, or by nobody."""
    assert spec_levels.need_of(text, "").level == 1


@given(DOCUMENTS)
def test_what_the_first_version_reads_needs_its_level(document: dict[str, Any]) -> None:
    """No more than that, so it can be said as soon as there is a cluster."""
    assert spec_levels.need_of(canonical(document), "").level == 1


APP = App("a", PLAIN, 1, running=False, replicas=1, created_at_ms=1, updated_at_ms=1)
PART = c.RestorePart("r", 0, 1, "c", 1, 1, apps=(APP,))
OLD = Revision(1, PRE, 1, 1, "key", "registered", healthy=True)
RELEASED = Release("r", (ReleaseRevision(1, "c", "1", "{}", (ReleaseApp("a", PRE),), 1, "n"),))


@pytest.mark.usefixtures("later")
@pytest.mark.parametrize(("command", "level"), [
    (c.RegisterApp("a", PRE, 1), 2), (c.RegisterApp("a", PLAIN, 1), 1),
    (c.UpdateApp("a", PRE, "key", 1), 2), (c.UpdateApp("a", PLAIN, "key", 1), 1),
    (c.ApplyRelease("r", 0, "c", "1", "{}", (c.UpdateApp("a", PRE, "key", 1),), "n"), 2),
    (c.SetScaling("a", '{"boost":1}'), 4), (c.SetScaling("a", '{"maxReplicas":1}'), 1),
    (PART, 1), (replace(PART, apps=(replace(APP, document=PRE),)), 2),
    (replace(PART, apps=(replace(APP, scaling='{"boost":1}'),)), 4),
    (replace(PART, apps=(replace(APP, revisions=(OLD,)),)), 2),
    (replace(PART, releases=(RELEASED,)), 2),
])
def test_whoever_brings_a_spec_needs_its_level(command: c.Command, level: int) -> None:
    """An app, a change of its policy, a release, and a backup with all that it kept."""
    assert codec.need_of(command, stamp()).level == level


@given(DOCUMENTS)
def test_addresses_are_read_from_the_text_as_from_the_spec(document: dict[str, Any]) -> None:
    """Steps need no parser to find where an app is reachable."""
    found = addresses_of(canonical(document), "apps.test")
    assert found == addresses(parse_app(document), "apps.test")


@pytest.mark.parametrize("text", [
    "", "{", "[]", "7", "null", '{"spec":7}', '{"spec":{"ingress":[]}}', '{"spec":{}}',
    '{"spec":{},"metadata":{"name":"a"},"spec":{"ingress":{"path":7}}}', "[" * 100_000])
def test_what_is_no_spec_has_no_addresses(text: str) -> None:
    """A value, never a crash."""
    assert addresses_of(text, "apps.test") is None


def steps() -> ClusterState:
    """Apps with a key that nobody knows, which move to another domain and are scaled."""
    document = {
        "kind": "App", "metadata": {"name": "a"}, "spec": {"image": "x:1", "late": 1},
        "scaling": {"maxReplicas": 4}, "late": [1]}
    text, other = canonical(document), canonical({**document, "late": [2]})
    return run(
        c.SetConfig(((DOMAIN, "one.test"),), domain="one.test"),
        c.RegisterApp("a", text, 1, ("a.old.test/",)),
        c.SetConfig(((DOMAIN, "two.test"),), domain="two.test"),
        c.SetScaling("a", '{"minReplicas":3}'),
        c.SetScaling("a", '{"minReplicas":5}'),
        c.UpdateApp("a", other, "key", 1, ("a.old.test/",)),
        c.StartApp("a"), c.RollBackApp("a", 2), c.RestartApp("a"),
    )[0]


def test_steps_do_what_they_do_with_keys_that_nobody_knows(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that knows more, or refuses all of it, makes the same state."""
    state = steps()
    app = state.apps["a"]
    assert app.addresses == ("a.two.test/",)
    assert json.loads(app.scaling) == {"minReplicas": 3}
    assert app.cause == "restarted"
    before = codec.encode_snapshot(state)

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("no step may parse a spec")

    for name in ("parse_app", "spec_of", "_parsed", "_filled"):
        monkeypatch.setattr(parse, name, refuse)
    for name in ("document", "spec"):
        monkeypatch.setattr(tables, name, refuse)
    policy_of.cache_clear()
    assert codec.encode_snapshot(steps()) == before


def test_a_policy_is_told_without_what_is_usual() -> None:
    """So the log remembers the same for it when a later version has more keys."""
    text = canonical({"scaling": {"maxReplicas": 9, "cooldownSeconds": 180}})
    told = text_of(text, '{"windowSeconds":30}', Defaults(cooldown_s=7))
    assert json.loads(told) == {"max_replicas": 9, "window_seconds": 30}
    assert filled(told) == written(Scaling(max_replicas=9, window_s=30))
    assert json.loads(text_of("{}", "", Defaults(cooldown_s=7))) == {"cooldown_seconds": 7}
