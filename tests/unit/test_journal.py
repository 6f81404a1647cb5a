"""The journal: what was synced is there again; damage is told from an unfinished write."""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.consensus.disk import OsDisk
from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import Entry, Journal, _header
from tests.sim.storage import MemoryDisk, PowerCut, Session

DISK = OsDisk()


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    """A journal that is given back without a last sync, as in a crash."""
    journal = Journal(DISK, path)
    try:
        yield journal
    finally:
        journal.close()


def entries(journal: Journal) -> list[Entry]:
    """All of them."""
    return list(journal[:])


def fill(path: Path, count: int = 3) -> list[Entry]:
    """A journal of `count` entries, each in a frame of its own."""
    with opened(path) as journal:
        for index in range(1, count + 1):
            journal.add(b"\x00entry-%d" % index, index, 1)
            journal.sync()
        return entries(journal)


def test_what_was_synced_is_there_again(tmp_path: Path) -> None:
    """Entries with any bytes, cuts, term, vote and commit index come back."""
    path = tmp_path / "journal"
    with opened(path) as journal:
        for index in range(1, 6):
            journal.add(bytes(range(256)), index, 1)
        journal.deleteEntriesFrom(3)
        journal.add(b"", 4, 2)
        journal.setCurrentTerm(3, "10.0.0.1:7000")
        journal.setRaftCommitIndex(4)
        journal.sync()
        written = entries(journal)
    with opened(path) as journal:
        assert entries(journal) == written
        assert [entry[1:] for entry in written] == [(1, 1), (2, 1), (3, 1), (4, 2)]
        assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (3, "10.0.0.1:7000")
        assert journal.getRaftCommitIndex() == 4
        journal.setCurrentTerm(4, None)
        journal.clear()
        journal.add(b"later", 90, 4)
        journal.sync()
    with opened(path) as journal:
        assert entries(journal) == [(b"later", 90, 4)]
        assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (4, None)


def test_what_was_not_synced_is_gone(tmp_path: Path) -> None:
    """Nothing reaches the file before `sync`, so nothing half-promised comes back."""
    path = tmp_path / "journal"
    written = fill(path)
    with opened(path) as journal:
        journal.add(b"unsynced", 4, 1)
        journal.setCurrentTerm(9, "10.0.0.1:7000")
    with opened(path) as journal:
        assert entries(journal) == written
        assert journal.getCurrentTerm() == 0


def test_an_idle_node_notes_its_commit_index(tmp_path: Path) -> None:
    """The one-second timer keeps a commit index that no write has carried along."""
    path = tmp_path / "journal"
    fill(path)
    with opened(path) as journal:
        journal.setRaftCommitIndex(3)
        journal.onOneSecondTimer()
        journal.sync()
    with opened(path) as journal:
        assert journal.getRaftCommitIndex() == 3


def test_a_tail_torn_at_any_byte_is_cut(tmp_path: Path) -> None:
    """Wherever a crash cut the last frame, the ones before it stay and writing goes on."""
    path = tmp_path / "journal"
    written = fill(path, 2)
    kept_bytes = path.stat().st_size
    fill_third = b"\x00the third entry"
    with opened(path) as journal:
        journal.add(fill_third, 3, 1)
        journal.sync()
    whole = path.read_bytes()
    for cut in range(kept_bytes, len(whole)):
        path.write_bytes(whole[:cut])
        with opened(path) as journal:
            assert entries(journal) == written, f"cut at byte {cut}"
            assert path.stat().st_size == kept_bytes
            journal.add(b"after", 3, 2)
            journal.sync()
        with opened(path) as journal:
            assert entries(journal) == [*written, (b"after", 3, 2)], f"cut at byte {cut}"


@pytest.mark.parametrize("tail", [b"\0" * 100, b"\xff" * 100, b"\xf1OJF", b"\xf1OJF" + b"\0" * 60])
def test_a_tail_that_was_never_written_is_cut(tmp_path: Path, tail: bytes) -> None:
    """A file that grew before its data arrived ends in zeros or in old bytes of the disk."""
    path = tmp_path / "journal"
    written = fill(path)
    path.write_bytes(path.read_bytes() + tail)
    with opened(path) as journal:
        assert entries(journal) == written


def test_damage_before_the_last_frame_is_refused(tmp_path: Path) -> None:
    """A changed bit anywhere before a good frame is named with file, place and remedy."""
    path = tmp_path / "journal"
    fill(path, 2)
    first_bytes = path.stat().st_size
    with opened(path) as journal:
        journal.add(b"good", 3, 1)
        journal.sync()
    whole = path.read_bytes()
    for position in range(first_bytes):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(ConsensusError) as refused:
            Journal(DISK, path)
        assert str(path) in refused.value.reason
        assert path.read_bytes() == damaged, "a refused file must stay as it is"
    assert "damaged at byte" in refused.value.reason
    assert "move this controller's data folder away" in refused.value.reason


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\0" * 100, b"orchestry"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file that is no journal is neither read nor overwritten."""
    path = tmp_path / "journal"
    path.write_bytes(content)
    with pytest.raises(ConsensusError, match="not a journal of Orchestry; set ORCHESTRY_DATA_DIR"):
        Journal(DISK, path)
    assert path.read_bytes() == content


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    """A journal of a later version asks for that version instead of being misread."""
    path = tmp_path / "journal"
    path.write_bytes(_header(2))
    with pytest.raises(ConsensusError, match="has format 2, this version reads 1; start a version"):
        Journal(DISK, path)


