"""DataDir: the folder that makes a controller who it is."""

from __future__ import annotations

import json
import logging
import uuid
from pathlib import Path

from cluster.consensus.disk import Disk
from cluster.consensus.errors import ConsensusError
from cluster.state import levels

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1


class DataDir:
    """One node's folder: `node.json`, the journal and the snapshot, under an exclusive lock.

    `incarnation` is made with the folder, so that an emptied one is told from the old. `level`
    is the highest that its cluster was seen at.
    """

    def __init__(self, disk: Disk, folder: Path, controller_id: str) -> None:
        """Claim the folder, and make it this node's if it is new.

        Raises:
            ConsensusError: it belongs to another node, is in use, or cannot be used.
        """
        self._disk = disk
        self.folder = folder
        self.node_id = controller_id
        self.cluster_id = ""
        self.level = levels.FIRST
        self.incarnation = uuid.uuid4().hex
        self._file = folder / "node.json"
        self._lock = disk.claim(folder)
        try:
            self._read()
        except BaseException:
            self._lock.close()
            raise

    @property
    def journal(self) -> Path:
        return self.folder / "journal"

    @property
    def snapshot(self) -> Path:
        return self.folder / "snapshot"

    def close(self) -> None:
        """Let another process use the folder."""
        self._lock.close()

    def record(self, cluster_id: str, level: int) -> None:
        """Remember the cluster that this node belongs to, and the level that it has reached.

        Raises:
            ConsensusError: it belonged to another one.
            OSError: not written; try again later.
        """
        if (cluster_id, level) == (self.cluster_id, self.level):
            return
        if self.cluster_id not in ("", cluster_id):
            raise ConsensusError(
                f"data folder {self.folder} belongs to cluster {self.cluster_id}, not to "
                f"{cluster_id}; set ORCHESTRY_DATA_DIR to another folder, or correct "
                "CLUSTER_PEERS"
            )
        self._write(cluster_id, level)
        self.cluster_id, self.level = cluster_id, level

    def _read(self) -> None:
        try:
            data = self._disk.read(self._file)
            if data is None:
                self._write("", self.level)
                return
        except OSError as error:
            raise ConsensusError(
                f"{self._file}: {error.strerror}; correct the owner, the mode or the free "
                "space of the data folder, or set ORCHESTRY_DATA_DIR to another one"
            ) from error
        try:
            node = json.loads(data)
            version, owner, cluster_id = node["format"], node["node_id"], node["cluster_id"]
            level = int(node.get("level", levels.FIRST))
        except (ValueError, KeyError, TypeError) as error:
            raise ConsensusError(
                f"{self._file} is damaged ({error}); restore the data folder, or set "
                "ORCHESTRY_DATA_DIR to another one"
            ) from error
        if version != FORMAT_VERSION:
            raise ConsensusError(
                f"{self._file} has format {version}, this version reads {FORMAT_VERSION}; "
                "start a version of Orchestry that is as new as the one that wrote it"
            )
        if owner != self.node_id:
            raise ConsensusError(
                f"data folder {self.folder} belongs to node {owner!r}, not to {self.node_id!r}; "
                "set CONTROLLER_NODE_ID or ORCHESTRY_DATA_DIR to the ones that go together"
            )
        self.cluster_id = cluster_id
        self.level = level
        above = levels.too_high(level)
        if above:
            raise ConsensusError(f"data folder {self.folder}: {above}; nothing was changed")
        known = node.get("incarnation")
        if known:
            self.incarnation = str(known)
        else:
            self._write(cluster_id, self.level)

    def _write(self, cluster_id: str, level: int) -> None:
        node = {
            "format": FORMAT_VERSION, "node_id": self.node_id, "cluster_id": cluster_id,
            "incarnation": self.incarnation, "level": level,
        }
        self._disk.replace(self._file, json.dumps(node).encode())
        self._disk.settle(self.folder)
