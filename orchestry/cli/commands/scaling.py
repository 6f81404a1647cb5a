"""`autoscale`, `metrics`, `top`: how apps are scaled, why, and what was measured."""

from __future__ import annotations

import csv
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestry.cli.output import printable, replicas, table
from orchestry.cli.plot import plot
from orchestry.cli.session import Command, Session, UsageError, app_argument, app_names
from orchestry.cli.waiting import pause_s
from orchestry.errors import OrchestryError

if TYPE_CHECKING:
    from rich.console import RenderableType

PERIOD_S = 2.0
FILE_BYTES_MAX = 16 * 1024**2
ROWS_SHOWN_MAX = 40
_NUMBERS = ("cpu_percent", "memory_percent", "rps", "latency_p95_ms", "active_connections")
_UNITS = {"cpu_percent": "%", "memory_percent": "%", "latency_p95_ms": " ms"}
_HEADS = ("CPU", "MEMORY", "RPS", "P95", "CONNECTIONS")


def _policy_options(command: Any) -> Any:
    count, percent = click.IntRange(0, 100), click.FloatRange(1, 100)
    for name, key, kind, unit, text in reversed((
        ("--min", "min_replicas", count, "N", "Fewest replicas; 0 lets an idle app sleep."),
        ("--max", "max_replicas", click.IntRange(1, 100), "N", "Most replicas."),
        ("--cpu", "max_cpu_percent", percent, "PERCENT",
         "Target CPU, percent of a replica's limit."),
        ("--memory", "max_memory_percent", percent, "PERCENT",
         "Target memory, percent of the limit."),
        ("--rps", "target_rps_per_replica", click.FloatRange(1, 10_000), "N",
         "Target requests per second and replica."),
        ("--p95", "max_p95_latency_ms", click.FloatRange(1, 30_000), "MS",
         "Most milliseconds of the 95th percentile."),
        ("--connections", "max_conn_per_replica", click.IntRange(1), "N",
         "Target connections per replica."),
        ("--mode", "mode", click.Choice(("auto", "manual")), None, "manual only tells."),
        ("--window", "window_seconds", click.IntRange(5), "SECONDS",
         "Seconds that a decision looks at."),
        ("--cooldown", "cooldown_seconds", click.IntRange(0), "SECONDS",
         "Seconds without scale-in after a change."),
    )):
        command = click.option(name, key, type=kind, metavar=unit, help=text)(command)
    return command


@click.command(cls=Command)
@app_argument
@_policy_options
@click.option("--explain", is_flag=True, help="Say why the last decision was what it was.")
@click.option("--at", metavar="TIME", help="With --explain: the decision of that time.")
@click.option("--replay", metavar="FILE", type=click.Path(dir_okay=False),
              help="Show what the policy would do with the measurements of a file (JSON or CSV).")
@click.option("--since", metavar="TIME",
              help="Show what the policy would have done since then: 30m, 1h or a time.")
def autoscale(
    session: Session, *, name: str, explain: bool, at: str | None, replay: str | None,
    since: str | None, **policy: Any,
) -> None:
    """Show or change an app's scaling policy, explain a decision, or try a policy out."""
    changes = {key: value for key, value in policy.items() if value is not None}
    if at is not None and not explain:
        raise UsageError("--at belongs to --explain")
    if explain and (changes or replay or since):
        raise UsageError("--explain stands alone, or with --at")
    if replay is not None and since is not None:
        raise UsageError("give --replay FILE or --since TIME, not both")
    if explain:
        _explain(session, name, at)
    elif replay is not None or since is not None:
        _simulate(session, name, changes, replay, since)
    else:
        _policy(session, name, changes)


def _policy(session: Session, name: str, changes: Mapping[str, Any]) -> None:
    client = session.client
    if changes:
        answer: Mapping[str, Any] = client.update_scaling_policy(name, changes)
        before, policy = answer["previous_policy"], answer["new_policy"]
    else:
        answer = client.get_scaling_policy(name)
        policy = {"mode": answer["mode"], **answer["policy"]}
        before = policy
    if session.out.as_json:
        session.out.document(answer)
        return
    session.out.table(["KEY", "VALUE", "BEFORE"] if changes else ["KEY", "VALUE"], [
        [key, _text(value), *([_text(before.get(key)) if before.get(key) != value else ""]
                              if changes else [])]
        for key, value in policy.items()
    ])
    last = answer.get("last_scaling_event")
    if last:
        session.out.result(printable(
            f"Last scaled {last['timestamp']}: {last['from_replicas']} to "
            f"{last['to_replicas']} replicas. {last['reason']}"))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    if isinstance(value, Mapping):  # an entry of the schedule
        return (f"{value['cron']} {value['timezone']} for {value['duration_seconds']} s: "
                f"{value['min_replicas']} to {value['max_replicas']}")
    return printable(value)


