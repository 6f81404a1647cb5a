"""The `orchestry` command."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; a user never sees a stack trace."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _ready_streams()
        code = _run(words)
    except SystemExit as ended:  # completion ends so
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    return _flushed(code)


def _run(words: list[str]) -> int:
    import click

    from orchestry.cli import output
    from orchestry.cli.app import app

    try:
        code = app.main(args=words, prog_name="orchestry", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "orchestry"
        out = output.Output(as_json="--json" in words, color="--no-color" not in words, quiet=False)
        # The words of a library for its own types.
        said = re.sub(r"a valid integer( range)?", "a whole number", error.format_message())
        said = re.sub(r"a valid float( range)?", "a number", said)
        out.failure(said, f"See `{path} --help`.", code="USAGE")
        return error.exit_code
    except click.Abort:
        return INTERRUPTED
    except (BrokenPipeError, output.ReaderGone):
        return output.abandon()
    return code if isinstance(code, int) else 0


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
        output.reader_may_go()
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
