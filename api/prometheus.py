"""Prometheus exposition: Raft, loops and API of this node; apps and ingress on the leader.

Names and units follow the conventions of Prometheus: base units, `_total` for counters,
ratios instead of percent. Labels are bounded: applications, replicas, endpoints, members.
"""

from __future__ import annotations

import time
from collections import Counter as Counted
from collections.abc import Iterator
from typing import get_args

from flask import request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.core import SummaryMetricFamily as Summary
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from api.controller import Controller
from api.here import here
from api.streams.hub import Hub
from cluster.control.telemetry import Record
from cluster.history.base import Point
from cluster.state.model_runs import RunPhase
from orchestry import __version__

BEGAN = "orchestry.began_s"
CONTENT_TYPES = ("text/plain", "application/openmetrics-text")
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Requests:
    """Counts what this node was asked; in its registry is all the rest as well."""

    def __init__(self, controller: Controller) -> None:
        self.registry = CollectorRegistry()
        self._count = Counter(
            "orchestry_api_requests", "Answered API requests",
            ("method", "endpoint", "status"), registry=self.registry)
        self._time = Histogram(
            "orchestry_api_request_seconds", "Time to answer an API request",
            ("endpoint",), buckets=_BUCKETS_S, registry=self.registry)
        self.registry.register(Node(controller))
        self.registry.register(Measured(controller))

    def streams(self, hub: Hub) -> None:
        """Tell of streams too."""
        self.registry.register(OfStreams(hub))

    def count(self, status: int) -> None:
        """One request was answered."""
        began_s = request.environ.get(BEGAN)
        endpoint = request.endpoint or "none"
        method = request.method if request.endpoint else "other"
        self._count.labels(method, endpoint, str(status)).inc()
        if began_s is not None:
            self._time.labels(endpoint).observe(time.monotonic() - began_s)


def exposition(accept: str) -> tuple[bytes, str]:
    """Body and content type."""
    encode, content_type = choose_encoder(accept)
    return encode(here().requests.registry), content_type


class _Late(Collector):
    """What is collected at each scrape, and not before the first."""

    def describe(self) -> list[Metric]:
        """Nothing yet."""
        return []


