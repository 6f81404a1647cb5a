"""`up`, `down`, `scale`, `delete`: what changes a registered app."""

from __future__ import annotations

import sys

import click

from orchestry.cli.going import volumes_of
from orchestry.cli.output import printable
from orchestry.cli.session import Command, Session, UsageError, app_argument
from orchestry.cli.waiting import follow

WAIT_S = 300
REPLICAS = click.IntRange(0, 100)
wait_option = click.option(
    "--wait/--no-wait", default=True, show_default=True,
    help="Wait until all replicas are healthy.")
timeout_option = click.option(
    "--timeout", metavar="SECONDS", type=click.IntRange(1, 3600), default=WAIT_S,
    show_default=True, help="How long to wait.")


@click.command(cls=Command)
@app_argument
@click.option("--replicas", "-r", metavar="N", type=REPLICAS, help="Number of replicas.")
@wait_option
@timeout_option
def up(session: Session, *, name: str, replicas: int | None, wait: bool, timeout: int) -> None:
    """Start an app."""
    client = session.client
    if wait:
        answer = follow(session, name, lambda: client.start_app(
            name, replicas, timeout=timeout), leaving=False)
    else:
        answer = client.start_app(name, replicas, wait=False, timeout=timeout)
    session.out.warn(answer)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(f"{name}: {answer['status']}, replicas: {answer['replicas']}")


@click.command(cls=Command)
@app_argument
@click.option("--force", "-f", is_flag=True,
              help="Kill at once, without drain and grace period.")
@click.option("--timeout", metavar="SECONDS", type=click.IntRange(0, 300),
              help="Grace period before a container is killed (default: the spec's).")
def down(session: Session, *, name: str, force: bool, timeout: int | None) -> None:
    """Stop an app; it stays registered."""
    client = session.client
    answer = follow(session, name, lambda: client.stop_app(
        name, force=force, timeout=timeout), leaving=True)
    if session.out.as_json:
        session.out.document(answer)
    else:
        session.out.result(f"{name}: {answer['status']}")


@click.command(cls=Command)
@app_argument
@click.argument("replicas", metavar="N", type=REPLICAS)
@wait_option
@timeout_option
def scale(session: Session, *, name: str, replicas: int, wait: bool, timeout: int) -> None:
    """Set the number of replicas of an app."""
    client = session.client
    if wait:
        answer = follow(session, name, lambda: client.scale_app(
            name, replicas, timeout=timeout), leaving=False)
    else:
        answer = client.scale_app(name, replicas, wait=False, timeout=timeout)
    session.out.warn(answer)
    if session.out.as_json:
        session.out.document(answer)
    elif wait:
        session.out.result(
            f"{name}: scaled from {answer['previous_replicas']} to {replicas} replicas "
            f"in {answer['scaling_time']:.1f} s"
        )
    else:
        session.out.result(
            f"{name}: scaling from {answer['previous_replicas']} to {replicas} replicas"
        )


@click.command(cls=Command)
@app_argument
@click.option("--force", "-f", is_flag=True, help="Do not ask, and do not drain.")
@click.option("--keep-data", is_flag=True, help="Keep the app's volumes.")
def delete(session: Session, *, name: str, force: bool, keep_data: bool) -> int:
    """Remove an app, its containers and, unless kept, its volumes."""
    out = session.out
    if not force:
        if not sys.stdin.isatty():
            raise UsageError(f"deleting {name} needs a confirmation; give --force")
        what = "its containers" if keep_data else f"its containers and {volumes_of(session, name)}"
        if not click.confirm(f"Delete {name}, {what}?", err=True):
            out.progress("Nothing was deleted.")
            return 1
    client = session.client
    answer = follow(session, name, lambda: client.remove_app(
        name, force=force, keep_data=keep_data), leaving=True)
    if out.as_json:
        out.document(answer)
    else:
        names = answer.get("removed_volumes", [])
        out.result(
            f"{name}: deleted, containers: {answer['containers_removed']}, "
            f"volumes: {answer['volumes_removed']}"
            + (printable(f" ({', '.join(names)})") if names else "")
        )
    return 0


COMMANDS = (up, down, scale, delete)
