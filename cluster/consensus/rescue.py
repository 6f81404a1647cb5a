"""Rescue: one controller goes on alone after the disks of most others are lost.

Everything in its journal is kept, also what it does not know to be committed: the lost ones
may have acknowledged it. One entry more makes it the only member, in one write; the cluster,
and so its containers, stay the same.

Source: docs/adr/0011-backup-and-rescue.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.consensus.applier import Applier
from cluster.consensus.data_dir import DataDir
from cluster.consensus.disk import OsDisk
from cluster.consensus.errors import ConsensusError, Halted
from cluster.consensus.journal import Journal
from cluster.consensus.membership import MEMBERS_KIND, Configuration, Configurations
from cluster.consensus.recovery import align
from cluster.consensus.snapshots import Snapshots
from cluster.state.codec import encode_envelope
from cluster.state.commands import ChangeMembers, Stamp
from cluster.state.model import ClusterState

BACKUP_SUFFIX = ".before-recovery"


@dataclass(frozen=True, slots=True)
class Known:
    """What one data folder knows; indexes are of the log."""

    node_id: str
    cluster_id: str
    address: str
    members: Mapping[str, str]
    term: int
    snapshot_index: int
    commit_index: int
    last_index: int
    state: ClusterState

    @property
    def alone(self) -> bool:
        """This node is the only member already."""
        return set(self.members) == {self.node_id}


class Rescue:
    """A stopped controller's folder, locked until `close`."""

    def __init__(self, folder: Path) -> None:
        """Read everything.

        Raises:
            ConsensusError: no such folder, in use, or damaged.
        """
        self._disk = disk = OsDisk("fsync")
        self._data_dir = DataDir(disk, folder, _owner(folder))
        try:
            snapshots = Snapshots(disk, self._data_dir.snapshot, lambda: 0.0)
            self._journal = Journal(disk, self._data_dir.journal)
            snapshot = snapshots.load()
            applied = align(self._journal, snapshot)
            self.known = self._read(snapshot.state if snapshot else ClusterState(), applied)
        except Halted as error:
            self._data_dir.close()
            raise ConsensusError(str(error)) from error
        except BaseException:
            self._data_dir.close()
            raise

    def _read(self, state: ClusterState, applied: int) -> Known:
        journal, applier = self._journal, Applier()
        configurations = Configurations(Configuration.of(state, {}))
        configurations.read(journal[:])
        applier.install(state, applied)
        for command, index, _ in journal[:]:
            if index > applied:
                applier.commit(command, index)
        latest, node = configurations.latest, self._data_dir.node_id
        if node not in latest.addresses:
            raise ConsensusError(
                f"controller {node} is no member according to its own log; recover with the "
                "folder of a controller that is one")
        return Known(
            node, self._data_dir.cluster_id, latest.addresses[node], latest.addresses,
            journal.getCurrentTerm(), applied if applied > 1 else 0,
            journal.getRaftCommitIndex(), journal[-1][1], applier.state,
        )

    def go_alone(self, at_ms: int) -> None:
        """Make this node the only member; a repeat changes nothing.

        Raises:
            OSError: not written; the folder is as it was.
        """
        known, journal = self.known, self._journal
        if known.alone:
            return
        self._keep(journal.path)
        command = ChangeMembers(
            known.state.members_index, ((known.node_id, known.address),), rescue=True)
        stamp = Stamp(at_ms, known.node_id)
        entry = MEMBERS_KIND + encode_envelope(command, stamp).encode()
        term = max(journal.getCurrentTerm(), journal[-1][2]) + 1
        journal.add(entry, known.last_index + 1, term)
        journal.setCurrentTerm(term, None)
        journal.setRaftCommitIndex(known.last_index + 1)
        journal.sync()

    def _keep(self, path: Path) -> None:
        """A whole copy of the journal beside it; the first one stays, as the oldest truth."""
        kept = path.with_name(path.name + BACKUP_SUFFIX)
        if not kept.exists():
            self._disk.replace(kept, path.read_bytes())
            self._disk.settle(path.parent)

    def close(self) -> None:
        """Let the controller have its folder."""
        self._journal.close()
        self._data_dir.close()


def _owner(folder: Path) -> str:
    try:
        node: dict[str, Any] = json.loads((folder / "node.json").read_bytes())
        return str(node["node_id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConsensusError(
            f"{folder} is no data folder of a controller ({error!r:.100}); give the folder that "
            "ORCHESTRY_DATA_DIR names") from error
