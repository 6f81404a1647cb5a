"""`cluster drill`: let a running cluster fail on purpose, and measure what users see."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from orchestry.cli.load import Figures, Load, figures
from orchestry.cli.output import printable
from orchestry.cli.session import Command, CommandError, Session, UsageError
from orchestry.errors import OrchestryError

FAULTS = ("leader-kill", "partition", "db-down")
MEMBERS_MIN = 3
BEFORE_S = 3.0
AFTER_S = 2.0
BACK_S = 90.0
POLL_S = 0.1
APP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to whom: the leader of `term`, for `seconds`; `urls` are the controllers'."""

    fault: str
    leader: str
    term: int
    seconds: int
    urls: dict[str, str]


@click.command(cls=Command)
@click.argument("fault", type=click.Choice(FAULTS))
@click.option("--seconds", type=click.IntRange(1, 60), default=10, show_default=True,
              help="How long a partition or a lost database lasts.")
@click.option("--rate", type=click.FloatRange(1, 200), default=20, show_default=True,
              help="Reads, writes and requests to the app a second, of each so many.")
@click.option("--app-url", metavar="URL", help="Ask an app at this address too.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def drill(
    session: Session, *, fault: str, seconds: int, rate: float, app_url: str | None, yes: bool
) -> int:
    """Let the leader fail on purpose, and measure what users see of it.

    leader-kill: its process dies at once, and is started again by what supervises it;
    partition: it is cut off from the other controllers; db-down: it takes PostgreSQL for
    unreachable. Only where the controllers run with ORCHESTRY_DRILL=on, as those of
    `orchestry dev` do. All of it ends by itself. Exit code 1 when a call failed, or when the
    cluster did not recover.
    """
    if app_url is not None and not app_url.startswith(("http://", "https://")):
        raise UsageError("--app-url must begin with http:// or https://")
    plan = _plan(session, fault, seconds)
    if not yes:
        if session.out.as_json or not sys.stdin.isatty():
            raise UsageError("a drill needs a confirmation; give --yes")
        if not click.confirm(f"{_told(plan)}?", err=True):
            raise CommandError("Nothing was done", "Give --yes to do it without a question.")
    load = Load(_kinds(session, app_url), rate)
    load.start()
    try:
        session.out.progress("Measuring before the fault")
        time.sleep(BEFORE_S)
        session.out.progress(f"{_told(plan)}; it ends by itself")
        session.client.begin_drill(
            fault, term=plan.term, seconds=seconds, key=f"drill-{secrets.token_hex(8)}")
        fault_s = time.monotonic()
        healthy_s = _healthy_after(session, plan, fault_s)
        time.sleep(AFTER_S)
    finally:
        load.stop()
    found = {name: figures(calls, fault_s, time.monotonic()) for name, calls in load.calls.items()}
    return _report(session, plan, found, healthy_s)


def _told(plan: Plan) -> str:
    what = {
        "leader-kill": f"Kill the leader {plan.leader}",
        "partition": f"Cut the leader {plan.leader} off for {plan.seconds} s",
        "db-down": f"Let the leader {plan.leader} lose PostgreSQL for {plan.seconds} s",
    }
    return what[plan.fault]


def _plan(session: Session, fault: str, seconds: int) -> Plan:
    """Whom it hits; raises CommandError when the cluster is not well, or allows no drill."""
    status = session.client.cluster_status()
    fault_now = _ailing(status)
    if fault_now:
        raise CommandError(
            f"No drill: {fault_now}", "See `orchestry cluster status`; a drill needs a well one.")
    if status["cluster_size"] < MEMBERS_MIN:
        raise CommandError(
            f"No drill: the cluster has {status['cluster_size']} controllers, fewer than "
            f"{MEMBERS_MIN}", "Add one with `orchestry cluster add`.")
    session.client.probe_drill()
    urls = {node["node_id"]: node["api_url"] or "" for node in status["nodes"]}
    return Plan(fault, str(status["leader_id"]), int(status["term"]), seconds, urls)


def _ailing(status: Mapping[str, Any]) -> str:
    """What is wrong with a cluster, "" when all is well."""
    down = [str(node["node_id"]) for node in status.get("nodes") or []
            if not node.get("is_healthy")]
    if down:
        return f"{', '.join(sorted(down))} does not do well"
    if status.get("fault"):
        return str(status["fault"])
    return "" if status.get("lease") else "there is no leader that may act"


def _kinds(session: Session, app_url: str | None) -> dict[str, Callable[[], object]]:
    reader, writer = session.fresh(), session.fresh()
    kinds: dict[str, Callable[[], object]] = {
        "reads": reader.system_health, "writes": writer.probe_drill}
    if app_url is not None:
        kinds["app"] = lambda: _ask(app_url)
    return kinds


def _ask(url: str) -> None:
    with urllib.request.urlopen(url, timeout=APP_TIMEOUT_S) as answer:  # noqa: S310 - see drill
        answer.read()


def _healthy_after(session: Session, plan: Plan, fault_s: float) -> float | None:
    """Seconds until the fault was over and all controllers well again; None when never."""
    least_s = 0.0 if plan.fault == "leader-kill" else float(plan.seconds)
    until_s = fault_s + least_s + BACK_S
    while time.monotonic() < until_s:
        time.sleep(POLL_S)
        with contextlib.suppress(OrchestryError):
            if time.monotonic() >= fault_s + least_s and _well(session, plan):
                return time.monotonic() - fault_s
    return None


def _well(session: Session, plan: Plan) -> bool:
    """Whether all controllers follow one leader that may act, and PostgreSQL has its copy.

    Only calls that the limits of requests leave out.
    """
    leader = session.client.cluster_leader()
    if leader["lease_expires_at"] is None:
        return False
    if plan.fault != "db-down" and leader["term"] == plan.term:
        return False
    for url in plan.urls.values():
        with contextlib.closing(session.at(url)) as one:
            health = one.cluster_health()
        if not health["cluster_ready"] or health["leader_id"] != leader["leader_id"]:
            return False
    if plan.fault != "db-down":
        return True
    with contextlib.closing(session.at(plan.urls[leader["leader_id"]])) as one:
        database = one.system_health()["components"]["database"]
    return bool(database["status"] == "healthy" and not database["events_behind"])


def _report(
    session: Session, plan: Plan, found: dict[str, Figures], healthy_s: float | None
) -> int:
    failed = sum(one.failed for one in found.values())
    if session.out.as_json:
        session.out.document({
            "fault": plan.fault, "leader": plan.leader, "term": plan.term,
            "seconds": None if plan.fault == "leader-kill" else plan.seconds,
            "recovery_s": found["writes"].document()["recovery_s"],
            "healthy_after_s": None if healthy_s is None else round(healthy_s, 3),
            "dropped": failed, "calls": {name: one.document() for name, one in found.items()},
        })
    else:
        session.out.table(
            ["CALLS", "SENT", "FAILED", "OVER 1 S", "MEDIAN", "WORST", "RECOVERY", "PAUSE"],
            [[name, one.sent, one.failed, one.late, _time(one.median_s), _time(one.worst_s),
              _time(one.recovery_s), _time(one.pause_s)] for name, one in found.items()])
        for name, one in found.items():
            if one.first_error:
                session.out.result(printable(f"First failure of {name}: {one.first_error}"))
        session.out.result(
            f"All controllers well again after {healthy_s:.1f} s" if healthy_s is not None else
            f"Not all controllers are well after {BACK_S:.0f} s: see `orchestry cluster status`")
    return 1 if failed or healthy_s is None else 0


def _time(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
