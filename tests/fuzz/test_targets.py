"""Every target of the fuzzer: a few hundred inputs a build, and all that was ever found."""

from __future__ import annotations

import base64
import logging
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysyncobj.transport import TCPTransport

from cluster.consensus import transport
from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import _ENTRY, Journal, _frame, _header, _record
from tests.fuzz import charts, journals, specs, wires
from tests.sim.storage import MemoryDisk, Session

TARGETS = {"spec": specs, "chart": charts, "wire": wires, "journal": journals}
EXAMPLES = 200
FOUND: dict[str, tuple[tuple[str, str], ...]] = {
    "journal": (
        ("AQEBA2Fi/////////////////////////////////////2MCAQkDAQEBeA==",
         "a vote that is no text was a UnicodeDecodeError, not a refusal of the file"),
    ),
    "wire": (
        ("AgIDAQAFAQc=", "a refusal without a reason was a KeyError in the Raft thread"),
    ),
}
"""By target: the input that broke it, in Base64, and how."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Damaged journals and refused peers are logged, a line for each."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    """What the fuzzer starts from goes through each target, and there is something of it."""
    assert TARGETS[name].SEEDS
    for seed in TARGETS[name].SEEDS:
        TARGETS[name].one(seed)


@pytest.mark.parametrize(
    ("name", "text"),
    [(name, text) for name, found in FOUND.items() for text, _ in found],
)
def test_what_was_found_stays_mended(name: str, text: str) -> None:
    """Each input that once broke a target is taken or refused as it should be."""
    data = base64.b64decode(text)
    assert data
    TARGETS[name].one(data)


def _examples(one: Callable[[bytes], None], seeds: tuple[bytes, ...]) -> None:
    pieces = st.one_of(
        st.binary(max_size=300),
        st.builds(lambda seed, at, more: seed[:at] + more + seed[at + len(more):],
                  st.sampled_from(seeds), st.integers(0, 200), st.binary(max_size=12)),
    )

    @settings(max_examples=EXAMPLES, database=None, derandomize=True)
    @given(pieces)
    def run(data: bytes) -> None:
        one(data)

    run()


@pytest.mark.parametrize("name", TARGETS)
def test_examples(name: str) -> None:
    """Two hundred inputs, random and mutated seeds, find nothing that escapes a target."""
    assert EXAMPLES == 200
    _examples(TARGETS[name].one, TARGETS[name].SEEDS)


def test_a_payload_that_is_cut_short_is_damage() -> None:
    """A record that promises more bytes than its frame has is refused, not taken shortened."""
    body = _record(_ENTRY, 1, 1, b"payload")
    disk = Session(MemoryDisk(random.Random(0)))
    disk.replace(journals.PATH, _header() + _frame(body))
    assert Journal(disk, journals.PATH)[0] == (b"payload", 1, 1)
    disk.replace(journals.PATH, _header() + _frame(body[:-3]))
    with pytest.raises(ConsensusError, match="is damaged at byte"):
        Journal(disk, journals.PATH)


@pytest.mark.parametrize("length", [2**31 - 1, -1, -(2**31), 0, 17 * 1024])
def test_length_prefixes(length: int) -> None:
    """A stranger's length, of 2 GB or below zero, admits nobody and keeps no more than is sent."""
    listener = wires.Listener(wires.SEALED)
    listener.feed(struct.pack("i", length) + b"x" * 40)
    assert not listener.heard
    assert not listener.transport._admitted


def test_a_replayed_conversation_admits_nobody() -> None:
    """All that a member said, sent again by somebody who only listened, proves nothing."""
    member = wires.Listener(wires.SEALED)
    for message in (b"nonce", wires.MEMBER, wires.PING, {"type": "append_entries", "term": 1}):
        member.say(message)
    assert member.heard == [{"type": "append_entries", "term": 1}]
    thief = wires.Listener(wires.SEALED)
    for data in member.fed:
        thief.feed(data)
    assert thief.heard == []
    assert not thief.transport._admitted


def test_every_field_of_a_ping_is_checked_and_fuzzed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new field without a type here could stop the Raft thread of whoever gets a wrong one."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(TCPTransport, "send", lambda self, node, message: sent.append(message))
    listener = wires.Listener(wires.SEALED)
    for word in (b"nonce", wires.MEMBER):
        listener.say(word)
    (ping,) = sent
    assert set(ping) == set(wires.PING) == {"type", *transport._FIELDS["ping"]}
    for field in transport._FIELDS["ping"]:
        member = wires.Listener(wires.SEALED)
        for message in (b"nonce", wires.MEMBER, {**wires.PING, field: [1]}):
            member.say(message)
        assert not member.transport._admitted, field
