"""`run` and `jobs`: what runs once, by request or by the clock."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping
from typing import Any

import click
from click.exceptions import Exit

from orchestry.cli import INTERRUPTED
from orchestry.cli.output import age, printable
from orchestry.cli.session import Command, Session, UsageError, app_argument, names_of
from orchestry.cli.waiting import pause_s

QUICK_S, QUICK_LOOKS, CALM_S = 0.4, 10, 1.5
LINES_MAX = 10_000
WAITING = ("waiting", "running")
_job = click.argument("name", metavar="NAME", shell_complete=names_of(
    lambda client: [one["name"] for one in client.list_jobs()["jobs"]]))


@click.command(cls=Command)
@app_argument
@click.argument("words", metavar="-- COMMAND...", nargs=-1, type=click.UNPROCESSED)
@click.option("--timeout", metavar="SECONDS", type=click.IntRange(1, 86_400), default=3600,
              show_default=True, help="How long it may take.")
@click.option("--detach", "-d", is_flag=True, help="Do not wait for its end.")
@click.option("--list", "list_", is_flag=True, help="Show the runs of the app instead.")
@click.option("--cancel", metavar="RUN", type=click.IntRange(1), help="Stop this run instead.")
def run(
    session: Session, *, name: str, words: tuple[str, ...], timeout: int, detach: bool,
    list_: bool, cancel: int | None,
) -> int:
    """Run a command once in a container of an app, and end with its exit code.

    The container is one of its own, like those of the replicas; the app need not run. The
    command takes the place of the image's entrypoint. What it writes is printed.
    """
    if list_ + (cancel is not None) + bool(words) != 1:
        raise UsageError("give -- and a COMMAND, or --list, or --cancel")
    if list_:
        return _list(session, session.client.list_runs(name))
    if cancel is not None:
        answer = session.client.cancel_run(name, cancel)
        _say(session, answer, f"{name}: run {cancel} is being stopped")
        return 0
    answer = session.client.run_app(name, words, timeout=timeout)
    if detach:
        _say(session, answer, f"{name}: run {answer['run']}")
        return 0
    return attend(session, name, answer["run"])


def _say(session: Session, answer: Mapping[str, Any], text: str) -> None:
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(text)


def _list(session: Session, answer: Mapping[str, Any]) -> int:
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.table(["RUN", "KIND", "STATUS", "CODE", "AGE", "COMMAND", "REASON"], [
            [str(one["id"]), one["kind"], one["status"],
             "-" if one["exit_code"] is None else str(one["exit_code"]),
             age(one["requested_at"]), printable(" ".join(one["command"] or ["-"])),
             printable(one["reason"] or "")]
            for one in answer["runs"]],
            empty="No runs yet.")
    return 0


def attend(session: Session, name: str, run_id: int) -> int:
    """Print what a run writes until it is over; its exit code."""
    reader = _Reader(session, name)
    try:
        for looks in itertools.count():
            found = session.client.get_run(name, run_id)
            over = found["status"] not in WAITING
            if not session.out.as_json and (found["started_at"] or over):
                reader.read(found["container"])
            if over:
                break
            time.sleep(pause_s(session, QUICK_S if looks < QUICK_LOOKS else CALM_S, looks))
    except KeyboardInterrupt:
        session.out.progress("Not waiting any longer; the run goes on.")
        session.out.progress(f"Next: Stop it with `orchestry run {name} --cancel {run_id}`.")
        raise Exit(INTERRUPTED) from None
    if session.out.as_json:
        session.out.document(found)
    elif not reader.printed:
        for line in found["last_lines"]:  # its container is gone
            session.out.line_now(printable(line))
    code = found["exit_code"]
    if found["status"] == "succeeded":
        return 0
    if code is None or found["status"] != "failed":
        session.out.complain(
            f"Run {run_id} of {name} {found['status'].replace('_', ' ')}: {found['reason']}",
            f"See `orchestry run {name} --list` and `orchestry events {name}`.")
    return code or 1


class _Reader:
    """Prints each line of a run once."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self._name = name
        self._last: str | None = None
        self._at_last: list[tuple[str, str]] = []
        self.printed = False

    def read(self, container: str) -> None:
        """Print what came since the last look; no container yet, or no more, is nothing."""
        answer = self._session.client.get_app_logs(
            self._name, container=container, tail=LINES_MAX, since=self._last)
        if self.printed and answer.get("unavailable"):
            return  # its container is gone: what was kept of it was printed already
        known = list(self._at_last)
        for line in answer["logs"]:
            at, said = line["timestamp"], (line.get("stream", "stdout"), line["message"])
            if at == self._last and said in known:
                known.remove(said)
                continue
            if at != self._last:
                self._last, self._at_last = at, []
            self._at_last.append(said)
            self._print(*said)

    def _print(self, stream: str, message: str) -> None:
        self.printed = True
        if stream == "stderr":
            sys.stderr.write(printable(message) + "\n")
        else:
            self._session.out.line_now(printable(message))


@click.command("list", cls=Command)
def list_jobs(session: Session) -> None:
    """List the jobs."""
    answer = session.client.list_jobs()
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["NAME", "SCHEDULE", "ZONE", "SUSPENDED", "ACTIVE", "LAST", "DUE"], [
        [row["name"], row["schedule"] or "-", row["timezone"],
         "yes" if row["suspended"] else "no", str(row["active"]), row["last_status"] or "-",
         age(row["last_due_at"])]
        for row in answer["jobs"]],
        empty="No jobs. A document with `kind: Job` makes one: `orchestry register FILE`.")


@click.command(cls=Command)
@_job
def history(session: Session, *, name: str) -> None:
    """Show the runs of a job, newest first."""
    _list(session, session.client.list_runs(name))


@click.command(cls=Command)
@_job
@click.option("--detach", "-d", is_flag=True, help="Do not wait for its end.")
def trigger(session: Session, *, name: str, detach: bool) -> int:
    """Run a job now, print what it writes, and end with its exit code."""
    answer = session.client.trigger_job(name)
    if detach:
        _say(session, answer, f"{name}: run {answer['run']}")
        return 0
    return attend(session, name, answer["run"])


@click.command(cls=Command)
@_job
def suspend(session: Session, *, name: str) -> None:
    """Begin nothing by the schedule of a job any more."""
    _say(session, session.client.suspend_job(name), f"{name}: suspended")


@click.command(cls=Command)
@_job
def resume(session: Session, *, name: str) -> None:
    """Go on with the schedule of a job, from now on."""
    _say(session, session.client.resume_job(name), f"{name}: resumed")


jobs = click.Group(
    "jobs", help="List jobs and their runs, run one now, and hold a schedule.",
    no_args_is_help=True, commands=[list_jobs, history, trigger, suspend, resume],
)
COMMANDS = (run, jobs)
