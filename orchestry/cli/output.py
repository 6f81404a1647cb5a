"""Results on standard output; progress and errors on standard error."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import stat
import sys
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO

from orchestry.errors import Code, OrchestryError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

# Nothing is cut in a pipe: programs read whole names.
_PIPE_COLUMNS = 1000
_SGR = re.compile(r"\x1b\[[0-9;]*m")
# What a user of the command does, where the catalogue speaks to programs.
_REMEDIES: Final[Mapping[str, str]] = {
    "INVALID_SPEC": "Correct what is listed above; `orchestry validate FILE` checks it again.",
    "VALIDATION_ERROR": "Correct what is listed above.",
    "APP_ALREADY_EXISTS": "Update it with `orchestry apply FILE`, or choose another name.",
    "NOT_FOUND": "See what there is: most commands have a `list` beside them.",
    "CONFLICT": "Do as it says above, or look at `orchestry status NAME`, and try again.",
}
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_STYLES = {
    "running": "green", "healthy": "green", "leader": "green", "up": "green",
    "starting": "yellow", "updating": "yellow", "stopping": "yellow", "degraded": "yellow",
    "error": "red", "unhealthy": "red", "down": "red", "unavailable": "red",
    "exited": "red",
}


def printable(text: object) -> str:
    """Text from a container or a server, unable to steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", _SGR.sub("", str(text)))


def age(time_text: object, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was: `42s`, `5m`, `3h`, `2d`; `-` when there is none."""
    try:
        then = datetime.fromisoformat(str(time_text))
        past_s = int(((now or datetime.now(UTC)) - then).total_seconds())
    except (ValueError, TypeError):
        return "-"
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if past_s < limit_s:
            return f"{max(0, past_s) // unit_s}{unit}"
    return f"{past_s // 86_400}d"


def abandon() -> int:
    """Write no more to standard output, whose reader is gone; returns the exit code for it.

    That is the one of every command that such a pipe ends.
    The interpreter flushes once more when it ends, and must find a working descriptor.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return 128 + signal.SIGPIPE


class ReaderGone(BaseException):
    """Nobody reads standard output any more; no `except` on the way takes it for a lost stream."""


def reader_must_stay() -> None:
    """Raise ReaderGone in the main thread once nobody reads standard output any more."""
    main = threading.main_thread()
    try:
        output = sys.stdout.fileno()
        piped = stat.S_ISFIFO(os.fstat(output).st_mode) or stat.S_ISSOCK(os.fstat(output).st_mode)
    except (OSError, ValueError):
        return
    if not piped or threading.current_thread() is not main:
        return

    def watch() -> None:
        poll = select.poll()
        poll.register(output, 0)
        poll.poll()
        # A signal ends sleeps and reads, too.
        signal.pthread_kill(main.ident or 0, signal.SIGUSR2)

    def gone(number: int, frame: object) -> None:
        raise ReaderGone

    signal.signal(signal.SIGUSR2, gone)
    threading.Thread(target=watch, daemon=True).start()


def reader_may_go() -> None:
    """The command is over: nothing is left to be ended."""
    if callable(signal.getsignal(signal.SIGUSR2)):
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)


