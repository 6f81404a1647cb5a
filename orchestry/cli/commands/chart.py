"""`chart`: from a folder of templates to files, without a cluster, or to a release in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestry.cli.output import printable
from orchestry.cli.session import Command, CommandError, Session

if TYPE_CHECKING:
    from orchestry.chart import Chart

LAYERS_MAX = 32


def inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments of every command that renders."""
    for decorate in (
        click.option("--set", "sets", metavar="KEY=VALUE", multiple=True,
                     help="Change one value, such as hosts.0.address=10.0.0.1; repeatable. "
                     "VALUE is JSON or plain text."),
        click.option("--values", "-f", "files", metavar="FILE", multiple=True,
                     help="YAML file with values; repeatable, the last one counts."),
        click.argument("chart", metavar="CHART", type=click.Path(path_type=Path)),
    ):
        function = decorate(function)
    return function


@click.command(cls=Command)
@inputs
@click.option("--output", "-o", metavar="DIR", type=click.Path(path_type=Path),
              help="Write the files into this folder; else they are printed.")
def render(
    session: Session, chart: Path, files: tuple[str, ...], sets: tuple[str, ...],
    output: Path | None,
) -> None:
    """Render the chart in the folder CHART with its values.

    --set beats -f, and -f the chart's own values.yaml.
    """
    loaded, rendered, specs = work(chart, layers_of(files, sets))
    apps = list(specs)
    if output is not None:
        _write(output, rendered)
    if session.out.as_json:
        session.out.document({"chart": loaded.name, "version": loaded.version, "apps": apps,
                              "files": rendered})
    elif output is not None:
        session.out.result(printable(f"{output}: {len(rendered)} files of {loaded.name} "
                                     f"{loaded.version}"))
    else:
        for path, text in rendered.items():
            session.out.result(f"# ==> {path}\n{text.rstrip()}")


@click.command(cls=Command)
@inputs
def lint(session: Session, chart: Path, files: tuple[str, ...], sets: tuple[str, ...]) -> None:
    """Check the chart in the folder CHART: its files, its values, and what it renders."""
    loaded, rendered, specs = work(chart, layers_of(files, sets))
    apps = list(specs)
    if session.out.as_json:
        session.out.document({"chart": loaded.name, "version": loaded.version, "valid": True,
                              "apps": apps, "files": sorted(rendered)})
        return
    what = f"apps: {', '.join(apps)}" if apps else f"files: {len(rendered)}"
    session.out.result(f"{loaded.name} {loaded.version}: valid, {what}")


def layers_of(files: tuple[str, ...], sets: tuple[str, ...]) -> list[dict[str, Any]]:
    """The values that the user gives, those that count more later."""
    from orchestry.chart import parse_set

    if len(files) + len(sets) > LAYERS_MAX:
        raise CommandError(f"There are more than {LAYERS_MAX} of -f and --set",
                           "Write the values into one file.")
    return [_layer(Path(file)) for file in files] + [parse_set(text) for text in sets]


def work(
    folder: Path, layers: list[dict[str, Any]]
) -> tuple[Chart, dict[str, str], dict[str, dict[str, Any]]]:
    """The chart, what it renders, and the specs of its apps by name."""
    from orchestry.chart import check_output, load_chart, merged, render_guarded

    loaded = load_chart(folder)
    rendered = render_guarded(loaded, merged(loaded.values, *layers))
    return loaded, rendered, check_output(loaded, rendered)


def _layer(path: Path) -> dict[str, Any]:
    from orchestry.chart import read_values
    from orchestry.manifest import MANIFEST_BYTES_MAX

    with path.open("rb") as file:
        raw = file.read(MANIFEST_BYTES_MAX + 1)
    try:
        return read_values(raw.decode(), str(path))
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not UTF-8 text (byte {error.start})",
                           "Save it as UTF-8.") from None


def _write(folder: Path, rendered: dict[str, str]) -> None:
    for path, text in rendered.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith(".env"):  # secrets are in files of environments
            target.touch(mode=0o600)
            target.chmod(0o600)
        target.write_text(text, encoding="utf-8", newline="\n")
