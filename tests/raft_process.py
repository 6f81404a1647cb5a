"""A Raft node as a process of its own, driven over its standard input and output.

As a program, it takes its settings as one JSON argument and answers lines with lines:

    load PREFIX THREADS    write apps until killed; prints "ack NAME INDEX" for each
    write NAME             -> "ack NAME INDEX" or "failed CODE"
    status                 -> the status and the state, as JSON
    begin CLUSTER          take the lease, which gives a new cluster its id

The end of its input makes it leave the cluster.
"""

from __future__ import annotations

import itertools
import json
import logging
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster.consensus.syncobj_log import ConsensusError, RaftConfig, SyncObjLog
from cluster.state.codec import encode_snapshot
from cluster.state.commands import BeginEpoch, RegisterApp, Stamp
from orchestry.errors import OrchestryError
from tests.live import until

ANSWER_S = 60.0
AGREED_S = 60.0
WRITE_S = 10.0
ROOT = Path(__file__).parent.parent


class RaftProcess:
    """The parent's side; `acknowledged` holds all that the process said was written."""

    def __init__(
        self, name: str, addresses: Mapping[str, str], folder: Path, **settings: Any
    ) -> None:
        self.name = name
        self.folder = folder / name
        self._errors = folder / f"{name}.log"
        self._settings = {
            "controller_id": name, "addresses": dict(addresses), "data_dir": str(self.folder),
            **settings,
        }
        self.acknowledged: list[str] = []
        self._answers: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Boot; returns at once."""
        self._errors.parent.mkdir(exist_ok=True)
        with self._errors.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, json.dumps(self._settings)], cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True)
        self._answers = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.start()

    def _read(self, lines: Any) -> None:
        for line in lines:
            kind, _, rest = line.rstrip("\n").partition(" ")
            if kind == "ack":
                self.acknowledged.append(rest.split()[0])
            self._answers.put(line.rstrip("\n"))

    def kill(self) -> None:
        """SIGKILL, and take in what it had said."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait(ANSWER_S)
        if self._reader is not None:
            self._reader.join(ANSWER_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def tell(self, line: str) -> None:
        """Send a line that has no answer."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def write(self, app: str) -> bool:
        """Register an app; True when it was acknowledged."""
        self._drain()
        self.tell(f"write {app}")
        return self._answers.get(timeout=ANSWER_S).startswith("ack ")

    def status(self) -> dict[str, Any]:
        """What the process says about itself."""
        self._drain()
        self.tell("status")
        while True:
            line = self._answers.get(timeout=ANSWER_S)
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer

    def _drain(self) -> None:
        while not self._answers.empty():
            self._answers.get_nowait()

    def exit_reason(self) -> str:
        """Why it refused to run; waits for its end."""
        assert self._process is not None
        assert self._process.wait(ANSWER_S) == 1
        return self._answers.get(timeout=ANSWER_S)

    def logged(self) -> str:
        """All that it has logged."""
        return self._errors.read_text()


def same_state(nodes: list[RaftProcess]) -> dict[str, Any] | None:
    """The state when all nodes agree on it and on a leader, else None."""
    found = [node.status() for node in nodes]
    if found[0]["leader"] is None or any(
        (one["leader"], one["state"]) != (found[0]["leader"], found[0]["state"]) for one in found
    ):
        return None
    state: dict[str, Any] = json.loads(found[0]["state"])["state"]
    state.setdefault("apps", {})  # what is empty is not written
    return state


def await_same_state(nodes: list[RaftProcess], timeout_s: float = AGREED_S) -> dict[str, Any]:
    """The state that all nodes come to agree on."""
    state: dict[str, Any] = until(
        "all have one leader and one state", lambda: same_state(nodes), timeout_s)
    return state


def await_leader(nodes: list[RaftProcess], timeout_s: float = AGREED_S) -> RaftProcess:
    """The node that leads."""
    leader: RaftProcess = until("one leads", lambda: next(
        (node for node in nodes if node.status()["role"] == "leader"), None), timeout_s)
    return leader


# The process itself

_lock = threading.Lock()


def _say(line: str) -> None:
    """One whole line: `print` writes its end on its own, and another thread's words between."""
    with _lock:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _write(log: SyncObjLog, app: str) -> None:
    try:
        applied = log.submit(RegisterApp(app, "{}", 1), Stamp(1, "test")).wait(WRITE_S)
    except OrchestryError as error:
        _say(f"failed {error.code.name}")
    else:
        # It may be there already by an attempt whose outcome was unknown.
        assert applied.rejected is None or app in log.state().apps
        _say(f"ack {app} {applied.index}")


def _load(log: SyncObjLog, prefix: str, threads: int) -> None:
    def run(thread: int) -> None:
        for number in itertools.count():
            _write(log, f"{prefix}-{thread}-{number}")

    for thread in range(threads):
        threading.Thread(target=run, args=(thread,), daemon=True).start()


def _status(log: SyncObjLog) -> None:
    status = log.status()
    _say(json.dumps({
        "role": status.role, "leader": status.leader_id, "term": status.term,
        "applied": status.applied_index, "fault": status.fault,
        "refused": {name: peer.refused for name, peer in status.peers.items()},
        "state": encode_snapshot(log.state()),
    }))


def main() -> int:
    """Run until the input ends."""
    logging.basicConfig(level=logging.INFO)
    settings = json.loads(sys.argv[1])
    settings["data_dir"] = Path(settings["data_dir"])
    log = SyncObjLog(RaftConfig(**settings))
    try:
        log.start()
    except ConsensusError as error:
        print(error.reason, flush=True)
        return 1
    for line in sys.stdin:
        command, *words = line.split()
        if command == "load":
            _load(log, words[0], int(words[1]))
        elif command == "write":
            _write(log, words[0])
        elif command == "begin":
            log.submit(BeginEpoch("test", 3000, words[0]), Stamp(1, "test")).wait(WRITE_S)
        elif command == "status":
            _status(log)
    log.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
