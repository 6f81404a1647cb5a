"""Other versions of Orchestry, made from this tree, and clusters that run several at once."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.live import LiveCluster, call, until

ROOT = Path(__file__).parent.parent
STOP_S = 60.0

OLDER, NEWER = "1.0.0", "1.9.0"
_VERSION = ("orchestry/__init__.py", r'__version__ = "[^"]+"')
_LEVELS = "cluster/state/levels.py"
_SPEC_LEVELS = "cluster/state/spec_levels.py"
LATE_KEY = "deploy.autoRollback"


def _copy(folder: Path, changes: Mapping[tuple[str, str], str]) -> Path:
    """The packages of this tree, with each pattern of a file replaced once."""
    for package in ("api", "cluster", "orchestry"):
        shutil.copytree(ROOT / package, folder / package,
                        ignore=shutil.ignore_patterns("__pycache__"))
    for (name, pattern), replacement in changes.items():
        file = folder / name
        text, count = re.subn(pattern, replacement, file.read_text(), flags=re.MULTILINE)
        assert count == 1, f"{pattern!r} is {count} times in {name}"
        file.write_text(text)
    return folder


def older(folder: Path) -> Path:
    """The version before `SetConfig` and LATE_KEY: without command, route and key."""
    return _copy(folder, {
        _VERSION: f'__version__ = "{OLDER}"',
        ("cluster/state/commands.py", r"\| SetConfig (?=\|)"): "",
        ("cluster/state/machine.py", r"^ +c\.SetConfig: .*\n"): "",
        (_LEVELS, r'^ +"SetConfig": .*\n'): "",
        ("api/routes/config.py", r'^@blueprint\.put\("".*\n'): "",
        (_SPEC_LEVELS, rf" {LATE_KEY}\b"): "",
        ("orchestry/spec/tables.py", r'^ +Key\("autoRollback", .*\n'): "",
    })


def newer(folder: Path) -> Path:
    """The version that brought them: this tree at the next level."""
    level = int(re.findall(r"^LEVEL = (\d+)$", (ROOT / _LEVELS).read_text(), re.MULTILINE)[0])
    return _copy(folder, {
        _VERSION: f'__version__ = "{NEWER}"',
        (_LEVELS, r"^LEVEL = \d+$"): f"LEVEL = {level + 1}",
        (_LEVELS, r'(?<="SetConfig": )\w+'): "LEVEL",
        (_SPEC_LEVELS, r"^ +\*\*dict\.fromkeys\(.*\n"):
            rf'\g<0>    "{LATE_KEY}": {level + 1},\n',
    })


class MixedCluster(LiveCluster):
    """Controllers, each of which runs what is in the folder `build[node]`."""

    def __init__(self, folder: Path, build: Path, size: int = 3) -> None:
        super().__init__(folder, size=size, engine="fake", ingress=False)
        self.build = dict.fromkeys(self.ids, build)

    def boot(self, node: str) -> None:
        """Start a controller of its build: what lies in the working directory is imported."""
        with (self.folder / f"{node}.log").open("ab") as log:
            self.processes[node] = subprocess.Popen(
                [sys.executable, "-m", "api.node"], env=self.variables(node), stdout=log,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True,
                cwd=self.build[node],
            )

    def stop(self, node: str) -> int:
        """SIGTERM, as systemd and Docker send it; the exit code."""
        process = self.processes.pop(node)
        process.send_signal(signal.SIGTERM)
        return process.wait(STOP_S)

    def replace(self, node: str, build: Path) -> None:
        """Stop a controller, start another version of it, and wait until it serves."""
        assert self.stop(node) == 0, self.log(node)[-3000:]
        self.build[node] = build
        self.boot(node)
        until(f"{node} is ready", lambda: call("GET", self.url(node, "/readyz"))[0] == 200, 60)

    def members(self, node: str) -> dict[str, Any]:
        """What one controller says of all."""
        body: dict[str, Any] = call("GET", self.url(node, "/cluster/members"))[1]
        return body

    def versions(self) -> dict[str, str | None]:
        """What each has announced, by the word of the first that answers."""
        rows = self.members(self.alive()[0])["members"]
        return {row["node_id"]: row["version"] for row in rows}

    def levels(self) -> set[int]:
        """The level of the cluster, as each controller knows it."""
        return {self.members(node)["level"] for node in self.alive()}

    def refuses(self, node: str, old: Path, level: int) -> None:
        """A stopped controller cannot start as an older version, which leaves its folder alone."""
        kept = _files(self.folder / node)
        self.build[node] = old
        self.boot(node)
        assert self.processes.pop(node).wait(60) == 1
        assert f"reached level {level}, this version understands only" in self.log(node)
        assert _files(self.folder / node) == kept


def _files(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in folder.iterdir() if path.is_file()}