def test_compaction_drops_the_beginning_only(tmp_path: Path) -> None:
    """What was pending, the term and the commit index survive a rewrite of the file."""
    path = tmp_path / "journal"
    fill(path, 50)
    before_bytes = path.stat().st_size
    with opened(path) as journal:
        journal.setCurrentTerm(7, "10.0.0.1:7000")
        journal.setRaftCommitIndex(49)
        journal.add(b"pending", 51, 7)
        journal.deleteEntriesTo(47)
        journal.add(b"later", 52, 7)
        journal.sync()
        kept = entries(journal)
    assert [entry[1] for entry in kept] == [48, 49, 50, 51, 52]
    assert path.stat().st_size < before_bytes / 2
    with opened(path) as journal:
        assert entries(journal) == kept
        assert (journal.getCurrentTerm(), journal.getVotedForNodeId()) == (7, "10.0.0.1:7000")
        assert journal.getRaftCommitIndex() == 49


def test_an_unfinished_compaction_leaves_the_old_file(tmp_path: Path) -> None:
    """A crash before the rename leaves a half-written new file, which nobody reads."""
    path = tmp_path / "journal"
    written = fill(path, 5)
    path.with_name("journal.new").write_bytes(path.read_bytes()[:30])
    with opened(path) as journal:
        assert entries(journal) == written
        journal.deleteEntriesTo(3)
        journal.sync()
    with opened(path) as journal:
        assert entries(journal) == written[3:]


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_at_any_step_of_a_compaction_loses_nothing_synced(seed: int) -> None:
    """Whichever disk operation is the last, each entry that a sync confirmed is there again."""
    path = Path("/sim/journal")
    for operations in range(12):
        disk = MemoryDisk(random.Random(seed))
        journal = Journal(Session(disk), path)
        for index in range(1, 6):
            journal.add(b"x%d" % index, index, 1)
        journal.sync()
        disk.operations_left, confirmed, compacted = operations, 5, False
        try:
            journal.add(b"x6", 6, 1)
            journal.deleteEntriesTo(3)
            compacted = True
            journal.sync()
            confirmed = 6
            journal.add(b"x7", 7, 1)
            journal.sync()
            confirmed = 7
        except PowerCut:
            pass
        disk.crash()
        found = [entry[1] for entry in entries(Journal(Session(disk), path))]
        assert found[0] in ((1, 4) if compacted else (1,))
        assert found == list(range(found[0], found[-1] + 1))
        assert found[-1] >= confirmed


def test_a_full_disk_leaves_a_whole_file_and_a_second_try_succeeds() -> None:
    """The part that fitted is taken back; the same records go out once there is room."""
    path = Path("/sim/journal")
    disk = MemoryDisk(random.Random(1))
    journal = Journal(Session(disk), path)
    journal.add(b"before", 1, 1)
    journal.sync()
    size_bytes = len(disk.names[path].data)
    disk.full = True
    journal.add(b"while full" * 100, 2, 1)
    for _ in range(3):
        with pytest.raises(OSError, match="No space left") as refused:
            journal.sync()
        assert refused.value.errno == errno.ENOSPC
        assert len(disk.names[path].data) == size_bytes
    journal.deleteEntriesTo(1)  # a compaction that fails too, and is made up for later
    disk.full = False
    journal.sync()
    journal.onOneSecondTimer()
    journal.sync()
    disk.crash()
    assert entries(Journal(Session(disk), path)) == [(b"while full" * 100, 2, 1)]


def test_a_failed_sync_writes_the_records_again() -> None:
    """After a failed sync the kernel may call lost pages clean, so they are written anew."""
    path = Path("/sim/journal")
    disk = MemoryDisk(random.Random(1))
    journal = Journal(Session(disk), path)
    journal.add(b"entry", 1, 1)
    file = journal._current_file()
    honest = file.sync

    def fail() -> None:
        raise OSError(errno.EIO, "Input/output error")

    file.sync = fail  # type: ignore[method-assign]
    with pytest.raises(OSError, match="Input/output error"):
        journal.sync()
    file.sync = honest  # type: ignore[method-assign]
    journal.sync()
    disk.crash()
    assert entries(Journal(Session(disk), path)) == [(b"entry", 1, 1)]