def _explain(session: Session, name: str, at: str | None) -> None:
    answer = session.client.get_scaling_decisions(name, limit=1, until=at)
    if session.out.as_json:
        session.out.document(answer)
        return
    if not answer["decisions"]:
        session.out.result(
            f"{name}: no decision is known{' of that time' if at else ' yet'}. The leader keeps "
            "those of the last hour, since it began to lead; the events tell older changes.")
        return
    one = answer["decisions"][0]
    session.out.result(printable(f"{one['timestamp']}  {one['explanation']}"))


def _simulate(
    session: Session, name: str, changes: Mapping[str, Any], file: str | None,
    since: str | None,
) -> None:
    samples = read_samples(file) if file is not None else None
    answer = session.client.simulate_scaling(name, changes, since=since, samples=samples)
    if session.out.as_json:
        session.out.document(answer)
        return
    rounds: Sequence[Mapping[str, Any]] = answer["rounds"]
    summary = answer["summary"]
    moves = [one for one in rounds if one["would_be"] != one["from_replicas"]]
    rows = moves[:ROWS_SHOWN_MAX]
    if rows:
        session.out.table(["TIME", "FROM", "TO", "REASON"], [
            [_time(one), one["from_replicas"], one["would_be"], one["would_reason"]]
            for one in rows])
    if len(moves) > len(rows):
        session.out.result(f"... and {len(moves) - len(rows)} more")
    for title, key in (("under this policy", "would_be"), ("as recorded", "recorded_replicas")):
        session.out.result(plot(
            f"replicas {title}", [float(one[key]) for one in rounds],
            first=_time(rounds[0]), last=_time(rounds[-1])))
    session.out.result(
        f"{len(rounds)} rounds: {summary['changes']} changes, {summary['turns']} of them "
        f"in the other direction; {summary['least_replicas']} to {summary['most_replicas']} "
        f"replicas, {summary['mean_replicas']} on average")


def _time(one: Mapping[str, Any]) -> str:
    return str(one["timestamp"]).partition(".")[0].rstrip("Z") + "Z"


def read_samples(path: str) -> list[dict[str, Any]]:
    """Samples of a file: the JSON of `metrics --json`, a JSON list, or CSV with a header.

    Raises:
        UsageError: the file holds none.
    """
    if path == "-":
        text = sys.stdin.read(FILE_BYTES_MAX + 1)
    else:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(FILE_BYTES_MAX + 1)
    if len(text) > FILE_BYTES_MAX:
        raise UsageError(f"{path} has more than {FILE_BYTES_MAX} bytes")
    try:
        found = json.loads(text)
    except ValueError:
        found = _csv(path, text)
    if isinstance(found, dict):
        found = found.get("history")
    if not isinstance(found, list) or not found or not all(isinstance(s, dict) for s in found):
        raise UsageError(
            f"{path} holds no samples: give the output of `orchestry --json metrics NAME`, a "
            "JSON list of such points, or CSV with a header")
    return found


def _csv(path: str, text: str) -> list[dict[str, Any]]:
    rows = list(csv.DictReader(text.splitlines()))
    try:
        return [
            {key: value if key == "timestamp" else
             int(value) if key in ("total_replicas", "healthy_replicas") else float(value)
             for key, value in row.items() if key and value not in ("", None)}
            for row in rows if "timestamp" in row
        ]
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from None


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=app_names)
@click.option("--history", metavar="N", type=click.IntRange(0, 1000), default=10,
              show_default=True, help="Points of the history.")
@click.option("--interval", type=click.Choice(("5m", "1h", "1d")),
              help="Means over so long, instead of single measurements.")
