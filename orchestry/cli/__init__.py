"""The `orchestry` command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; a user never sees a stack trace."""
    try:
        _ready_streams()
        from orchestry.cli.app import app

        app(args=list(sys.argv[1:] if arguments is None else arguments), prog_name="orchestry")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except KeyboardInterrupt:
        return 130
    else:
        code = 0
    return _flushed(code)


def _ready_streams() -> None:
    """Streams that were closed lead nowhere, and no character is unwritable."""
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    """Write out what is buffered here, where a reader that has gone away is no accident."""
    from orchestry.cli import output

    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return output.abandon()
    except OSError as error:
        output.abandon()
        if code == 0:
            sys.stderr.write(f"Error: The output cannot be written: {error.strerror}\n"
                             "Next: Make room, or write elsewhere.\n")
        return code or 1
    return code
