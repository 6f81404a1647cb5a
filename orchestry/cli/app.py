"""The command tree: what exists, and the options that every command has."""

from __future__ import annotations

from typing import Any

import click

from orchestry import __version__
from orchestry.cli.commands import (
    access,
    cluster,
    contexts,
    deploys,
    files,
    health,
    history,
    info,
    local,
    releases,
    run,
    scaling,
    show,
    start,
)
from orchestry.cli.session import Options, shared_options

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable or no leader, "
    "4 not found, 5 timed out (the operation goes on), 6 not allowed."
)


@click.pass_context
def _keep_options(context: click.Context, /, **values: Any) -> None:
    context.obj = Options(**values)


app = click.Group(
    "orchestry",
    callback=_keep_options,
    params=shared_options(hidden=False),
    help="Keep containers running on small controllers, any of which may die.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, message="orchestry %(version)s")(app)

for _module in (local, files, run, deploys, scaling, show, health, history, cluster, access,
                releases, contexts, info, start):
    for _command in _module.COMMANDS:
        app.add_command(_command)
