"""Write the reference of all commands into docs/cli.md, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import click

from orchestry.cli.app import app

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
BEGIN = "<!-- Written by tools/gen_cli.py from the commands' own help. -->\n"
END = "<!-- Here the reference of the commands ends. -->\n"
SHARED = {option.name for option in app.params}


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """All commands with their whole names, groups that do something themselves included."""
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path)
        for name in command.list_commands(context):
            part = command.get_command(context, name)
            assert part is not None, name
            yield from commands(part, f"{path} {name}")


def entry(path: str, command: click.Command) -> str:
    """One command as a man page tells it: how it is written, what it does, its options."""
    context = click.Context(command, info_name=path)
    arguments = [piece for piece in command.collect_usage_pieces(context)
                 if piece not in ("[OPTIONS]", "COMMAND [ARGS]...", "[COMMAND] [ARGS]...")]
    lines = [f"### `{' '.join([path, *arguments]).removeprefix('orchestry ')}`", "",
             inspect.cleandoc(command.help or "").replace("\f", ""), ""]
    rows = [
        record for option in command.params
        if isinstance(option, click.Option) and option.name not in SHARED
        and (record := option.get_help_record(context)) is not None
    ]
    if rows:
        lines += ["| option | meaning |", "|---|---|"]
        lines += [f"| `{cell(names)}` | {cell(text)} |" for names, text in rows]
        lines.append("")
    return "\n".join(lines)


def cell(text: str) -> str:
    """Text in a table."""
    return " ".join(text.split()).replace("|", "\\|")


def page() -> str:
    """The whole page, its reference written anew."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    assert after, f"{PAGE} lacks the line that ends the reference"
    reference = "\n".join(
        entry(path, command) for path, command in commands(app, "orchestry")
        if path != "orchestry")
    return f"{before}{BEGIN}\n{reference}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page())
