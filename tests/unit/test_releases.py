"""Releases in the state machine: all apps of a chart at once, or nothing."""

from __future__ import annotations

import json
from typing import Any

from cluster.consensus.library_conf import ENVELOPE_BYTES_MAX
from cluster.state import backup, releases
from cluster.state import commands as c
from cluster.state.codec import (
    decode_envelope,
    decode_snapshot,
    encode_envelope,
    encode_part,
    encode_snapshot,
)
from cluster.state.machine import apply
from cluster.state.model import Applied, ClusterState, ReleaseApp
from orchestry.errors import Code


def document(image: str) -> str:
    """A spec."""
    return json.dumps({"spec": {"image": image}})


def app(name: str, image: str = "a:1", *addresses: str) -> c.UpdateApp:
    """An app as a chart renders it."""
    return c.UpdateApp(name, document(image), image, 1, addresses)


def release(expected: int, *apps: c.UpdateApp, name: str = "web", values: str = "{}",
            **more: Any) -> c.ApplyRelease:
    """A change of a release."""
    return c.ApplyRelease(name, expected, "chart", "1.0.0", values, apps, "Upgraded", **more)


def after(state: ClusterState, *commands: c.Command) -> tuple[ClusterState, list[Applied]]:
    """The state after these commands, through the log's own format, and their outcomes."""
    outcomes = []
    for command in commands:
        stamp = c.Stamp(at_ms=5, by="n1")
        read, mark = decode_envelope(encode_envelope(command, stamp))
        assert read == command
        state, applied = apply(state, read, mark, state.index + 1)
        outcomes.append(applied)
    assert decode_snapshot(encode_snapshot(state)) == state
    return state, outcomes


def test_a_release_comes_changes_and_goes() -> None:
    """New apps start, changed ones get another revision, others stay, the rest is deleted."""
    state, [first] = after(ClusterState(), release(0, app("one"), app("two"), app("three")))
    assert first.get("revision") == 1
    assert [state.apps[name].running for name in ("one", "two", "three")] == [True] * 3
    assert {one.release for one in state.apps.values()} == {"web"}
    was = state.apps["one"]
    wanted = (ReleaseApp("one", document("a:1")), ReleaseApp("two", document("a:2")),
              ReleaseApp("four", document("a:1")))
    expected = {"one": "unchanged", "two": "updated", "four": "created", "three": "removed"}
    assert releases.changes(state, "web", wanted) == expected
    state, [second] = after(state, release(1, app("one"), app("two", "a:2"), app("four")))
    assert dict(second.get("changes")) == expected
    assert state.apps["one"] == was
    assert state.apps["two"].document == document("a:2")
    assert state.apps["three"].deleting
    assert [one.number for one in state.releases["web"].revisions] == [1, 2]
    state, [gone] = after(state, c.UninstallRelease("web", keep_data=True, expected=2))
    assert set(gone.get("apps")) == {"one", "two", "four"}
    assert not state.releases
    assert all(one.deleting for one in state.apps.values())
    assert state.apps["one"].keep_data
    assert any("uninstalled" in event.message for event in state.events)


def test_what_is_refused_changes_nothing() -> None:
    """The wrong revision, a foreign app, an address that is taken in the last app of several."""
    state, _ = after(
        ClusterState(), c.RegisterApp("mine", document("x:1"), 1, ("shop.localhost/",)),
        release(0, app("one")))
    for command, code, words in (
        (release(0, app("one")), Code.CONFLICT, "at revision 1"),
        (release(7, app("one"), name="other"), Code.CONFLICT, "no release 'other'"),
        (release(1, app("one"), app("mine")), Code.CONFLICT, "'mine' exists and belongs to no"),
        (release(0, app("one"), name="other"), Code.CONFLICT, "release 'web'"),
        (release(1, app("one", "a:9"), app("new", "a:1", "shop.localhost/")), Code.CONFLICT,
         "Application 'new': shop.localhost/ already leads"),
        (release(1), Code.VALIDATION_ERROR, "1-64"),
        (release(1, app("one"), values="é" * 100_000), Code.PAYLOAD_TOO_LARGE, "600"),
        (c.UninstallRelease("web", expected=7), Code.CONFLICT, "at revision 1"),
        (c.UninstallRelease("other"), Code.NOT_FOUND, "no release 'other'"),
    ):
        later, [applied] = after(state, command)
        assert applied.rejected is code, applied
        assert words in applied.details
        assert (later.apps, later.releases) == (state.apps, state.releases)


def test_an_app_that_was_removed_by_hand_comes_back() -> None:
    """The next revision brings what it renders, also what somebody removed meanwhile."""
    state, _ = after(ClusterState(), release(0, app("one"), app("two")))
    revision = state.apps["one"].revision
    state, _ = after(state, c.DeleteApp("one"), c.FinishDelete("one", revision, 0))
    assert "one" not in state.apps
    state, [applied] = after(state, release(1, app("one"), app("two")))
    assert dict(applied.get("changes")) == {"one": "created", "two": "unchanged"}
    assert state.apps["one"].running
    state, [_, applied] = after(state, c.DeleteApp("one"), release(2, app("one")))
    assert applied.rejected is Code.CONFLICT
    assert "still being removed" in applied.details


def test_kept_revisions_are_bounded() -> None:
    """Ten of them, and not more than there is room for; the last one is always kept."""
    state, _ = after(ClusterState(), *(
        release(number, app("one", f"a:{number}")) for number in range(14)))
    assert [one.number for one in state.releases["web"].revisions] == list(range(5, 15))
    large = "x" * 400_000
    state, _ = after(state, *(
        release(number, app("one"), values=large) for number in range(14, 18)))
    assert [one.number for one in state.releases["web"].revisions] == [17, 18]
    full, _ = after(ClusterState(), *(
        release(0, app(f"a{number}"), name=f"r{number}")
        for number in range(releases.RELEASES_MAX)))
    _, [refused] = after(full, release(0, app("late"), name="late"))
    assert refused.rejected is Code.CONFLICT


def test_a_backup_has_releases() -> None:
    """Each whole, in parts of bounded size, and a restore brings them back."""
    large = "x" * 200_000
    state, _ = after(ClusterState(), *(
        release(0, app(f"a{number}"), name=f"r{number}", values=large) for number in range(4)))
    parts = backup.parts(state)
    assert len(parts) > 3
    assert all(len(json.dumps(encode_part(part))) < ENVELOPE_BYTES_MAX for part in parts)
    empty = ClusterState()
    restored, outcomes = after(empty, *parts)
    assert not any(one.rejected for one in outcomes)
    assert restored.releases == state.releases
    assert {name: one.release for name, one in restored.apps.items()} == {
        f"a{number}": f"r{number}" for number in range(4)}
