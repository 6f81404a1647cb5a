"""Child processes of `orchestry dev`: start, log, restart and stop them."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

RESTART_FIRST_S = 2.0
RESTART_MAX_S = 30.0
STEADY_AFTER_S = 60.0
LOG_BYTES_MAX = 10 * 1024**2
LOG_FILES_MAX = 3
LINE_BYTES_MAX = 16 * 1024
STOP_TIMEOUT_S = 20.0
KILL_TIMEOUT_S = 5.0
POLL_S = 0.05

_COLOURS = (36, 33, 35, 32, 34, 31)
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and under which name its lines appear."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]


def restart_delay_s(quick_ends: int) -> float:
    """Seconds to wait before the next start: 2 s, doubling to 30 s."""
    return float(min(RESTART_FIRST_S * 2 ** min(max(quick_ends - 1, 0), 10), RESTART_MAX_S))


class Console:
    """Lines of all children on one terminal, each under the name of its child."""

    def __init__(self, stream: IO[str], *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._lock = threading.Lock()
        self._colours: dict[str, int] = {}

    def show(self, name: str, text: str) -> None:
        """Print text; a closed terminal ends the printing, never the cluster."""
        with self._lock:
            number = self._colours.setdefault(name, _COLOURS[len(self._colours) % len(_COLOURS)])
            head = f"{name:<12}"
            if self._colour:
                head = f"\x1b[{number}m{head}\x1b[0m"
            with contextlib.suppress(OSError, ValueError):
                self._stream.writelines(f"{head} {line}\n" for line in text.split("\n"))
                self._stream.flush()


def readable(line: str) -> str:
    """A structured log line as people read it; any other line as it is."""
    if not line.startswith("{"):
        return line
    try:
        record: dict[str, Any] = json.loads(line)
        time_of_day = str(record.pop("timestamp"))[11:19]
        level, event = record.pop("level"), record.pop("event")
    except (ValueError, KeyError, RecursionError):
        return line
    for known in ("node", "logger"):
        record.pop(known, None)
    rest = " ".join(f"{key}={value}" for key, value in record.items())
    return f"{time_of_day} {level:<7} {event} {rest}".rstrip()


def end_with_parent() -> None:
    """In the child, before its program starts: SIGTERM when `orchestry dev` is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def started_at(pid: int) -> str:
    """What tells a process from a later one with the same number; "" when it is gone.

    Source: proc(5), field 22 of /proc/PID/stat, counted after the name in parentheses.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = text.rpartition(")")[2].split()
    return "" if state == "Z" else fields[18]


class Child:
    """One supervised process, the leader of its own process group.

    A group of its own keeps the terminal's Ctrl-C away from it, so that children stop in
    order. Thread: `start` and `poll` from one thread only, since SIGTERM at the end of
    the parent is tied to the thread that started the child.
    """

    def __init__(self, program: Program, folder: Path, console: Console) -> None:
        self.program = program
        self.pid_file = folder / "pids" / f"{program.name}.pid"
        self.log_file = folder / "logs" / f"{program.name}.log"
        self._console = console
        self._process: subprocess.Popen[bytes] | None = None
        self._pump: threading.Thread | None = None
        self._started_s = 0.0
        self._restart_s: float | None = None
        self._quick_ends = 0

    def start(self) -> None:
        """Start the program; its output goes to the console and to the log file."""
        process = subprocess.Popen(
            self.program.arguments, env=dict(self.program.environment),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - one call into libc, no Python locks
        )
        self._process, self._started_s, self._restart_s = process, time.monotonic(), None
        with contextlib.suppress(OSError):  # a full disk is no reason not to run
            self.pid_file.write_text(f"{process.pid} {started_at(process.pid)}\n")
        self._pump = threading.Thread(
            target=self._copy_output, args=(process,), name=f"log-{self.program.name}", daemon=True)
        self._pump.start()

    def _copy_output(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        handler = RotatingFileHandler(
            self.log_file, maxBytes=LOG_BYTES_MAX, backupCount=LOG_FILES_MAX - 1,
            encoding="utf-8", delay=True)
        with process.stdout as output, contextlib.closing(handler):
            while raw := output.readline(LINE_BYTES_MAX):
                line = raw.decode("utf-8", "replace").rstrip("\r\n")
                handler.emit(logging.makeLogRecord({"msg": line}))
                self._console.show(self.program.name, readable(line))

    def running(self) -> bool:
        """True from the start to the end of the process."""
        return self._process is not None and self._process.poll() is None

    def exit_code(self) -> int | None:
        """The exit code of a process that ended, else None."""
        return None if self._process is None else self._process.poll()

    def keep_running(self) -> None:
        """Start it again some time after it ended; call this often."""
        now_s = time.monotonic()
        if self._restart_s is not None:
            if now_s >= self._restart_s:
                self.start()
            return
        code = self.exit_code()
        if code is None:
            return
        self.reap()
        steady = now_s - self._started_s >= STEADY_AFTER_S
        self._quick_ends = 1 if steady else self._quick_ends + 1
        delay_s = restart_delay_s(self._quick_ends)
        self._restart_s = now_s + delay_s
        self._console.show(
            self.program.name, f"{ending(code)}; starting it again in {delay_s:.0f} s")

    def reap(self) -> None:
        """Kill what is left of the group of a process that ended, and close its log."""
        if self._process is not None:
            kill_group(self._process.pid)
            self._process.wait()
            self._process = None  # its number may soon be another's
        if self._pump is not None:
            self._pump.join(KILL_TIMEOUT_S)
        self.pid_file.unlink(missing_ok=True)

    def terminate(self) -> None:
        """Ask the process to stop."""
        self._restart_s = None
        if self._process is not None and self.running():
            self._process.terminate()


def ending(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def kill_group(pid: int) -> None:
    """SIGKILL for a whole process group; already gone is a success."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def stop(children: Iterable[Child], hurry: Callable[[], bool]) -> None:
    """Stop all at the same time: SIGTERM, a deadline, SIGKILL; `hurry` ends the waiting."""
    pending = list(children)
    for child in pending:
        child.terminate()
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while any(child.running() for child in pending):
        if hurry() or time.monotonic() > deadline_s:
            break
        time.sleep(POLL_S)
    for child in pending:
        child.reap()


def stop_leftovers(folder: Path) -> list[str]:
    """Stop processes of an earlier `orchestry dev` on this folder that was killed.

    Only a process whose number and start time are both in a pid file is touched.
    Returns the names of those that still ran.
    """
    left: dict[str, tuple[int, str]] = {}
    for pid_file in sorted((folder / "pids").glob("*.pid")):
        words = pid_file.read_text().split()
        if len(words) == 2 and words[0].isdigit() and started_at(int(words[0])) == words[1]:
            left[pid_file.stem] = (int(words[0]), words[1])
    for pid, _ in left.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    waiting = dict(left)
    while waiting and time.monotonic() < deadline_s:
        waiting = {name: who for name, who in waiting.items() if started_at(who[0]) == who[1]}
        time.sleep(POLL_S)
    for pid, _ in waiting.values():
        kill_group(pid)
    for pid_file in (folder / "pids").glob("*.pid"):
        pid_file.unlink(missing_ok=True)
    return sorted(left)