class OfStreams(_Late):
    """The streams of this node."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def collect(self) -> Iterator[Metric]:
        """How many are open, were opened, and were dropped."""
        yield GaugeMetricFamily(
            "orchestry_streams_open", "Streams that are open", value=float(self._hub.count))
        yield GaugeMetricFamily(
            "orchestry_streams_max", "Streams that may be open",
            value=float(self._hub.streams_max))
        yield CounterMetricFamily(
            "orchestry_streams_opened", "Streams that were opened", value=float(self._hub.opened))
        yield CounterMetricFamily(
            "orchestry_streams_dropped", "Streams dropped because their client was too slow",
            value=float(self._hub.dropped))


class Node(_Late):
    """This controller."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def collect(self) -> Iterator[Metric]:
        """Raft, lease, loops and parts."""
        controller = self._controller
        state, raft = controller.log.state(), controller.log.status()
        build = GaugeMetricFamily("orchestry_build_info", "Version", labels=("version", "node"))
        build.add_metric([__version__, controller.id], 1)
        yield build
        leads = controller.log.leader_id() == controller.id
        for name, text, value in (
            ("raft_term", "Current Raft term", raft.term),
            ("raft_commit_index", "Last committed log index", raft.commit_index),
            ("raft_applied_index", "Last applied log index", raft.applied_index),
            ("raft_is_leader", "1 on the Raft leader", leads),
            ("raft_has_quorum", "1 with a majority of members", raft.has_quorum),
            ("raft_fault", "1 while a fault keeps this node from serving", bool(raft.fault)),
            ("lease_epoch", "Epoch of the last lease", state.leadership.epoch),
            ("lease_held", "1 while this node may act", controller.lease_valid()),
            ("apps", "Registered applications", len(state.apps)),
            ("start_time_seconds", "When this node started, Unix time",
             controller.started_at_ms / 1000),
        ):
            yield GaugeMetricFamily(f"orchestry_{name}", text, value=float(value))
        runs = GaugeMetricFamily(
            "orchestry_runs", "Runs that are known, by status", labels=("status",))
        phases = [run.phase for run in state.runs.values()]
        for phase in get_args(RunPhase):
            runs.add_metric([phase], float(phases.count(phase)))
        yield runs
        peers = GaugeMetricFamily(
            "orchestry_raft_peer_connected", "1 while connected to a member", labels=("peer",))
        for peer, known in sorted(raft.peers.items()):
            peers.add_metric([peer], float(known.connected))
        yield peers
        yield from self._loops()
        yield from self._pulls()
        parts = GaugeMetricFamily(
            "orchestry_component_healthy", "1 while a part around this node is healthy",
            labels=("component",))
        for name, part in sorted(controller.components().items()):
            parts.add_metric([name], float(part.status in ("healthy", "disabled")))
        yield parts

    def _loops(self) -> Iterator[Metric]:
        steps = Summary(
            "orchestry_loop_step_seconds", "Time of one step of a control loop", labels=("loop",))
        failures = CounterMetricFamily(
            "orchestry_loop_failures", "Steps that ended by an error of the program",
            labels=("loop",))
        for name, timing in sorted(self._controller.loop_timings().items()):
            steps.add_metric([name], count_value=timing.steps, sum_value=timing.total_s)
            failures.add_metric([name], timing.failures)
        yield steps
        yield failures

    def _pulls(self) -> Iterator[Metric]:
        counts = self._controller.pulls
        ended = CounterMetricFamily(
            "orchestry_image_pulls", "Pulls of images that ended", labels=("result",))
        for result, count in sorted(counts.ended.copy().items()):
            ended.add_metric([result], count)
        yield ended
        yield CounterMetricFamily(
            "orchestry_image_pull_seconds", "Time that pulls of images took",
            value=counts.seconds)
        yield GaugeMetricFamily(
            "orchestry_image_pulls_running", "Pulls of images under way",
            value=float(counts.running))


