"""Secrets of applications: keys, versions, which replica gets which, and what the leader tells."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from immutables import Map

from cluster.control.secret_values import Unresolved, secret_values
from cluster.control.vitals import secrets_part
from cluster.engine.base import Container, RunRequest
from cluster.sealing import Keyring, SealError
from cluster.state import backup
from cluster.state import commands as c
from cluster.state.codec import decode_part, decode_snapshot, encode_envelope, encode_snapshot
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState, Secret, SecretVersion
from cluster.state.secret_uses import faults, secrets_of, users, version_for
from cluster.state.secrets import SEALED_CHARACTERS_MAX, SECRETS_MAX
from orchestry.backup import parse
from orchestry.errors import Code
from orchestry.spec.parse import spec_of
from tests.sim.fleet_world import document
from tests.sim.parts import SimController
from tests.templates import key_of
from tests.unit.test_reconcile import Leader

A, B = b"a" * 32, b"b" * 32
PLAIN = "pa55-never-to-be-seen"
STAMP = c.Stamp(at_ms=1_000, by="n1")


def using(name: str = "shop", secret: str = "db", field: str = "") -> str:
    """A stored document whose app uses a secret."""
    found = json.loads(document(name))
    found["spec"]["environment"] = [
        {"name": "DB", "source": "secret", "key": secret, **({"field": field} if field else {})}]
    return json.dumps(found)


def sealed(version: int = 1, text: str = PLAIN, name: str = "db", *keys: bytes) -> c.SetSecret:
    """The command that brings a version."""
    key_id, found = Keyring(keys or (A,)).seal(name, version, {"value": text})
    return c.SetSecret(name, version, key_id, ("value",), found)


def run(*commands: c.Command, state: ClusterState | None = None) -> tuple[ClusterState, Applied]:
    """The state after these commands, and the outcome of the last."""
    found, applied = state or ClusterState(), Applied(0)
    for command in commands:
        found, applied = apply(found, command, STAMP, found.index + 1)
    return found, applied


# -- keys --------------------------------------------------------------------------------


def test_what_is_sealed_opens_again_under_its_own_name_and_version_only() -> None:
    """With any key of the ring; the text tells nothing, and is never twice the same."""
    ring = Keyring([A, B])
    key_id, text = ring.seal("db", 3, {"user": "me", "password": PLAIN})
    assert key_id == ring.first == Keyring([A]).first != Keyring([B]).first
    assert ring.seal("db", 3, {"user": "me", "password": PLAIN})[1] != text
    assert PLAIN.encode() not in base64.b64decode(text)
    assert Keyring([B, A]).open("db", 3, key_id, text) == {"user": "me", "password": PLAIN}
    for name, version in (("db", 2), ("db2", 3)):
        with pytest.raises(SealError, match="changed since"):
            ring.open(name, version, key_id, text)


@pytest.mark.parametrize("spoil", [
    lambda text: text[:-8] + "AAAAAAA=", lambda text: "", lambda text: "no base64",
    lambda text: base64.b64encode(b"short").decode()])
def test_what_was_changed_does_not_open(spoil: Callable[[str], str]) -> None:
    """And no error has a value in it."""
    ring = Keyring([A])
    key_id, text = ring.seal("db", 1, {"value": PLAIN})
    with pytest.raises(SealError) as caught:
        ring.open("db", 1, key_id, spoil(text))
    assert PLAIN not in str(caught.value)


def test_missing_and_wrong_keys() -> None:
    """Without one nothing is sealed; what another key sealed names that key."""
    key_id, text = Keyring([A]).seal("db", 1, {"value": PLAIN})
    with pytest.raises(SealError, match="ORCHESTRY_SECRETS_KEY"):
        Keyring([]).seal("db", 1, {"value": PLAIN})
    for ring in (Keyring([]), Keyring([B])):
        with pytest.raises(SealError, match=key_id):
            ring.open("db", 1, key_id, text)
    with pytest.raises(SealError, match="not sealed under key"):
        Keyring([B]).open("db", 1, Keyring([B]).first, text)


def test_marks_tell_requests_apart_and_need_the_key() -> None:
    """So that nobody guesses a value from the log."""
    assert Keyring([A]).mark(b"x") == Keyring([A, B]).mark(b"x") != Keyring([A]).mark(b"y")
    assert Keyring([A]).mark(b"x") != Keyring([B]).mark(b"x")


# -- state -------------------------------------------------------------------------------


def test_versions_come_one_after_the_other() -> None:
    """Who sealed for another number is refused; the last two stay."""
    state, applied = run(sealed(1), sealed(2), sealed(3))
    assert applied.get("version") == 3
    assert [one.version for one in state.secrets["db"].versions] == [2, 3]
    for wrong in (1, 3, 5):
        after, applied = run(sealed(wrong), state=state)
        assert applied.rejected is Code.CONFLICT
        assert after.secrets == state.secrets


def test_there_is_an_end_to_secrets() -> None:
    """In number and in size."""
    version = SecretVersion(1, 1, 1, "k", ("value",), "x")
    many = Map({f"s{n}": Secret(f"s{n}", (version,)) for n in range(SECRETS_MAX)})
    _, applied = run(sealed(), state=ClusterState(secrets=many))
    assert applied.rejected is Code.CONFLICT
    big = c.SetSecret("big", 1, "k", ("value",), "x" * (SEALED_CHARACTERS_MAX + 1))
    _, applied = run(big)
    assert applied.rejected is Code.CONFLICT


def test_who_uses_a_secret() -> None:
    """Apps by their specs, also by older ones whose replicas a rollout still wants."""
    state, _ = run(
        sealed(), c.RegisterApp("shop", using(), 1), c.RegisterApp("other", document("other"), 1),
        c.StartApp("shop", 1))
    assert users(state) == {"db": ["shop"]}
    plain, template = document("shop"), state.apps["shop"].made_from
    state, _ = run(
        c.PinImage("shop", template, "shop:1", "sha256:1", "sha256:1"),
        c.UpdateApp("shop", plain, key_of(plain), 1), state=state)
    assert users(state) == {"db": ["shop"]}
    refused, applied = run(c.DeleteSecret("db"), state=state)
    assert applied.rejected is Code.CONFLICT
    assert "shop" in str(applied.details)
    rollout = state.apps["shop"].rollout
    assert rollout is not None
    state, _ = run(c.EndRollout("shop", rollout.id, "done"), state=state)
    state, applied = run(c.DeleteSecret("db"), state=state)
    assert (applied.rejected, dict(state.secrets)) == (None, {})
    assert refused.secrets


@pytest.mark.parametrize(("text", "names"), [
    (using(), {"db"}), (using().replace('"environment"', '"env"'), {"db"}),
    (document("shop"), set()), ('{"secret": 1}', set()), ('["secret"]', set()), ('"secret"', set()),
    (using()[:-1] + ',"future":{"x":1}}', {"db"}), ('{"spec":{"env":["secret"]}}', set()),
    ('{"spec":{"env":7},"a":"secret"}', set()), ('no JSON "secret"', set())])
def test_secrets_are_found_in_whatever_is_stored(text: str, names: set[str]) -> None:
    """Also in specs of newer versions; what is no spec has none."""
    assert secrets_of(text) == names


def test_a_replica_keeps_the_version_that_its_template_began_with() -> None:
    """The newest that was there; what is kept no more is as the newest."""
    versions = tuple(SecretVersion(n, n * 10, 1, "k", ("value",), "x") for n in (2, 3))
    secret = Secret("db", versions)
    found = {template: version_for(secret, template).version for template in (5, 20, 29, 30, 99)}
    assert found == {5: 3, 20: 2, 29: 2, 30: 3, 99: 3}


def test_an_earlier_spec_does_not_bring_an_earlier_value_back() -> None:
    """An update to a spec that was there before gets containers of its own."""
    other = using().replace("shop:1", "shop:2")
    state, _ = run(
        sealed(1), c.RegisterApp("shop", using(), 1), c.UpdateApp("shop", other, key_of(other), 1),
        sealed(2), c.UpdateApp("shop", using(), key_of(using()), 1))
    app = state.apps["shop"]
    assert app.made_from == state.index
    assert version_for(state.secrets["db"], app.made_from).version == 2


@pytest.mark.parametrize("deploy", [
    {"strategy": "recreate"}, {"maxSurge": 0, "maxUnavailable": 1}])
def test_a_version_that_cannot_be_opened_here_stops_no_replica(deploy: dict[str, Any]) -> None:
    """Though all, or some, of the old ones would go first; with one that can be, it goes on."""
    leader = Leader(keys=(A,))
    text = json.dumps({**json.loads(using()), "deploy": {**deploy, "minHealthySeconds": 0}})
    leader.do(sealed(), c.RegisterApp("shop", text, 1), c.StartApp("shop", 2))
    leader.run(10)
    before = {one.id for one in leader.engine.containers()}
    leader.do(sealed(2, PLAIN, "db", B))
    leader.run(20)
    assert {one.id for one in leader.engine.containers()} == before
    state = leader.log.state()
    assert "ORCHESTRY_SECRETS_KEY" in state.apps["shop"].problem
    told = [one for one in state.events if "No replica is given up yet" in one.message]
    assert len(told) == 1
    leader.do(sealed(3))
    leader.run(20)
    after = leader.log.state().apps["shop"]
    assert (after.rollout, after.problem, len(after.reports)) == (None, "", 2)
    assert not before & {one.id for one in leader.engine.containers()}


def test_resealing_is_about_what_was_read() -> None:
    """After another change it is refused; else values move to the key and nothing is restarted."""
    state, _ = run(sealed(1), c.RegisterApp("shop", using(), 1), sealed(2))
    key_id, text = Keyring([B]).seal("db", 2, {"value": PLAIN})
    late = c.ResealSecret("db", 1, key_id, ((2, text),))
    _, applied = run(late, state=state)
    assert applied.rejected is Code.CONFLICT
    right = c.ResealSecret("db", state.secrets["db"].changed, key_id, ((2, text),))
    after, applied = run(right, state=state)
    assert applied.rejected is None
    assert (after.apps, after.secrets["db"].newest.key_id) == (state.apps, key_id)
    assert after.secrets["db"].versions[0] == state.secrets["db"].versions[0]


def test_faults_name_the_field() -> None:
    """What is not there, and where the spec asks for it."""
    state, _ = run(sealed())
    found = {field: [one.field for one in faults(spec_of(using(secret=secret, field=field)),
                                                 state.secrets)]
             for secret, field in (("db", ""), ("no", "value"), ("db", "user"))}
    assert found == {"": [], "value": ["spec.environment[0].key"],
                     "user": ["spec.environment[0].field"]}


def test_the_log_snapshots_and_backups_have_no_value() -> None:
    """Only what is sealed; a restore brings it back, and the key opens it there."""
    command = sealed()
    state, _ = run(c.BeginEpoch("n1", 1_000, "old"), command, c.RegisterApp("shop", using(), 1))
    data = b"".join(backup.lines(state, {}))
    texts = [encode_envelope(command, STAMP), encode_snapshot(state), data.decode(), repr(state)]
    assert not any(PLAIN in text for text in texts)
    assert decode_snapshot(encode_snapshot(state)).secrets == state.secrets
    empty, _ = run(c.BeginEpoch("n1", 1_000, "new"), sealed(1, "mine", "own"))
    parts = [decode_part({**part, "restore_id": "r"})
             for part in parse(data.splitlines(keepends=True)).parts]
    restored, applied = run(*parts, state=empty)
    assert applied.rejected is None
    assert set(restored.secrets) == {"db", "own"}
    values = secret_values(spec_of(using()), restored.secrets, restored.index, Keyring([A]))
    assert values == {("db", "value"): PLAIN}


def test_many_secrets_fit_into_parts() -> None:
    """Each part stays small, whatever number there is."""
    text = "x" * 80_000
    state = ClusterState(secrets=Map({
        f"s{n}": Secret(f"s{n}", (SecretVersion(1, 1, 1, "k", ("value",), text),) * 2)
        for n in range(9)}))
    found = backup.parts(state)
    assert [part.total for part in found] == [len(found)] * len(found)
    assert sum(len(part.secrets) for part in found) == 9
    assert max(len(encode_envelope(part, STAMP)) for part in found) < 2 * backup.PART_BYTES


# -- what a controller can open ------------------------------------------------------------


def test_health_tells_of_a_key_that_is_not_here() -> None:
    """Of secrets in the state, or of another controller, before there is any secret."""
    assert secrets_part(Keyring([]), ClusterState()).status == "disabled"
    assert secrets_part(Keyring([A]), ClusterState()).status == "healthy"
    told, _ = run(c.AnnounceController("n2", "http://n2:1", "h", "1", 1, Keyring([A]).first))
    kept, _ = run(sealed())
    for state in (told, kept):
        for ring in (Keyring([]), Keyring([B])):
            part = secrets_part(ring, state)
            assert (part.status, Keyring([A]).first in part.detail) == ("degraded", True)
        assert secrets_part(Keyring([B, A]), state).status == "healthy"


class Keyed(Leader):
    """A leader with keys, and what its engine is ordered to run."""

    def __init__(self, *keys: bytes) -> None:
        super().__init__()
        self.parts = SimController(
            "c1", self.log, self.clock, self.parts._dice, engine=self.engine, ingress=self.ingress,
            keys=keys)
        self.orders: list[RunRequest] = []
        real = self.engine.run

        def noted(request: RunRequest, **more: Any) -> Container:
            self.orders.append(request)
            return real(request, **more)

        self.engine.run = noted  # type: ignore[method-assign]


def test_the_leader_opens_secrets_when_it_starts_a_replica() -> None:
    """The replica gets the value; state, events, labels and logs do not."""
    leader = Keyed(A)
    leader.do(sealed(), c.RegisterApp("shop", using(), 1), c.StartApp("shop", 1))
    leader.run(5)
    assert [dict(order.environment) for order in leader.orders] == [{"DB": PLAIN}]
    assert PLAIN not in repr(leader.orders)
    assert PLAIN not in repr(leader.orders[0].labels)
    assert PLAIN not in repr(leader.log.state()) + encode_snapshot(leader.log.state())
    leader.do(sealed(2, "second"))
    leader.run(20)
    assert dict(leader.orders[-1].environment) == {"DB": "second"}
    assert leader.log.state().apps["shop"].rollout is None
    assert len(leader.engine.containers()) == 1


@pytest.mark.parametrize("keys", [(), (B,)])
def test_without_the_key_replicas_wait_and_the_reason_is_told(
    keys: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Once, with the setting and the key's id; what runs is left alone."""
    leader = Keyed(*keys)
    leader.do(sealed(), c.RegisterApp("shop", using(), 1), c.StartApp("shop", 1))
    leader.run(5)
    app = leader.log.state().apps["shop"]
    assert "ORCHESTRY_SECRETS_KEY" in app.problem
    assert leader.orders == []
    told = [event for event in leader.log.state().events if event.type == "error"]
    assert len(told) == 1
    assert PLAIN not in repr(leader.log.state()) + caplog.text


def test_a_secret_that_is_gone_keeps_new_replicas_from_starting() -> None:
    """The reason names the field of the spec; setting it again lets them start."""
    leader = Keyed(A)
    leader.do(sealed(), c.RegisterApp("shop", using(), 1), c.StartApp("shop", 1))
    leader.run(5)
    leader.do(c.DeleteSecret("db", force=True), c.ScaleApp("shop", 2, 1))
    leader.run(5)
    assert "spec.environment[0].key" in leader.log.state().apps["shop"].problem
    assert len(leader.engine.containers()) == 1
    leader.do(sealed(1, "again"))
    leader.run(20)
    assert leader.log.state().apps["shop"].problem == ""
    assert len(leader.engine.containers()) == 2


def test_a_field_that_came_later() -> None:
    """An older template wants a field that its version of the secret did not have."""
    state, _ = run(sealed(1))
    key_id, text = Keyring([A]).seal("db", 2, {"user": "me"})
    state, _ = run(c.SetSecret("db", 2, key_id, ("user",), text), state=state)
    with pytest.raises(Unresolved, match="restart the application"):
        secret_values(spec_of(using(field="user")), state.secrets, 1, Keyring([A]))
