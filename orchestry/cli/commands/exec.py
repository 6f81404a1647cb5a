"""`exec`: a command in a container of an app, as if it was run here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

import click

from orchestry.cli.session import Command, Session, UsageError, app_argument

if TYPE_CHECKING:
    from orchestry.client.execution import Session as Execution

PIECE_BYTES = 32 * 1024
INPUT_BYTES_MAX = 64 * 1024**2
"""Of what `--json` reads from standard input before the command begins."""
TIMEOUT_MAX_S = 86_400


@click.command("exec", cls=Command)
@app_argument
@click.argument("words", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
@click.option("--replica", "-r", metavar="N", type=click.IntRange(1, 100),
              help="The replica with this number (default: the first healthy one).")
@click.option("--stdin", "-i", "stdin", is_flag=True, help="Pass standard input on.")
@click.option("--tty", "-t", "tty", is_flag=True,
              help="Give the command a terminal: -it for a shell.")
def exec_(
    session: Session, *, name: str, words: tuple[str, ...], replica: int | None, stdin: bool,
    tty: bool,
) -> int:
    """Run a command in a container of an app, and end with its exit code.

    It runs beside what runs there, where the cluster allows it: `orchestry cluster config set
    exec.enabled=true`. It cannot be resumed: when the controller that carries it is lost, this
    ends with 5, and the command may go on.
    """
    if not words:
        raise UsageError("give -- and a COMMAND")
    if tty and session.out.as_json:
        raise UsageError("--json keeps output and errors apart, and a terminal does not: "
                         "leave -t out")
    if tty and stdin and not sys.stdin.isatty():
        raise UsageError("-t needs a terminal as standard input: leave it out to pass a file on")
    if session.out.as_json:
        return _as_document(session, name, words, replica, stdin)
    terminal = _size() if tty else None
    with session.client.open_exec(
        name, words, replica=replica, stdin=stdin, terminal=terminal
    ) as execution:
        execution.wait_started()
        with _raw(execution) if tty and stdin else contextlib.nullcontext():
            if stdin:
                threading.Thread(target=_pass_on, args=(execution,), daemon=True).start()
            _show(execution)
    if execution.reason:
        session.out.progress(f"{name}: {execution.reason}")
    assert execution.exit_code is not None  # what ends otherwise raises
    return execution.exit_code


def _as_document(
    session: Session, name: str, words: tuple[str, ...], replica: int | None, stdin: bool
) -> int:
    data = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1) if stdin else None
    if data is not None and len(data) > INPUT_BYTES_MAX:
        raise UsageError(f"--json passes at most {INPUT_BYTES_MAX} bytes on: leave it out")
    found = session.client.exec_app(
        name, words, replica=replica, stdin=data, timeout=TIMEOUT_MAX_S)
    session.out.document(found)
    return found["exit_code"]


def _size() -> tuple[int, int]:
    found = shutil.get_terminal_size()
    return max(1, min(found.lines, 1000)), max(1, min(found.columns, 1000))


def _show(execution: Execution) -> None:
    """Write what the command writes, byte by byte as it is."""
    places: dict[str, IO[bytes]] = {"stdout": sys.stdout.buffer, "stderr": sys.stderr.buffer}
    for stream, data in execution:
        places[stream].write(data)
        places[stream].flush()


def _pass_on(execution: Execution) -> None:
    """Read standard input to its end; ends with the process."""
    with contextlib.suppress(OSError, ValueError):
        while data := os.read(sys.stdin.fileno(), PIECE_BYTES):
            execution.write(data)
    execution.close_stdin()


@contextlib.contextmanager
def _raw(execution: Execution) -> Iterator[None]:
    """Each key goes to the command, and so does each change of size; as before afterwards."""
    import termios
    import tty

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)

    def resized(number: int, frame: Any) -> None:
        # Not here: a handler may have stopped who holds the session's lock.
        threading.Thread(target=execution.resize, args=_size(), daemon=True).start()

    def ended(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    handlers = {signal.SIGWINCH: resized, signal.SIGTERM: ended, signal.SIGHUP: ended}
    earlier = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        tty.setraw(fd)
        execution.resize(*_size())  # it may have changed meanwhile
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
        for number, handler in earlier.items():
            signal.signal(number, handler)


COMMANDS = (exec_,)
