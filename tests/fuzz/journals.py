"""Target `journal`: a journal file of any bytes, and of frames that are sound outside only."""

from __future__ import annotations

import random
from pathlib import Path

from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import _ENTRY, _TERM, Journal, _frame, _header, _record
from tests.fuzz.source import Source
from tests.sim.storage import MemoryDisk, Session

PATH = Path("/data/journal")
RECORDS_MAX = 8

SEEDS: tuple[bytes, ...] = (
    b"\x00" + _header() + _frame(_record(_ENTRY, 1, 1, b"a") + _record(_TERM, 2, 1, b"b:1")),
    b"\x00" + _header(),
    b"\x00" + _header(9),
    b"\x01\x01\x01\x03abc\x02\x01\x00\x03\x01\x01\x01x",
    b"\x02" + _record(_ENTRY, 1, 1, b"payload"),
)


def one(data: bytes) -> None:
    """Raise unless the file is refused with its reason, or means the same when read again."""
    source = Source(data)
    kind = source.number(2)
    if kind == 0:
        file = source.rest()
    elif kind == 1:
        file = _header() + b"".join(_frame(_records(source)) for _ in range(1 + source.number(2)))
        file += source.take(source.number(16))
    else:
        file = _header() + _frame(source.rest())
    disk = MemoryDisk(random.Random(0))
    session = Session(disk)
    session.replace(PATH, file)
    try:
        journal = Journal(session, PATH)
    except ConsensusError:
        return
    known = _told(journal)
    _used(journal)
    expected = _told(journal)
    journal.close()
    again = Journal(session, PATH)
    assert _told(again) == expected, (known, expected, _told(again))
    again.close()


def _records(source: Source) -> bytes:
    body = b""
    for _ in range(1 + source.number(RECORDS_MAX)):
        kind = source.number(5)
        first, second = source.number(9), source.number(3)
        body += _record(kind, first, second, source.take(source.number(12)))
    return body


def _told(journal: Journal) -> tuple[object, ...]:
    return (journal[:], journal.getCurrentTerm(), journal.getVotedForNodeId(),
            journal.getRaftCommitIndex())


def _used(journal: Journal) -> None:
    """As a node does: one more entry, a new term, synced."""
    last = journal[-1][1] if len(journal) else 0
    journal.add(b"more", last + 1, journal.getCurrentTerm())
    journal.setCurrentTerm(journal.getCurrentTerm() + 1, "c1:1")
    journal.sync()
