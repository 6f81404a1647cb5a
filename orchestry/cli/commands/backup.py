"""`cluster backup`, `restore` and `recover`: the state outside of a cluster."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from orchestry.backup import Backup, BackupError, parse
from orchestry.cli.commands.local import become
from orchestry.cli.output import printable
from orchestry.cli.session import Command, CommandError, Session, UsageError
from orchestry.cli.waiting import patiently


def _mine(path: str, flags: int) -> int:
    """Open a file that nobody else may read: variables of specs are in it."""
    return os.open(path, flags, 0o600)


@click.command(cls=Command)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--force", "-f", is_flag=True, help="Replace an existing file.")
def backup(session: Session, *, file: str, force: bool) -> None:
    """Write the cluster's state to FILE; `-` is standard output.

    Specs with their environment variables are in it: keep it as safe as they are.
    """
    if file == "-":
        for line in _download(session):
            sys.stdout.buffer.write(line)
        return
    path, part = Path(file), Path(f"{file}.part")
    if path.exists() and not force:
        raise UsageError(f"{file} exists; give --force to replace it")
    try:
        with open(part, "wb", opener=_mine) as target:
            target.writelines(_download(session))
            target.flush()
            os.fsync(target.fileno())
        found = _read(part)
        part.replace(path)
        _settle(path.parent)
    except OSError as error:
        raise CommandError(
            f"{file} was not written: {error.strerror}", "Free space, or name another file."
        ) from None
    finally:
        part.unlink(missing_ok=True)
    if session.out.as_json:
        session.out.document({**found.head, "sha256": found.sha256})
    else:
        session.out.result(printable(
            f"{file}: {found.head['apps']} apps of cluster {found.head['cluster_id']} "
            f"at index {found.head['index']}"))


@click.command(cls=Command)
@click.argument("file", type=click.Path(dir_okay=False))
@click.option("--adopt", is_flag=True,
              help="Take over the containers of the lost cluster, which must not run any more.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def restore(session: Session, *, file: str, adopt: bool, yes: bool) -> None:
    """Make the backup in FILE the state of an empty cluster."""
    found = _read(Path(file))
    what = f"{found.head['apps']} apps of cluster {found.head['cluster_id']}"
    if not yes:
        if session.out.as_json or not sys.stdin.isatty():
            raise UsageError("restoring needs a confirmation; give --yes")
        if not click.confirm(f"Restore {what}?", err=True):
            raise CommandError("Nothing was restored", "Give --yes to restore without a question.")
    restore_id = secrets.token_hex(8)
    for number, part in enumerate(found.parts, 1):
        session.out.progress(f"Part {number} of {len(found.parts)}")
        patiently(session, partial(
            session.client.restore_part, restore_id, part, adopt=adopt,
            key=f"restore-{restore_id}-{number}"))
    if session.out.as_json:
        session.out.document({**found.head, "restore_id": restore_id, "adopted": adopt})
    else:
        session.out.result(printable(f"Restored {what}"))


@click.command(cls=Command)
@click.option("--data-dir", type=click.Path(file_okay=False), metavar="FOLDER", required=True,
              help="Data folder of the controller that is left; it must be stopped.")
@click.option("--plan", is_flag=True, help="Only show what is known and what may be lost.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def recover(session: Session, *, data_dir: str, plan: bool, yes: bool) -> None:
    """Make the controller that is left the only member, after most disks are lost."""
    arguments = ["--data-dir", data_dir, *["--plan"] * plan, *["--yes"] * yes]
    arguments += ["--json"] * session.options.as_json
    become("api.recover", arguments)


def _settle(folder: Path) -> None:
    """Return once the names in the folder survive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _download(session: Session) -> Iterator[bytes]:
    from orchestry.client import files
    from orchestry.client.trust import Trust

    status = session.client.cluster_status()
    url = next(
        (row.get("api_url") for row in status["nodes"] if row["node_id"] == status["node_id"]),
        None)
    if not url:
        raise CommandError(
            "The answering controller has not announced its address yet", "Try again.")
    session.out.progress(f"Backup from {url}")
    yield from files.lines(f"{url}/cluster/backup", session.token, Trust(session.ca, session.cert))


def _read(path: Path) -> Backup:
    try:
        with path.open("rb") as source:
            return parse(source)
    except BackupError as error:
        raise CommandError(f"{path}: {error}", "Nothing was changed.") from None
