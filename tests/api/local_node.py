"""One API process over a LocalLog: `python -m tests.api.local_node`, settings as for a node.

`APPS` registers that many applications; `FAIL=reason` makes the controller refuse to start;
`LOOPS` makes applications what they are wanted to be; with `ENGINE=fake` their replicas have
containers, in which commands can be run; `SILENCE` is how many seconds a peer may
be silent within a request.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from api import logs, peers, server
from cluster import config
from cluster.engine.base import RunRequest
from cluster.engine.fake import FakeEngine
from cluster.state.commands import BeginEpoch, RegisterApp, StartApp
from orchestry.spec.parse import canonical
from tests.api.support import Loops, Node, spec


class Refused(Exception):
    """As a controller says that it cannot start."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class LocalNode(Node):
    """A node with running applications."""

    _loops = ExitStack()

    def start(self) -> None:
        if os.environ.get("FAIL"):
            raise Refused(os.environ["FAIL"])
        self.submit(BeginEpoch(self.id, 1500, "c" * 32))
        self.history.start()
        self.announce(self.id, self.settings.api_url)
        for number in range(int(os.environ.get("APPS", "0"))):
            name = f"app-{number}"
            self.submit(RegisterApp(name, canonical(spec(name)), 2))
            self.submit(StartApp(name))
            self.report(name, "healthy", "healthy", container_ids=self._containers(name))

        if os.environ.get("LOOPS"):
            self._loops.enter_context(Loops(self).running())

    def _containers(self, name: str) -> Sequence[str]:
        """With `ENGINE=fake` the replicas have containers there."""
        if os.environ.get("ENGINE") != "fake":
            return ()
        if not isinstance(self.engine, FakeEngine):
            self.engine = FakeEngine(self.clock)
        return [self.engine.run(RunRequest(
            self.log.state().cluster_id, name, slot, 1, 1, "shop:1")).id for slot in (1, 2)]

    def stop(self) -> None:
        self._loops.close()
        self.history.stop()
        marker = os.environ.get("STOPPED")
        if marker:
            Path(marker).write_text("stopped")


def main(argv: Sequence[str] = ()) -> int:
    """Serve until a signal; takes no arguments."""
    assert not argv
    ours = {name: value for name, value in os.environ.items()
            if name.startswith("ORCHESTRY_") or name == "CLUSTER_SECRET"}
    settings = config.load(ours)
    peers.SILENCE_S = int(os.environ.get("SILENCE", peers.SILENCE_S))
    logs.configure(settings.log_level, settings.node_id)
    return server.Server(settings, lambda _: LocalNode(ours)).serve()


if __name__ == "__main__":
    sys.exit(main())
