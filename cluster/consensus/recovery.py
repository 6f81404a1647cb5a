"""Recovery: what a journal and a snapshot say together after a crash."""

from __future__ import annotations

from cluster.consensus.errors import ConsensusError
from cluster.consensus.journal import Journal
from cluster.consensus.snapshots import Snapshot

NO_OP = b"\x01"  # PySyncObj's empty entry


def align(journal: Journal, snapshot: Snapshot | None) -> int:
    """Make the journal begin with the snapshot's end; returns the applied index.

    The library empties the journal when a crash fell between the snapshot and the
    compaction, and so loses what was acknowledged after the snapshot.

    Raises:
        ConsensusError: the two do not belong together.
    """
    if snapshot is None:
        if len(journal) == 0:
            journal.add(NO_OP, 1, 0)
        if journal[0][1] != 1:
            raise ConsensusError(
                f"journal {journal.path} begins at entry {journal[0][1]}, but there is no "
                "snapshot beside it; restore the data folder"
            )
        return 1
    previous, last = snapshot.previous, snapshot.last
    if len(journal) > 0:
        position = previous[1] - journal[0][1]
        if position < 0:
            raise ConsensusError(
                f"the snapshot beside journal {journal.path} ends at entry {last[1]}, before "
                f"the journal begins at {journal[0][1]}; restore the data folder"
            )
        if [entry[1:] for entry in journal[position : position + 2]] == [previous[1:], last[1:]]:
            journal.deleteEntriesTo(position)
            journal.setRaftCommitIndex(max(journal.getRaftCommitIndex(), last[1]))
            return last[1]
    journal.clear()
    journal.add(*previous)
    journal.add(*last)
    journal.setRaftCommitIndex(last[1])
    return last[1]
