"""The golden files: what other versions wrote and will read, and what they make of it."""

from __future__ import annotations

import json

import pytest

from cluster.state import codec, levels
from cluster.state import commands as c
from tests.unit.formats import samples

RULES = (
    "controllers of other versions read and write this too: follow docs/adr/0026-levels.md, "
    "then run `python -m tests.unit.formats.samples`"
)
GOLDEN = json.loads(samples.COMMANDS.read_text())


def test_every_kind_and_every_field_has_its_level() -> None:
    """What is new is not proposed before all members understand it."""
    assert not samples.faults(GOLDEN)
    assert set(levels.KINDS) == set(samples.kinds())
    wanted = (*levels.KINDS.values(), *levels.FIELDS.values())
    assert max(wanted) <= levels.LEVEL, "LEVEL is the highest of all"
    fields = samples.written()["fields"]
    assert all(f"{kind}.{field}" in fields for kind, field in levels.FIELDS)


def test_what_is_written_did_not_change() -> None:
    """Every field of every command and of the state is written as it was."""
    assert samples.written() == GOLDEN, RULES


@pytest.mark.parametrize("name", sorted(GOLDEN["entries"]))
def test_what_was_written_is_read(name: str) -> None:
    """The golden entries are the samples again."""
    command, stamp = codec.decode_envelope(GOLDEN["entries"][name])
    assert command == samples.sample(samples.kinds()[name])
    assert stamp == samples.sample(c.Stamp)


def test_the_same_log_leads_to_the_same_state() -> None:
    """Also the words of its events: they are replicated, and the audit is chained over them."""
    assert samples.replayed() == json.loads(samples.STATE.read_text()), RULES


def test_samples_leave_no_field_out() -> None:
    """A field at its default would not be written, and so not be watched."""
    for name, kind in samples.kinds().items():
        body = json.loads(GOLDEN["entries"][name])["command"]
        assert list(body) == list(codec._hints(kind))  # type: ignore[arg-type]


def test_a_new_kind_or_field_without_a_level_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail."""
    fewer = {name: level for name, level in GOLDEN["fields"].items() if name != "StopApp.force"}
    assert samples.faults({"fields": fewer}) == [
        "StopApp.force: give it a level in cluster/state/levels.py"]
    monkeypatch.setattr(levels, "FIELDS", {("StopApp", "force"): 2})
    assert not samples.faults({"fields": fewer})
    kinds = {name: 1 for name in levels.KINDS if name != "StopApp"}
    monkeypatch.setattr(levels, "KINDS", kinds)
    assert samples.faults(GOLDEN) == ["StopApp: give it a level in cluster/state/levels.py"]