@click.option("--plot", "draw", is_flag=True, help="Draw the history.")
def metrics(
    session: Session, *, name: str | None, history: int, interval: str | None, draw: bool
) -> None:
    """Show what was measured, of an app with its history or of the whole system."""
    if name is None:
        if draw or interval:
            raise UsageError("--plot and --interval need the NAME of an app")
        answer: Mapping[str, Any] = session.client.system_metrics()
    else:
        answer = session.client.get_app_metrics(name, history=history, interval=interval)
    if session.out.as_json:
        session.out.document(answer)
        return
    console = session.out.console()
    if name is None:
        console.print(_system(answer))
        return
    points = answer["history"]
    if draw:
        for key, head in zip(_NUMBERS, _HEADS, strict=True):
            session.out.result(plot(
                f"{head}{_UNITS.get(key, '')}", [point.get(key) for point in points],
                first=_time(points[0]) if points else "",
                last=_time(points[-1]) if points else ""))
        return
    rows = [["now", *_cells(answer["current"])]]
    rows += [[_time(point), *_cells(point)] for point in reversed(points)]
    console.print(table(["TIME", *_HEADS], rows))


def _cells(point: Mapping[str, Any]) -> list[str]:
    return [_number(point.get(key), _UNITS.get(key, "")) for key in _NUMBERS]


def _number(value: Any, unit: str = "") -> str:
    return "-" if value is None else f"{value:.4g}{unit}"


def _system(answer: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group

    system, network = answer["system"], answer["network"]
    return Group(
        f"Host: CPU {_number(system['cpu_percent'], '%')}, memory "
        f"{system['memory_used_gb']} of {system['memory_total_gb']} GB, disk "
        f"{system['disk_used_gb']} of {system['disk_total_gb']} GB",
        f"Ingress: {_number(network['requests_per_second'])} requests/s, errors "
        f"{_number(network['error_rate_percent'], '%')}, mean "
        f"{_number(network['avg_response_time_ms'], ' ms')}",
        table(["APP", "REPLICAS", "CPU", "MEMORY", "RPS"], [
            [app["name"], app["replicas"], _number(app["cpu_percent"], "%"),
             _number(app["memory_mb"], " MB"), _number(app["rps"])]
            for app in answer["applications"]
        ]),
    )


@click.command(cls=Command)
@click.argument("name", metavar="[NAME]", required=False, shell_complete=app_names)
@click.option("--once", is_flag=True, help="Show it once.")
def top(session: Session, *, name: str | None, once: bool) -> None:
    """Show replicas, load and latency of all apps or of one's replicas, live."""
    if session.out.as_json:
        session.out.document(_top_answer(session, name))
        return
    console = session.out.console()
    view = _top_view(_top_answer(session, name))
    if once or not console.is_terminal:
        console.print(view)
        return
    from rich.live import Live

    try:
        with Live(view, console=console, auto_refresh=False) as live:
            for looks in itertools.count():
                time.sleep(pause_s(session, PERIOD_S, looks))
                try:
                    view = _top_view(_top_answer(session, name))
                except OrchestryError as error:
                    view = printable(error)
                live.update(view, refresh=True)
    except KeyboardInterrupt:
        return


def _top_answer(session: Session, name: str | None) -> Mapping[str, Any]:
    client = session.client
    if name is not None:
        return client.get_app_metrics(name, history=0)
    apps = client.list_apps()["apps"]
    rows = {row["name"]: row for row in client.system_metrics()["applications"]}
    return {"apps": [{**app, "metrics": rows.get(app["name"], {})} for app in apps]}


def _top_view(answer: Mapping[str, Any]) -> RenderableType:
    if "apps" in answer:
        return table(["APP", "STATUS", "REPLICAS", "CPU", "MEMORY", "RPS", "P95"], [
            [app["name"], app["status"], replicas(app),
             _number(app["metrics"].get("cpu_percent"), "%"),
             _number(app["metrics"].get("memory_mb"), " MB"),
             _number(app["metrics"].get("rps")),
             _number(app["metrics"].get("latency_p95_ms"), " ms")]
            for app in answer["apps"]
        ])
    from rich.console import Group

    current = answer["current"]
    rows: Sequence[Sequence[object]] = [
        [one["name"], _number(one["cpu_percent"], "%"), _number(one["memory_percent"], "%")]
        for one in answer["replicas"]
    ]
    return Group(
        f"{answer['app_name']}: {current['healthy_replicas']}/{current['total_replicas']} "
        f"replicas, {_number(current.get('rps'))} requests/s, p95 "
        f"{_number(current.get('latency_p95_ms'), ' ms')}, "
        f"{_number(current.get('active_connections'))} connections",
        table(["REPLICA", "CPU", "MEMORY"], rows),
    )


COMMANDS = (autoscale, metrics, top)
