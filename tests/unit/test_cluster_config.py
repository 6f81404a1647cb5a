"""The configuration of the cluster: its keys, what holds, and how it is kept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cluster import config
from cluster.clock import SystemClock
from cluster.config.effective import MASK, Config, Effective, effective, shown
from cluster.config.keys import BY_PATH, KEYS, changes_of, spec_defaults
from cluster.control.follow import LiveConfig
from cluster.control.specs import spec_for
from cluster.state import backup
from cluster.state import commands as c
from cluster.state.codec import decode_part, decode_snapshot, encode_snapshot
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState
from orchestry.backup import parse
from orchestry.errors import Code, OrchestryError
from orchestry.policy import policy_of
from orchestry.spec.model import Defaults
from orchestry.spec.parse import DEFAULTS, canonical, parse_app, resolved, spec_of
from tests.api.support import SPEC, spec

GOOD: dict[str, Any] = {
    "controller.log_level": "debug", "database.pool_size": 10,
    "scaling.default_check_interval": 45, "scaling.default_cooldown": 300,
    "scaling.max_concurrent_scales": 3, "health.default_check_interval": 15,
    "health.default_timeout": 2, "health.default_failure_threshold": 5,
    "ingress.domain": "apps.example.org", "limits.per_hour": 0, "limits.per_minute": 600,
    "limits.trusted_proxies": ["10.0.0.0/8", "::1"], "retention.raw_hours": 48,
    "images.max_pulls": 8, "images.pull_idle_timeout": 30, "images.pull_timeout": 600,
    "images.keep_revisions": 0,
    "limits.images": ["docker.io/library/*", "registry.example:5000/team/shop"],
    "limits.reserved_hosts": ["admin.example.org", "*.intern.example.org"],
    "exec.enabled": True, "exec.max_sessions": 2, "exec.idle_timeout": 60,
    "retention.minute_days": 14, "retention.hour_days": 365, "retention.events_days": 30,
}
BAD: dict[str, list[Any]] = {
    "controller.log_level": ["loud", 1, True], "database.pool_size": [0, 101, "4", 2.5],
    "scaling.default_check_interval": [0, 61, "30", True, float("nan")],
    "scaling.default_cooldown": [-1, 86_401, 1.5, "180"],
    "scaling.max_concurrent_scales": [-1, 1_001, True], "health.default_check_interval": [0, "10"],
    "health.default_timeout": [0, 3_601], "health.default_failure_threshold": [0, 101],
    "ingress.domain": ["", "Apps.example.org", "a..b", 5], "limits.per_hour": [-1, 1.5],
    "limits.per_minute": [-1, "100"],
    "limits.trusted_proxies": ["10.0.0.0/8", ["10.0.0.1/8"], ["here"], [1], ["::1"] * 65],
    "images.max_pulls": [0, 9], "images.pull_idle_timeout": [4, "60"], "images.pull_timeout": [9],
    "images.keep_revisions": [-1, 11],
    "limits.images": ["*", ["*/x"], ["a:1"], ["Nginx"], ["a@sha256:1"], [""], ["a/b:1"], ["a*"]],
    "limits.reserved_hosts": ["a.b", ["*"], ["A.b"], ["10.0.0.1"], ["a.*"], ["*.*.a"]],
    "exec.enabled": ["true", 1], "exec.max_sessions": [0, 65], "exec.idle_timeout": [9, "60"],
    "retention.raw_hours": [0, 745], "retention.minute_days": [0, 367],
    "retention.hour_days": [0, 3_661], "retention.events_days": [0, "90"],
}
OWN = [key.path for key in KEYS if key.when == "node"]


def body_of(path: str, value: Any) -> dict[str, Any]:
    """The request that changes one key."""
    group, _, name = path.partition(".")
    return {group: {name: value}}


def faults_of(body: dict[str, Any]) -> dict[str, str]:
    """Field -> message of a refused body."""
    with pytest.raises(OrchestryError) as caught:
        changes_of(body)
    assert caught.value.code is Code.VALIDATION_ERROR
    details: Any = caught.value.details
    return {fault["field"]: fault["message"] for fault in details}


def state_of(*commands: c.Command) -> tuple[ClusterState, Applied]:
    """The state after these commands, all accepted, and the last outcome."""
    state, applied = ClusterState(), Applied(0)
    for index, command in enumerate(commands, 1):
        state, applied = apply(state, command, c.Stamp(1_000, "a"), index)
        assert applied.rejected is None, applied.details
    return state, applied


def set_to(path: str, value: Any) -> c.SetConfig:
    """The command of such a request."""
    return c.SetConfig(changes_of(body_of(path, value)))


def here(overrides: Any = None, **environ: str) -> Config:
    """What holds with these overrides on a controller with this environment."""
    return effective(overrides or {}, config.load(environ))


def test_every_key_is_tried() -> None:
    """A new key must join the tables of this file."""
    assert GOOD.keys() == BAD.keys() == {key.path for key in KEYS if key.when != "node"}


@pytest.mark.parametrize("path", GOOD)
def test_a_key_is_set_shown_and_taken_back(path: str) -> None:
    """Kept as it was given, in force with source `cluster`; null brings back what was before."""
    given = GOOD[path]
    before = here()
    state, _ = state_of(set_to(path, given))
    kept = decode_snapshot(encode_snapshot(state))
    assert kept == state
    found = here(kept.config)
    group, _, name = path.partition(".")
    assert shown({path: found.values[path]}) == {
        group: {name: ["10.0.0.0/8", "::1/128"] if name == "trusted_proxies" else given}}
    assert found.sources[path] == "cluster"
    assert before.values[path] != found.values[path]
    assert {p for p in found.values if found.values[p] != before.values[p]} == {path}
    back, _ = state_of(set_to(path, given), set_to(path, None))
    assert not back.config
    assert here(back.config) == before


@pytest.mark.parametrize(("path", "wrong"), [(p, value) for p, many in BAD.items()
                                             for value in many])
def test_a_wrong_value_names_its_field(path: str, wrong: Any) -> None:
    """The fault has the path of the key, or of the item in its list."""
    fields = faults_of(body_of(path, wrong))
    assert all(field.startswith(path) for field in fields)
    assert all(message.startswith("must ") for message in fields.values())


@pytest.mark.parametrize("path", OWN)
def test_what_is_each_controllers_own_names_the_remedy(path: str) -> None:
    """The variable to set, or the page that says why not; null is refused too."""
    for value in (1, None):
        message = faults_of(body_of(path, value))[path]
        setting = BY_PATH[path].setting
        assert (setting or "docs/adr/0005") in message


def test_every_fault_at_once() -> None:
    """Groups, keys and values in one answer, each with its path; nothing is taken."""
    faults = faults_of({
        "scalng": {}, "health": 5, "retention": {"raw_hour": 1},
        "scaling": {"default_cooldown": -1, "default_check_interval": 30},
        "database": {"password": "hunter22"},
    })
    assert faults.keys() == {
        "scalng", "health", "retention.raw_hour", "scaling.default_cooldown",
        "database.password"}
    assert "did you mean scaling?" in faults["scalng"]
    assert "did you mean raw_hours?" in faults["retention.raw_hour"]
    assert "hunter22" not in str(faults)
    assert "at least one key" in faults_of({})[""]
    assert "at least one key" in faults_of({"scaling": {}})[""]


def test_settings_are_the_defaults_and_say_where_they_come_from() -> None:
    """Environment, file and default; the cluster beats them all."""
    found = here({"ingress.domain": "x.org"}, SCALING_INTERVAL="5", INGRESS_DOMAIN="y.org",
                 POSTGRES_HOST="db", POSTGRES_PASSWORD="hunter22", ORCHESTRY_PORT="8123")
    assert (found.scaling_interval_s, found.sources["scaling.default_check_interval"]) == (
        5.0, "environment")
    assert (found.domain, found.sources["ingress.domain"]) == ("x.org", "cluster")
    groups = shown(found.values)
    assert groups["database"] == {
        "host": "db", "port": 5432, "name": "orchestry", "password": MASK, "pool_size": 4}
    assert found.sources["database.host"] == "environment"
    assert found.sources["controller.log_level"] == "default"
    assert groups["controller"] == {
        "host": "127.0.0.1", "port": 8123, "workers": 1, "log_level": "info"}
    assert groups["scaling"]["default_check_interval"] == 5
    assert type(groups["scaling"]["default_check_interval"]) is int
    without = shown(here().values)["database"]
    assert without == dict.fromkeys(("host", "port", "name", "password")) | {"pool_size": 4}
    url = here(DATABASE_URL="postgresql://me:p%40ss@db.example:6000/my%20db")
    assert shown(url.values)["database"] == {
        "host": "db.example", "port": 6000, "name": "my db", "password": MASK, "pool_size": 4}
    assert url.sources["database.name"] == "environment"


def test_what_this_version_cannot_read_counts_as_unset() -> None:
    """A newer version's key or value stops nobody."""
    found = here({"new.key": 1, "scaling.default_cooldown": "soon", "controller.host": "x"})
    assert found == here()
    assert spec_defaults({"scaling.default_cooldown": "soon"}) == DEFAULTS


