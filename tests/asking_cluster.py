"""A live cluster that asks for tokens."""

from __future__ import annotations

from pathlib import Path

from cluster.control.bootstrap import FILE
from tests.live import LiveCluster, call

SECRET = "a secret of these tests"


class AskingCluster(LiveCluster):
    """Controllers that ask for tokens; `headers` is the first one, once there is one."""

    def files(self) -> list[Path]:
        """Where first tokens are kept."""
        return sorted(self.folder.glob(f"*/{FILE}"))

    def acting(self) -> bool:
        """True once a leader acts and the first token is good."""
        for file in self.files():
            self.headers = {"Authorization": f"Bearer {file.read_text().strip()}"}
        return bool(self.headers) and super().acting()

    def status_of(self, node: str, path: str, token: str) -> int:
        """What a controller answers to a read with this token."""
        return call("GET", self.url(node, path), headers={"Authorization": f"Bearer {token}"})[0]