class _Trimmed:
    """A stream that leaves out the blanks by which the columns of a table end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.flush = stream.flush
        self.isatty = stream.isatty
        self.fileno = stream.fileno

    def write(self, text: str) -> int:
        """Write whole lines."""
        return self._stream.write(trimmed(text))


def trimmed(text: str) -> str:
    """Lines without the blanks at their ends."""
    return re.sub(r"[ ]+$", "", text, flags=re.MULTILINE)


class Output:
    """Where a command writes; in JSON mode standard output gets one document only."""

    def __init__(self, *, as_json: bool, color: bool, quiet: bool) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.color = color and not os.environ.get("NO_COLOR")
        self._follows = False

    def document(self, value: object) -> None:
        """The JSON document of JSON mode."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def result(self, text: str) -> None:
        """One line of result."""
        sys.stdout.write(text + "\n")

    def follow(self) -> None:
        """From here on there may be nothing to write for long: notice a reader that goes away.

        The main thread gets a ReaderGone then, whatever it waits for.
        """
        self._follows = True
        reader_must_stay()

    def document_line(self, value: object) -> None:
        """One of the JSON documents of a command that follows something, at once."""
        self.line_now(json.dumps(value, ensure_ascii=False))

    def line_now(self, text: str) -> None:
        """One line of result, of which more may come later."""
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def progress(self, text: str) -> None:
        """A note on standard error, left out with --quiet."""
        if not self.quiet:
            sys.stderr.write(printable(text) + "\n")

    def warn(self, *answers: Mapping[str, Any]) -> None:
        """What answers warn of, once each; those of older controllers do not tell."""
        for text in dict.fromkeys(answer.get("warning") for answer in answers):
            if text:
                self.progress(f"Warning: {text}")

    def console(self, *, error: bool = False) -> Console:
        """A rich console for tables and live displays."""
        from rich.console import Console

        class Piped(Console):
            """One that leaves it to us how a command ends whose reader is gone."""

            def on_broken_pipe(self) -> None:
                raise BrokenPipeError

        stream = sys.stderr if error else sys.stdout
        terminal = stream.isatty()
        written: Any = stream if terminal else _Trimmed(stream)
        return Piped(
            file=written, highlight=False, markup=False, emoji=False,
            color_system="auto" if self.color and terminal else None,
            width=None if terminal else _PIPE_COLUMNS,
        )

    def table(
        self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = ""
    ) -> None:
        """Print a table; `empty` is a note on standard error when it has no rows."""
        self.console().print(table(columns, rows))
        if empty and not rows:
            self.progress(empty)

    def error(self, error: OrchestryError) -> int:
        """Report a failed call and return the exit code of its kind."""
        code, body = explain(error)
        self.failure(str(body["error"]), next_step(str(body["code"]), body["details"]),
                     code=str(body["code"]), details=body["details"])
        return code

    def failure(
        self, message: str, next_step: str, *, code: str, details: object = None
    ) -> None:
        """Say on standard error what went wrong and what to do; in JSON mode also as JSON."""
        if self.as_json:
            say = self.document_line if self._follows else self.document
            say({"error": message, "details": details, "code": code})
        self.complain(message, next_step, details)

    def complain(self, message: str, next_step: str, details: object = None) -> None:
        """Say on standard error what went wrong and what to do."""
        label = "\x1b[31mError:\x1b[0m" if self.color and sys.stderr.isatty() else "Error:"
        lines = [f"{label} {printable(message)}", *fault_lines(details)]
        sys.stderr.write("\n".join([*lines, f"Next: {next_step}"]) + "\n")


def explain(error: OrchestryError) -> tuple[int, dict[str, object]]:
    """The exit code of an error, and its body as the API writes it."""
    from orchestry import client as sdk

    code = error.code if isinstance(error, sdk.ClientError) else error.code.value.code
    message = error.message if isinstance(error, sdk.ClientError) else error.code.value.title
    body: dict[str, object] = {"error": message, "details": error.details, "code": code}
    for kinds, exit_code in (
        ((sdk.NotReachable, sdk.NoLeader), 3), ((sdk.NotFound,), 4),
        ((sdk.TimedOut,), 5), ((sdk.Forbidden,), 6),
    ):
        if isinstance(error, kinds):
            return exit_code, body
    return 2 if code == "VALIDATION_ERROR" else 1, body


def fault_lines(details: object) -> list[str]:
    """The details of an error as indented lines."""
    if not details:
        return []
    if isinstance(details, Mapping):
        details = [f"{name}: {value}" for name, value in details.items()]
    parts = details if isinstance(details, list) else [details]
    return [f"  {printable(_fault(part))}" for part in parts]


def _fault(part: object) -> str:
    if isinstance(part, Mapping) and "message" in part:
        return f"{part.get('field') or 'document'}: {part['message']}"
    return str(part)


def next_step(code: str, details: object) -> str:
    """What a user does about an error code."""
    if code == "NOT_REACHABLE":
        return ("Start a cluster with `orchestry dev`, or name its controllers with --url "
                "or ORCHESTRY_URL.")
    if code == "NO_ANSWER":
        return ("Look at the controllers that are named and at the network, restart those that "
                "hang, or name others with --url.")
    if isinstance(details, Mapping) and details.get("outcome") == "unknown":
        return "See `orchestry status` for what was done, then repeat the command if it was not."
    if code in _REMEDIES:
        return _REMEDIES[code]
    remedies: dict[str, str] = {}
    for entry in Code:
        remedies.setdefault(entry.value.code, entry.value.remedy)
    return remedies.get(code, "See `orchestry cluster status`.")


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """A plain table; known words of state get their colour."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        cells = [printable(cell) for cell in row]
        made.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in cells))
    return made


def replicas(app: Mapping[str, Any]) -> str:
    """`2/3`: healthy (or present) of wanted replicas."""
    counts = app.get("replicas") or {}
    ready = counts.get("healthy", counts.get("current", "?"))
    return f"{ready}/{counts.get('desired', '?')}"
