"""`apply`, `deploys`, `rollback`, `restart`, `pause`, `resume`, `promote`: updates of apps."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping
from typing import Any

import click
from click.exceptions import Exit

from orchestry.cli import INTERRUPTED
from orchestry.cli.commands.deploy_text import (
    RECEIPT_COLUMNS,
    canary_text,
    receipt_cells,
    receipt_text,
)
from orchestry.cli.commands.files import each, files_argument
from orchestry.cli.output import age, printable
from orchestry.cli.session import Command, CommandError, Session, app_argument
from orchestry.cli.waiting import POLL_PERIOD_S, display, pause_s, problem, pulled

WAIT_S = 600
RECEIPT_S = 2.0
"""How long after its end the measurements of a deployment may come."""
TIMED_OUT = 5
VALUE_CHARACTERS_MAX = 60
DIGEST_CHARACTERS = len("sha256:") + 12
wait_option = click.option(
    "--wait/--no-wait", default=False, show_default=True,
    help="Wait until the deployment is over; one that failed is an error.")
timeout_option = click.option(
    "--timeout", metavar="SECONDS", type=click.IntRange(1, 86_400), default=WAIT_S,
    show_default=True, help="How long to wait.")


@click.command(cls=Command)
@files_argument
@wait_option
@timeout_option
@click.option("--dry-run", is_flag=True, help="Only show what would be done.")
def apply(
    session: Session, *, file: tuple[str, ...], wait: bool, timeout: int, dry_run: bool
) -> int:
    """Register or update the apps of the files, and show the plan of each.

    The files are YAML or JSON and may hold several documents; `-` is standard input.
    """
    def work(document: Any) -> Mapping[str, Any]:
        planned = session.client.update_app(document, dry_run=True)
        show = session.out.result if dry_run else session.out.progress
        if not session.out.as_json and (dry_run or planned["status"] != "unchanged"):
            for line in plan_lines(planned):
                show(line)
        if dry_run:
            return planned
        answer = {**session.client.update_app(document)}
        name = answer["app_name"]
        if not session.out.as_json:
            session.out.result(f"{name}: {answer['status']}, revision {answer['revision']}")
        if wait and answer.get("deployment"):
            _follow(session, answer, timeout)
        return answer

    return each(session, file, work)


@click.command(cls=Command)
@app_argument
def deploys(session: Session, *, name: str) -> None:
    """Show the last deployments of an app, and the steps of the one under way."""
    answer = session.client.list_deployments(name)
    if session.out.as_json:
        session.out.document(answer)
        return
    found = answer["deployments"]
    session.out.table(
        ("ID", "KIND", "PHASE", "READY", "AGE", *RECEIPT_COLUMNS),
        [(one["id"], one["kind"], one["phase"], f"{one['available']}/{one['wanted']}",
          age(one["started_at"]), *receipt_cells(one.get("receipt"))) for one in found],
        empty=f"{name} was not updated yet; `orchestry apply FILE` does it.")
    for one in found:
        if one["reason"]:  # too long for a column beside so many
            session.out.result(printable(f"{one['id']}: {one['reason']}"))
    if found and found[0]["ended_at"] is None:
        if found[0].get("canary"):
            session.out.result(f"{name}{canary_text(found[0]['canary'])}")
        for step in found[0]["steps"]:
            session.out.result(printable(f"{step['timestamp']}  {step['message']}"))


@click.command(cls=Command)
@app_argument
def revisions(session: Session, *, name: str) -> None:
    """List the kept revisions of an app and the image that each is made from."""
    answer = session.client.list_revisions(name)
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(
        ("REVISION", "HEALTHY", "AGE", "CAUSE", "IMAGE", "PINNED TO"),
        [(f"{one['revision']}{' *' if one['current'] else ''}", "yes" if one["healthy"] else "no",
          age(one["created_at"]), one["cause"], one["image"] or "-",
          _digest(one.get("pinned"))) for one in answer["revisions"]])


def _digest(pinned: str | None) -> str:
    """The digest or id alone, as short as Docker shows it."""
    return "-" if not pinned else pinned.rpartition("@")[2][:DIGEST_CHARACTERS]


@click.command(cls=Command)
@app_argument
@click.option("--to", "revision", metavar="REVISION", type=click.IntRange(1),
              help="Which one; by default the last that was healthy.")
@wait_option
@timeout_option
def rollback(
    session: Session, *, name: str, revision: int | None, wait: bool, timeout: int
) -> None:
    """Go back to an earlier revision."""
    answer = session.client.rollback_app(name, revision)
    _done(session, answer, "rolled back", wait=wait, timeout_s=timeout)


@click.command(cls=Command)
@app_argument
@wait_option
@timeout_option
def restart(session: Session, *, name: str, wait: bool, timeout: int) -> None:
    """Replace all replicas by new ones of the same spec, without a gap."""
    _done(session, session.client.restart_app(name), "restarts", wait=wait, timeout_s=timeout)


@click.command(cls=Command)
@app_argument
def pause(session: Session, *, name: str) -> None:
    """Hold the deployment of an app where it is."""
    _steered(session, session.client.pause_app(name))


@click.command(cls=Command)
@app_argument
def resume(session: Session, *, name: str) -> None:
    """Let a deployment go on that is paused or has failed."""
    _steered(session, session.client.resume_app(name))


@click.command(cls=Command)
@app_argument
@click.option("--all", "everything", is_flag=True,
              help="Let a canary go to the end, not only to its next step.")
def promote(session: Session, *, name: str, everything: bool) -> None:
    """Let the deployment of an app wait for nothing but healthy replicas.

    A canary goes on to its next step.
    """
    _steered(session, session.client.promote_app(name, all=everything))


def _steered(session: Session, answer: Mapping[str, Any]) -> None:
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(
            f"{answer['app_name']}: deployment {answer['deployment']} is {answer['phase']}")


def _done(
    session: Session, made: Mapping[str, Any], said: str, *, wait: bool, timeout_s: int
) -> None:
    answer = {**made}
    name = answer["app_name"]
    if not session.out.as_json:
        session.out.result(f"{name}: {said}, revision {answer['revision']}")
    if wait:
        _follow(session, answer, timeout_s)
    if session.out.as_json:
        session.out.document(answer)


def _follow(session: Session, answer: dict[str, Any], timeout_s: int) -> None:
    """Wait for the deployment of an answer; its outcome and receipt are added to that."""
    name, deployment = answer["app_name"], answer["deployment"]
    answer["outcome"] = follow(session, name, deployment, timeout_s)
    until_s = time.monotonic() + RECEIPT_S
    while True:
        shown = session.client.get_deployment(name, deployment)
        found = shown.get("receipt")
        if (found and found["during"]) or "receipt" not in shown or time.monotonic() > until_s:
            break
        time.sleep(POLL_PERIOD_S)
    answer["receipt"] = found
    if not session.out.as_json and found and found["during"]:
        session.out.result(f"{name}: {receipt_text(found)}")


def follow(session: Session, name: str, deployment: int, timeout_s: int) -> str:
    """Show how a deployment goes on until it is over; its last phase.

    Raises:
        CommandError: it failed, or another took its place.
    """
    until_s = time.monotonic() + timeout_s
    shown = ""
    try:
        with display(session) as (show, columns):
            for looks in itertools.count():
                found = session.client.get_deployment(name, deployment)
                line = describe(found, name, columns)
                if line != shown:
                    show(line)
                    shown = line
                if found["ended_at"] is not None or found["phase"] == "failed":
                    break
                if time.monotonic() > until_s:
                    session.out.complain(
                        f"{name}: not over after {timeout_s} s; it goes on",
                        f"Follow it with `orchestry deploys {name}`.")
                    raise Exit(TIMED_OUT)
                time.sleep(pause_s(session, POLL_PERIOD_S, looks))
    except KeyboardInterrupt:
        session.out.progress("Not waiting any longer; the deployment goes on.")
        session.out.progress(f"Next: Follow it with `orchestry deploys {name}`.")
        raise Exit(INTERRUPTED) from None
    if found["phase"] != "done":
        why = f": {found['reason']}" if found["reason"] else ""
        how = "has failed" if found["phase"] == "failed" else f"was {found['phase']}"
        raise CommandError(f"Deployment {deployment} of {name} {how}{why}",
                           f"See `orchestry deploys {name}` and `orchestry events {name}`.")
    return "done"


def describe(deployment: Mapping[str, Any], name: str, columns: int = 0) -> str:
    """One line: how far it is, the replicas that are not healthy and why, the last step."""
    available, wanted = deployment["available"], deployment["wanted"]
    full = columns * min(available, wanted) // wanted if wanted else columns
    bar = f"[{'#' * full}{'-' * (columns - full)}] " if columns else ""
    line = f"{name}: {bar}{available}/{wanted} new replicas, {deployment['phase']}"
    line += canary_text(deployment.get("canary"))
    waits = [
        f"{one['name']} is {one['health']}" + (f": {one['reason']}" if one["reason"] else "")
        for one in deployment.get("replicas", ())
        if one["role"] == "new" and one["health"] != "healthy"
    ]
    last = deployment["steps"][-1:]
    image = problem(deployment) or pulled(deployment)
    told = ([image] if image else []) or waits or [step["message"] for step in last]
    return printable(f"{line} ({'; '.join(told)})" if told else line)


def plan_lines(answer: Mapping[str, Any]) -> list[str]:
    """A plan for people: what differs, and what becomes of the replicas."""
    name, plan = answer["app_name"], answer["plan"]
    lines = [f"{name}: {_PLANNED[answer['status']]}"]
    lines += [
        f"  {one['field']}: {_short(one['before'])} -> {_short(one['after'])}"
        for one in plan["changes"]]
    lines += [
        f"  {verb} {', '.join(plan[key])}"
        for verb, key in (("start", "start"), ("stop", "stop"), ("keep", "keep")) if plan[key]]
    return [printable(line) for line in lines]


_PLANNED = {"created": "to be registered", "updated": "to be updated", "unchanged": "unchanged"}


def _short(value: Any) -> str:
    text = "-" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= VALUE_CHARACTERS_MAX else f"{text[:VALUE_CHARACTERS_MAX - 3]}..."


COMMANDS = (apply, deploys, revisions, rollback, restart, pause, resume, promote)
