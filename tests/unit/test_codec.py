"""The JSON of commands and snapshots: nothing lost, nothing unknown let through."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.state import commands as c
from cluster.state.codec import (
    UnknownFormat,
    decode_envelope,
    decode_snapshot,
    encode_envelope,
    encode_snapshot,
)
from cluster.state.model import ClusterState
from orchestry.errors import Code
from tests.unit.drawn import COMMANDS, STAMPS
from tests.unit.test_state_machine import REGISTER, healthy, run, stamp


@pytest.mark.parametrize("kind", COMMANDS, ids=lambda kind: kind.__name__)
@given(data=st.data(), mark=STAMPS)
def test_every_command_reads_back_as_itself(
    kind: type[Any], data: st.DataObject, mark: c.Stamp
) -> None:
    """One log entry as text holds the whole command and its stamp."""
    command = data.draw(COMMANDS[kind])
    text = encode_envelope(command, mark)
    assert decode_envelope(text) == (command, mark)
    assert type(decode_envelope(text)[0]) is kind
    assert encode_envelope(*decode_envelope(text)) == text


def test_a_full_snapshot_reads_back_as_itself() -> None:
    """Apps with reports, refused requests, leadership, controllers and events survive."""
    state, outcomes = run(
        c.BeginEpoch("n1", 3_000, "cluster-1"), c.AnnounceController("n1", "http://a", "h", "1"),
        REGISTER, c.StartApp("shop", 2), c.ReportApp("shop", 3, healthy(2, 3)),
        (REGISTER, stamp(request_id="r1")),
        c.RecordEvent("error", "shop", "é\ud800", (("list", (1, (2.5, None))),)),
    )
    text = encode_snapshot(state)
    assert decode_snapshot(text) == state
    kept = decode_snapshot(text).memory.recall("r1")
    assert kept is not None
    assert kept.applied.rejected is Code.APP_ALREADY_EXISTS
    assert outcomes[5].rejected is Code.APP_ALREADY_EXISTS


def test_a_restored_state_cannot_be_changed() -> None:
    """What comes out of a snapshot is as immutable as what went in."""
    restored = decode_snapshot(encode_snapshot(run(REGISTER)[0]))
    with pytest.raises(TypeError):
        restored.apps["x"] = None  # type: ignore[index]
    assert isinstance(restored.events, tuple)
    assert hash(restored.events) == hash(run(REGISTER)[0].events)


def test_text_holds_no_defaults() -> None:
    """What has its default is left out, so that entries stay small."""
    body = json.loads(encode_envelope(c.DeleteApp("shop"), stamp()))
    assert body["command"] == {"app": "shop"}
    assert body["stamp"] == {"at_ms": 1_000, "by": "alice"}
    assert json.loads(encode_snapshot(ClusterState()))["state"] == {}


@pytest.mark.parametrize(
    "change", [{"kind": "LaunchRocket"}, {"kind": None}, {"v": 2}, {"v": None}]
)
def test_an_entry_of_a_newer_version_is_refused(change: dict[str, object]) -> None:
    """An unknown command stops the controller instead of letting it diverge."""
    body = json.loads(encode_envelope(c.Noop(), stamp())) | change
    with pytest.raises(UnknownFormat, match="version"):
        decode_envelope(json.dumps(body))


def test_a_snapshot_of_a_newer_version_is_refused() -> None:
    """The same for snapshots."""
    with pytest.raises(UnknownFormat, match="snapshot version 2"):
        decode_snapshot(json.dumps(json.loads(encode_snapshot(ClusterState())) | {"v": 2}))


def test_an_added_field_is_ignored() -> None:
    """A field that a newer version added to a known kind does not stop an older one."""
    body = json.loads(encode_envelope(c.DeleteApp("shop"), stamp()))
    body["command"]["soon"] = True
    assert decode_envelope(json.dumps(body)) == (c.DeleteApp("shop"), stamp())