def test_effective_is_made_anew_only_after_a_change() -> None:
    """Loops ask at each step."""
    one = Effective(config.load({}))
    state, _ = state_of(set_to("scaling.default_cooldown", 5))
    assert one(state.config) is one(state.config)
    assert one(state.config) != one(ClusterState().config)


def test_an_event_tells_before_and_after() -> None:
    """One event for one change, with the changed keys only; none for none."""
    both = c.SetConfig((("scaling.default_cooldown", 5), ("limits.per_hour", 7)))
    state, applied = state_of(
        set_to("scaling.default_cooldown", 5), both, both, set_to("limits.per_minute", None))
    assert [event.message for event in state.events] == [
        "Configuration changed: scaling.default_cooldown",
        "Configuration changed: limits.per_hour",
    ]
    details = dict(state.events[-1].details)
    assert (details["before"], details["after"]) == (
        '{"limits.per_hour":null}', '{"limits.per_hour":7}')
    assert state.events[-1].type == "config"
    assert applied.get("before") == applied.get("after") == '{"limits.per_minute":null}'


def test_old_snapshots_and_backups_are_read() -> None:
    """They have no configuration."""
    state, _ = state_of(c.RegisterApp("shop", canonical(SPEC), 2))
    text = encode_snapshot(state)
    assert '"config":' not in text.replace('"type":"config"', "")
    assert decode_snapshot(text) == state
    assert not decode_snapshot(text).config


