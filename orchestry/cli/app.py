"""The command tree: what exists, and the options that every command has."""

from __future__ import annotations

import importlib
from typing import Any, Final

import click

from orchestry import __version__
from orchestry.cli.session import Options, shared_options

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not reachable or no leader, "
    "4 not found, 5 timed out (the operation goes on), 6 not allowed."
)
HOMES: Final[dict[str, tuple[str, str]]] = {
    "dev": ("local", "Run a whole cluster on this machine until Ctrl-C."),
    "node": ("local", "Run one controller."),
    "register": ("files", "Register the apps of the files, without starting them."),
    "validate": ("files", "Check the files without a cluster; every fault is told at once."),
    "up": ("run", "Start an app."),
    "down": ("run", "Stop an app; it stays registered."),
    "scale": ("run", "Set the number of replicas of an app."),
    "delete": ("run", "Remove an app, its containers and, unless kept, its volumes."),
    "apply": ("deploys", "Register or update the apps of the files, and show the plan of each."),
    "deploys": (
        "deploys", "Show the last deployments of an app, and the steps of the one under way."),
    "revisions": (
        "deploys", "List the kept revisions of an app and the image that each is made from."),
    "rollback": ("deploys", "Go back to an earlier revision."),
    "restart": ("deploys", "Replace all replicas by new ones of the same spec, without a gap."),
    "pause": ("deploys", "Hold the deployment of an app where it is."),
    "resume": ("deploys", "Let a deployment go on that is paused or has failed."),
    "promote": ("deploys", "Let the deployment of an app wait for nothing but healthy replicas."),
    "run": ("jobs", "Run a command once in a container of an app, and end with its exit code."),
    "exec": ("exec", "Run a command in a container of an app, and end with its exit code."),
    "jobs": ("jobs", "List jobs and their runs, run one now, and hold a schedule."),
    "autoscale": (
        "scaling",
        "Show or change an app's scaling policy, explain a decision, or try a policy out."),
    "metrics": (
        "scaling", "Show what was measured, of an app with its history or of the whole system."),
    "top": ("scaling", "Show replicas, load and latency of all apps or of one's replicas, live."),
    "status": ("show", "Show how the apps are, or one app with its containers."),
    "list": ("show", "List the registered apps."),
    "spec": ("show", "Print an app's spec as YAML."),
    "health": ("health", "Show the health of every replica of an app."),
    "logs": (
        "history",
        "Print the last log lines of an app's replicas, or of a job's runs, oldest first."),
    "events": ("history", "Print what happened, oldest first."),
    "cluster": ("cluster", "Look at the controllers, and change who is one."),
    "token": ("access", "Make, list and revoke the tokens by which the cluster knows its users."),
    "registry": ("registry", "Set, list and remove logins of image registries."),
    "secret": ("secret", "Set, list, rotate and remove secrets of apps."),
    "volumes": ("volumes", "List volumes, and remove those that deleted apps left behind."),
    "audit": (
        "access",
        "Print who wrote what and who was refused, oldest first; `verify` judges the whole chain."),
    "chart": (
        "releases",
        "Charts: templates and values that become app specs, a release, or a cluster's files."),
    "config": ("contexts", "Remember clusters by name; without a command, ask for one."),
    "info": (
        "info",
        "Show which cluster this is, its controllers, its parts and how many apps it runs."),
    "init": ("start", "Write a commented spec to start from."),
}
"""Command -> its module in `orchestry.cli.commands`, and its help in short.

Written down here so that a command line loads the module of one command, and `--help` of none.
"""


class Commands(click.Group):
    """The commands of HOMES, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names."""
        return list(HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name, or None."""
        if cmd_name not in HOMES:
            return None
        module = importlib.import_module(f"orchestry.cli.commands.{HOMES[cmd_name][0]}")
        found: dict[str, click.Command] = {one.name or "": one for one in module.COMMANDS}
        return found[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is asked for; a misspelled one is told with what it may be."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], HOMES, n=1)
            if not near:
                raise
            raise click.UsageError(f"{error.message} Did you mean `{near[0]}`?", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of them for `--help`."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in HOMES.items()])


@click.pass_context
def _keep_options(context: click.Context, /, **values: Any) -> None:
    context.obj = Options(**values)


app = Commands(
    "orchestry",
    callback=_keep_options,
    params=shared_options(hidden=False),
    help="Keep containers running on small controllers, any of which may die.",
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
click.version_option(__version__, message="orchestry %(version)s")(app)
