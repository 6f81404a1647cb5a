"""`register` and `validate`: what is done with files of app specs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from orchestry.cli.output import explain, next_step
from orchestry.cli.session import Command, CommandError, Session, UsageError
from orchestry.errors import OrchestryError

NOT_REACHABLE = 3
files_argument = click.argument(
    "file", nargs=-1, required=True, metavar="FILE...", type=click.Path(allow_dash=True))


@click.command(cls=Command)
@files_argument
def register(session: Session, file: tuple[str, ...]) -> int:
    """Register the apps of the files, without starting them.

    The files are YAML or JSON and may hold several documents; `-` is standard input.
    """

    def work(document: Any) -> Mapping[str, Any]:
        answer = session.client.register_app(document)
        if not session.out.as_json:
            session.out.result(f"{answer['app_name']}: registered")
        return answer

    return each(session, file, work)


@click.command(cls=Command)
@files_argument
def validate(session: Session, file: tuple[str, ...]) -> int:
    """Check the files without a cluster; every fault is told at once."""
    from orchestry.spec.parse import parse_app

    def work(document: Any) -> Mapping[str, Any]:
        spec = parse_app(document)
        if not session.out.as_json:
            session.out.result(f"{spec.name}: valid")
        return {"app_name": spec.name, "valid": True}

    return each(session, file, work)


def each(
    session: Session, paths: tuple[str, ...], work: Callable[[Any], Mapping[str, Any]]
) -> int:
    """Work on every document of every file; a bad one does not stop the others.

    Returns the exit code of the first failure.
    """
    if paths.count("-") > 1:
        raise UsageError("standard input (`-`) can be read only once")
    code, answers = 0, []
    for place, document in _documents(paths):
        try:
            if isinstance(document, Exception):
                raise document
            if not isinstance(document, dict):
                raise CommandError("It holds no app spec",
                                   "Write a mapping with apiVersion, kind, metadata and spec.")
            answers.append({"source": place, **work(document)})
        except (OrchestryError, CommandError) as error:
            failed, body = _report(session, place, error)
            code = code or failed
            answers.append({"source": place, **body})
            if failed == NOT_REACHABLE:
                break
    if session.out.as_json:
        session.out.document(answers)
    return code


def _report(
    session: Session, place: str, error: OrchestryError | CommandError
) -> tuple[int, dict[str, object]]:
    if isinstance(error, CommandError):
        session.out.complain(f"{place}: {error}", error.next_step)
        return 1, {"error": str(error), "details": None, "code": "FAILED"}
    code, body = explain(error)
    session.out.complain(f"{place}: {body['error']}",
                         next_step(str(body["code"]), body["details"]), body["details"])
    return code, body


def _documents(paths: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    """Each document, or the error in its place, with the place's name."""
    from orchestry.manifest import MANIFEST_BYTES_MAX, ManifestError, load_documents

    for path in paths:
        name = "standard input" if path == "-" else path
        try:
            if path == "-":
                raw = sys.stdin.buffer.read(MANIFEST_BYTES_MAX + 1)
            else:
                with Path(path).open("rb") as file:
                    raw = file.read(MANIFEST_BYTES_MAX + 1)
            documents = load_documents(raw.decode())
        except OSError as error:
            yield name, CommandError(f"It cannot be read: {error.strerror}",
                                     "Check the path and its permissions.")
            continue
        except UnicodeDecodeError as error:
            yield name, CommandError(f"It is not UTF-8 text (byte {error.start})",
                                     "Save it as UTF-8.")
            continue
        except ManifestError as error:
            yield name, error
            continue
        for number, document in enumerate(documents, 1):
            yield f"{name}, document {number}" if len(documents) > 1 else name, document


COMMANDS = (register, validate)
