"""nginx's processes as /proc shows them: which are ours, and how to end them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

PAUSE_S = 0.02


def is_master_of(pid: int, config_file: Path) -> bool:
    """Whether `pid` is an nginx master that runs this very file."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return title.startswith(b"nginx: master process") and str(config_file).encode() in title


def members(group: int) -> list[int]:
    """Pids of the live nginx processes of a process group.

    nginx is started as the leader of its own group, and workers outlive a master that was
    killed: as long as one lives, the kernel gives the group's number to nobody else.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        name, _, rest = stat.partition("(")[2].rpartition(")")
        state, _, process_group = rest.split()[:3]
        if name == "nginx" and state not in "ZX" and int(process_group) == group:
            found.append(int(entry.name))
    return found


def end_group(group: int, *, grace_s: float) -> None:
    """End nginx: SIGQUIT (requests finish), after `grace_s` SIGTERM, after 2 s SIGKILL."""
    for number, wait_s in ((signal.SIGQUIT, grace_s), (signal.SIGTERM, 2.0),
                           (signal.SIGKILL, 2.0)):
        _signal(group, number)
        deadline_s = time.monotonic() + wait_s
        while time.monotonic() < deadline_s:
            if not members(group):
                return
            time.sleep(PAUSE_S)


def quit_group(group: int) -> None:
    """Ask nginx to stop listening at once and to end when its requests are done."""
    _signal(group, signal.SIGQUIT)


def _signal(group: int, number: signal.Signals) -> None:
    pids = members(group)
    # The master passes the signal on to its workers; without one each gets its own.
    for pid in [group] if group in pids and number != signal.SIGKILL else pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
