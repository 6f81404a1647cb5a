"""Bootstrap: the first admin token of a cluster that asks for tokens.

The token is on the leader's disk before the log knows its hash, so that none is lost unseen; the
command carries the leader's epoch and is refused when anybody has an admin token, so that there
is one whatever leaders do. Source: docs/adr/0020-tokens-in-the-state.md.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from cluster.clock import Clock
from cluster.config import Settings
from cluster.consensus.lease import Lease
from cluster.live.tokens import new_id, new_token, token_hash
from cluster.state.commands import Command, CreateToken, Stamp
from cluster.state.model import Applied, ClusterState, Token
from cluster.state.tokens import has_admin
from orchestry.errors import OrchestryError

logger = logging.getLogger(__name__)

FILE = "bootstrap-token"
NAME = "bootstrap"
PERIOD_S = 1.0
FILE_BYTES_MAX = 1024
CONSOLE = Path("/dev/console")
"""In a container started with a terminal, that is this one, and Docker keeps it in a log file."""


class Ticket(Protocol):
    """What submitting a command gives."""

    def poll(self) -> Applied | None:
        """The outcome, None while it is not known; raises OrchestryError when it never will be."""


def on_terminal(text: str) -> bool:
    """Show a token to whoever sits at this process's terminal; False where nobody does."""
    if not sys.stdout.isatty() or _is_console(sys.stdout.fileno()):
        return False
    sys.stdout.write(
        f"\nThe first admin token, shown here this once:\n\n    {text}\n\n"
        "Use it as ORCHESTRY_TOKEN; make tokens with roles, and revoke it.\n\n")
    sys.stdout.flush()
    return True


def _is_console(descriptor: int) -> bool:
    with contextlib.suppress(OSError):
        return os.fstat(descriptor).st_rdev == CONSOLE.stat().st_rdev
    return False


class Bootstrap:
    """Makes the first token while this controller leads; stepped by the control thread.

    `show` puts a new token before somebody's eyes, and in no log; False when it could not.
    """

    def __init__(
        self, settings: Settings, clock: Clock, *, acting: Callable[[], Lease | None],
        submit: Callable[[Command, Stamp], Ticket], show: Callable[[str], bool] = on_terminal,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._acting = acting
        self._submit = submit
        self._show = show
        self._file = settings.data_dir / FILE
        self._next_s = 0.0
        self._asked: Ticket | None = None
        self._tidy_for: Any = None

    def step(self, state: ClusterState) -> None:
        """Make the token if there is none, and forget one that is of no use any more."""
        now_s = self._clock.monotonic_s()
        if not self._settings.auth_on or self._waits() or now_s < self._next_s:
            return
        self._next_s = now_s + PERIOD_S
        if has_admin(state, self._clock.wall_ms()):
            self._tidy(state)
            return
        lease = self._acting()
        if lease is None:
            return
        try:
            text = self._settings.bootstrap_token or read(self._file) or self._made()
        except OSError as error:
            logger.error("the first token cannot be kept in %s: %s", self._file, error)
            return
        token = Token(new_id(), NAME, "admin", token_hash(text))
        self._asked = self._submit(CreateToken(token, first=True), Stamp(
            self._clock.wall_ms(), self._settings.node_id, epoch=lease.epoch))

    def _waits(self) -> bool:
        if self._asked is None:
            return False
        try:
            applied = self._asked.poll()
        except OrchestryError:
            applied = None  # nobody knows: the state will tell
        else:
            if applied is None:
                return True
        self._asked = None
        if applied is not None and applied.rejected is None:
            self._tell()
        elif applied is not None:
            logger.warning("the first token was not made: %s", applied.details)
        return False

    def _tell(self) -> None:
        """Where the token is goes to the log, the token itself to a terminal at most."""
        if self._settings.bootstrap_token:
            place = "the one in ORCHESTRY_BOOTSTRAP_TOKEN"
        else:
            place = f"in {self._file}: use it as ORCHESTRY_TOKEN"
            with contextlib.suppress(OSError):
                text = read(self._file)
                if text and self._show(text):
                    place += "; it was shown on the terminal"
        logger.warning("==== FIRST ADMIN TOKEN ==== it is %s", place)

    def _made(self) -> str:
        text = new_token()
        write(self._file, text)
        return text

    def _tidy(self, state: ClusterState) -> None:
        """A file whose token is good for nothing would only mislead."""
        if state.tokens is self._tidy_for:
            return
        self._tidy_for = state.tokens
        with contextlib.suppress(OSError):
            text = read(self._file)
            if text and token_hash(text) not in state.tokens:
                self._file.unlink()


def read(path: Path) -> str:
    """The token in the file; "" without one.

    Raises:
        OSError: the file is there, and cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""


def write(path: Path, text: str) -> None:
    """Keep a token where only this user reads it; all of it or nothing, and on disk.

    Raises:
        OSError: it is not there.
    """
    new = path.with_suffix(".new")
    new.unlink(missing_ok=True)
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, text.encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
