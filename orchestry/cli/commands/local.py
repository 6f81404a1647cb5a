"""`dev` and `node`: they hand over to the controller's own program."""

from __future__ import annotations

import importlib.util
import os
import sys
from typing import NoReturn

import click

from orchestry.cli.session import Command, CommandError, Session

_CONTROLLER_PARTS = ("api", "cluster", "pysyncobj", "flask", "gunicorn", "docker")
PORT = click.IntRange(1, 65535)


@click.command(cls=Command)
@click.option("--nodes", type=click.IntRange(1, 9), metavar="N",
              help="Number of controllers (default 3).")
@click.option("--data-dir", type=click.Path(file_okay=False), metavar="FOLDER",
              help="Folder that keeps the state.")
@click.option("--port", type=PORT, metavar="PORT",
              help="API port of the first controller (default 8001).")
@click.option("--ingress-port", type=PORT, metavar="PORT",
              help="Port on which the apps are served (default 8080).")
@click.option("--engine", type=click.Choice(["docker", "fake"]),
              help="`fake` starts no containers and needs no Docker (default docker).")
@click.option("--fresh", is_flag=True, help="Start empty.")
@click.option("--demo", is_flag=True, help="Build and run a small demo app.")
def dev(
    session: Session, *, nodes: int | None, data_dir: str | None, port: int | None,
    ingress_port: int | None, engine: str | None, fresh: bool, demo: bool,
) -> None:
    """Run a whole cluster on this machine until Ctrl-C."""
    given = {"--nodes": nodes, "--data-dir": data_dir, "--port": port,
             "--ingress-port": ingress_port, "--engine": engine}
    arguments = [part for flag, value in given.items() if value is not None
                 for part in (flag, str(value))]
    arguments += ["--fresh"] * fresh + ["--demo"] * demo
    become("api.dev", arguments)


@click.command(cls=Command)
@click.option("--config", type=click.Path(), metavar="FILE",
              help="YAML file of settings; environment variables beat it.")
@click.option("--print-config", is_flag=True,
              help="Show every setting with its source, and end.")
def node(session: Session, *, config: str | None, print_config: bool) -> None:
    """Run one controller."""
    arguments = ["--config", config] if config is not None else []
    arguments += ["--print-config"] * print_config
    arguments += ["--json"] * (print_config and session.options.as_json)
    become("api.node", arguments)


def become(module: str, arguments: list[str]) -> NoReturn:
    """Go on as a program of the controller's; raises CommandError without one."""
    missing = [part for part in _CONTROLLER_PARTS if importlib.util.find_spec(part) is None]
    if missing:
        raise CommandError(
            f"This installation has no controller (missing: {', '.join(missing)})",
            "Install it with `pip install 'orchestry[controller]'`.",
        )
    sys.stdout.flush()
    sys.stderr.flush()
    # A folder `api` where the user happens to be must not be taken for ours.
    os.execve(  # noqa: S606
        sys.executable, [sys.executable, "-m", module, *arguments],
        {**os.environ, "PYTHONSAFEPATH": "1"},
    )


COMMANDS = (dev, node)
