"""A program in a pseudo-terminal of its own, as a user sits before it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

ROWS = 24


class Terminal:
    """The program, what it showed, and the keyboard."""

    def __init__(
        self, program: Sequence[str], environ: Mapping[str, str], *, columns: int = 80
    ) -> None:
        self.columns = columns
        self.text = ""
        self._at = 0
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
        kept = {name: value for name, value in environ.items() if name not in ("COLUMNS", "LINES")}
        self._process = subprocess.Popen(
            program, stdin=slave, stdout=slave, stderr=slave, env=kept, start_new_session=True)
        os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait(10)
        os.close(self._master)

    def look(self, wait_s: float = 0.1) -> str:
        """All that was shown so far."""
        while select.select([self._master], [], [], wait_s)[0]:
            try:
                piece = os.read(self._master, 65536)
            except OSError:  # the program has gone
                break
            if not piece:
                break
            self.text += piece.decode(errors="replace")
            wait_s = 0.0
        return self.text

    def expect(self, pattern: str, timeout_s: float) -> None:
        """Wait until this is shown, after what was expected before."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            found = re.search(pattern, self.look()[self._at:])
            if found is not None:
                self._at += found.end()
                return
            if time.monotonic() > deadline_s:
                raise AssertionError(f"{pattern!r} was not shown: {self.text[-2000:]!r}")

    def type(self, text: str) -> None:
        """Type."""
        os.write(self._master, text.encode())

    def modes(self) -> list[Any]:
        """How it treats what is typed and shown."""
        return termios.tcgetattr(self._master)

    def until_raw(self, timeout_s: float) -> None:
        """Wait until each key goes to the program as it is."""
        deadline_s = time.monotonic() + timeout_s
        while self.modes()[3] & termios.ICANON:
            if time.monotonic() > deadline_s:
                raise AssertionError(f"it edits lines: {self.look()[-2000:]!r}")
            time.sleep(0.02)

    def resize(self, rows: int, columns: int) -> None:
        """Give it another size, as somebody does who pulls at its window."""
        fcntl.ioctl(
            self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.signal(signal.SIGWINCH)

    def signal(self, number: signal.Signals) -> None:
        """Send the program a signal."""
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.signal(signal.SIGINT)

    def end(self, timeout_s: float) -> int:
        """The exit code, when it has ended."""
        deadline_s = time.monotonic() + timeout_s
        while self._process.poll() is None:
            self.look()
            if time.monotonic() > deadline_s:
                raise AssertionError(f"it has not ended: {self.text[-2000:]!r}")
        self.look()
        return int(self._process.returncode)