class Measured(_Late):
    """Applications and ingress, as the leader measured them; empty elsewhere."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def collect(self) -> Iterator[Metric]:
        """All applications that were measured lately."""
        controller = self._controller
        if not controller.lease_valid():
            return
        records = controller.telemetry.all_latest(controller.clock.wall_ms())
        yield self._replicas(records)
        yield from self._rollouts()
        yield from self._restarts()
        yield from self._gauges(records)
        yield self._latency(records)
        yield from self._counters()
        yield from self._each(records)

    def _replicas(self, records: dict[str, Record]) -> Metric:
        replicas = GaugeMetricFamily(
            "orchestry_app_replicas", "Replicas of an application", labels=("app", "state"))
        for name, app in sorted(self._controller.log.state().apps.items()):
            replicas.add_metric([name, "desired"], app.replicas if app.running else 0)
            replicas.add_metric([name, "current"], len(app.reports))
            replicas.add_metric(
                [name, "healthy"], sum(r.health == "healthy" for r in app.reports))
            if name in records:
                one = records[name].decision
                replicas.add_metric([name, "min"], one.minimum)
                replicas.add_metric([name, "max"], one.maximum)
                replicas.add_metric([name, "wanted"], one.wanted)
        return replicas

    def _rollouts(self) -> Iterator[Metric]:
        known = GaugeMetricFamily(
            "orchestry_rollouts", "Deployments of an application that are kept, by phase",
            labels=("app", "phase"))
        weights = GaugeMetricFamily(
            "orchestry_rollout_weight_ratio", "Share of the requests that a canary gets",
            labels=("app",))
        for name, app in sorted(self._controller.log.state().apps.items()):
            under_way = () if app.rollout is None else (app.rollout,)
            phases = Counted(one.phase for one in (*under_way, *app.deployments))
            for phase, count in sorted(phases.items()):
                known.add_metric([name, phase], count)
            canary = app.rollout.canary if app.rollout is not None else None
            if canary is not None:
                weights.add_metric([name], canary.weight / 100)
        yield known
        yield weights

    def _restarts(self) -> Iterator[Metric]:
        """From the replicated state: a change of the leader resets none of them."""
        failures = CounterMetricFamily(
            "orchestry_app_restarts",
            "Failures of replicas since the application was registered", labels=("app",))
        oom_kills = CounterMetricFamily(
            "orchestry_app_oom_kills", "Replicas that were killed for want of memory",
            labels=("app",))
        looping = GaugeMetricFamily(
            "orchestry_app_crash_looping", "Replicas in a crash loop", labels=("app",))
        for name, app in sorted(self._controller.log.state().apps.items()):
            failures.add_metric([name], app.failures)
            oom_kills.add_metric([name], app.oom_kills)
            looping.add_metric([name], sum(one.looping for one in app.attempts))
        yield failures
        yield oom_kills
        yield looping

    def _gauges(self, records: dict[str, Record]) -> Iterator[Metric]:
        for name, text, field, scale in (
            ("cpu_ratio", "Mean CPU of the replicas, of their limits", "cpu_percent", 0.01),
            ("memory_ratio", "Mean memory of the replicas, of their limits",
             "memory_percent", 0.01),
            ("memory_bytes", "Memory of all replicas without page cache", "memory_bytes", 1),
            ("requests_per_second", "Requests per second", "rps", 1),
            ("connections", "Requests in flight", "connections", 1),
        ):
            family = GaugeMetricFamily(f"orchestry_app_{name}", text, labels=("app",))
            for app, record in sorted(records.items()):
                value = getattr(record.point, field)
                if value is not None:
                    family.add_metric([app], value * scale)
            yield family

    def _latency(self, records: dict[str, Record]) -> Metric:
        family = GaugeMetricFamily(
            "orchestry_app_response_seconds", "Time to the first byte of an answer",
            labels=("app", "quantile"))
        for app, record in sorted(records.items()):
            for quantile, value in _quantiles(record.point):
                if value is not None:
                    family.add_metric([app, quantile], value / 1000)
        return family

    def _counters(self) -> Iterator[Metric]:
        totals = self._controller.telemetry.totals()
        requests = CounterMetricFamily(
            "orchestry_app_requests", "Requests to an application since this node leads",
            labels=("app",))
        for app, count in sorted(totals.requests_by_app.items()):
            requests.add_metric([app], count)
        yield requests
        errors = CounterMetricFamily(
            "orchestry_app_errors", "Answers 5xx of an application since this node leads",
            labels=("app",))
        for app, count in sorted(totals.errors_by_app.items()):
            errors.add_metric([app], count)
        yield errors
        yield CounterMetricFamily(
            "orchestry_ingress_requests", "Requests through all ingresses since this node leads",
            value=totals.requests)

    def _each(self, records: dict[str, Record]) -> Iterator[Metric]:
        cpu = GaugeMetricFamily(
            "orchestry_replica_cpu_ratio", "CPU of a replica, of its limit",
            labels=("app", "replica"))
        memory = GaugeMetricFamily(
            "orchestry_replica_memory_bytes", "Memory of a replica without page cache",
            labels=("app", "replica"))
        for app, record in sorted(records.items()):
            for replica, load in sorted(record.loads.items()):
                if load.cpu_percent is not None:
                    cpu.add_metric([app, replica], load.cpu_percent / 100)
                if load.memory_bytes is not None:
                    memory.add_metric([app, replica], load.memory_bytes)
        yield cpu
        yield memory


def _quantiles(point: Point) -> tuple[tuple[str, float | None], ...]:
    return ("0.5", point.p50_ms), ("0.95", point.p95_ms), ("0.99", point.p99_ms)