def test_a_backup_carries_it() -> None:
    """What the backup has, and nothing else, holds after a restore."""
    old, _ = state_of(
        c.RegisterApp("shop", canonical(SPEC), 2), set_to("scaling.default_cooldown", 5),
        set_to("limits.trusted_proxies", ["10.0.0.0/8"]))
    lines = b"".join(backup.lines(old, {})).splitlines(keepends=True)
    parts = [decode_part(part) for part in parse(lines).parts]
    assert len(parts) == 2
    new, _ = state_of(set_to("limits.per_hour", 5), *parts)
    assert new.config == old.config
    assert new.config["limits.trusted_proxies"] == ("10.0.0.0/8",)


def test_defaults_fill_in_what_a_spec_does_not_name() -> None:
    """What an owner names stays; resolved documents read back as themselves."""
    defaults = Defaults(cooldown_s=1, period_s=2, timeout_s=3, failure_threshold=4)
    bare = spec_of(canonical(spec(scaling={})), defaults)
    assert (bare.scaling.cooldown_s, bare.health_check.period_s) == (1, 2)
    assert (bare.health_check.timeout_s, bare.health_check.failure_threshold) == (3, 4)
    text = canonical(spec(
        scaling={"cooldownSeconds": 180},
        healthCheck={"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 3}))
    named = spec_of(text, defaults)
    assert (named, named.unnamed) == (spec_of(text), frozenset())
    half = spec_of(canonical(spec(healthCheck={"periodSeconds": 10})), defaults)
    assert (half.health_check.period_s, half.health_check.timeout_s) == (10, 3)
    again = parse_app(resolved(bare))
    assert (again, again.unnamed) == (bare, frozenset())


def test_a_policys_own_cooldown_stays() -> None:
    """A default never hides what was set for one app, in its spec or later."""
    defaults = Defaults(cooldown_s=7)
    text = canonical(SPEC)
    assert policy_of(text, "", defaults).cooldown_s == 7
    assert policy_of(text, '{"maxReplicas":9}', defaults).cooldown_s == 7
    assert policy_of(text, '{"cooldownSeconds":180}', defaults).cooldown_s == 180
    state, _ = state_of(
        c.RegisterApp("shop", text, 2), set_to("scaling.default_cooldown", 7),
        c.SetScaling("shop", '{"maxReplicas":9}'))
    app = state.apps["shop"]
    found = spec_for(app, spec_defaults(state.config))
    assert found is not None
    assert (found.scaling.cooldown_s, found.scaling.max_replicas) == (7, 9)
    assert app.revision == 1
    _, applied = state_of(
        c.RegisterApp("shop", text, 2), set_to("scaling.default_cooldown", 7),
        c.SetScaling("shop", '{"maxReplicas":9}'))
    assert json.loads(applied.get("policy"))["cooldown_seconds"] == 7


def test_another_domain_moves_the_apps_without_hosts() -> None:
    """Their addresses are theirs under the new one; an app that comes later gets it too."""
    state, _ = state_of(
        c.RegisterApp("shop", canonical(SPEC), 2, ("shop.localhost/",)),
        c.SetConfig((("ingress.domain", "x.org"),), "x.org"),
        c.RegisterApp("late", canonical(spec("late")), 2, ("late.localhost/",)))
    assert state.apps["shop"].addresses == ("shop.x.org/",)
    assert dict(state.owners) == {"shop.x.org/": "shop", "late.x.org/": "late"}
    back, applied = apply(
        state, c.SetConfig((("ingress.domain", None),), "localhost"), c.Stamp(1, "a"), 9)
    assert applied.rejected is None
    assert set(back.owners) == {"shop.localhost/", "late.localhost/"}
    hosted = spec("other", spec={**SPEC["spec"], "ingress": {"hosts": ["shop.y.org"]}})
    state, applied = apply(
        state, c.RegisterApp("other", canonical(hosted), 2, ("shop.y.org/",)), c.Stamp(1, "a"), 9)
    assert applied.rejected is None
    after, applied = apply(
        state, c.SetConfig((("ingress.domain", "y.org"),), "y.org"), c.Stamp(1, "a"), 10)
    assert applied.rejected is Code.CONFLICT
    assert "shop.y.org/" in applied.details
    assert (after.apps, after.config, after.events) == (state.apps, state.config, state.events)


class _Log:
    """The part of a log that LiveConfig asks: a state, and a barrier that may fail."""

    def __init__(self, state: ClusterState, *, leads: bool = True) -> None:
        self._state, self._leads = state, leads

    def state(self) -> ClusterState:
        return self._state

    def submit(self, command: c.Command, stamp: c.Stamp) -> _Log:
        return self

    def wait(self, timeout_s: float) -> Applied:
        if not self._leads:
            raise OrchestryError(Code.CLUSTER_NOT_READY)
        return Applied(1)

    def wait_applied(self, index: int, timeout_s: float) -> bool:
        return self._leads


def test_the_history_is_told() -> None:
    """Retention in milliseconds; the size of the pool once a barrier says what holds."""
    state, _ = state_of(set_to("retention.raw_hours", 2), set_to("database.pool_size", 9))
    effect = Effective(config.load({}))
    live = LiveConfig(effect, _Log(state), SystemClock(), "a")  # type: ignore[arg-type]
    kept = live.retention()
    assert (kept.raw_ms, kept.minute_ms) == (2 * 3_600_000, 7 * 86_400_000)
    assert live.pool_size() == 9
    alone = LiveConfig(effect, _Log(state, leads=False), SystemClock(), "a")  # type: ignore[arg-type]
    assert alone.pool_size() is None
