"""The loops of a leader, wired to one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from cluster.clock import Clock
from cluster.config.effective import Configured
from cluster.control.canaries import Canaries
from cluster.control.checks import HealthChecks
from cluster.control.fleet import Fleet
from cluster.control.health import HealthMonitor, Prober
from cluster.control.image_cleaner import ImageCleaner
from cluster.control.images import Images, PullCounts
from cluster.control.ingress_sync import IngressSync
from cluster.control.jobs import Jobs
from cluster.control.last_lines import LastLines
from cluster.control.loop import Loop
from cluster.control.measure import Measurer
from cluster.control.observe import Observer
from cluster.control.receipts import Receipts
from cluster.control.reconcile import Reconciler
from cluster.control.report import Reporter
from cluster.control.restarts import Restarts
from cluster.control.rollouts import Rollouts
from cluster.control.runs import Runs
from cluster.control.scaler import Scaler
from cluster.control.telemetry import Telemetry
from cluster.control.volumes import VolumeKeeper
from cluster.control.workers import Workers
from cluster.engine.base import Engine
from cluster.ingress.base import Https, Ingress
from cluster.sealing import Keyring


def make_loops(
    engine: Engine,
    ingresses: Sequence[Ingress],
    prober: Prober,
    *,
    fleet: Fleet,
    workers: Workers,
    clock: Clock,
    telemetry: Telemetry,
    configured: Configured,
    keyring: Keyring,
    checks: HealthChecks | None = None,
    https: Callable[[], Https] = Https,
    pulls: PullCounts | None = None,
) -> tuple[list[Loop], Observer]:
    """The leader's loops in the order in which they are stepped, and the one that takes hints."""
    observer = Observer(engine, fleet, workers)
    ingress = IngressSync(
        ingresses, fleet, workers, configured=configured, https=https)
    images = Images(
        engine, fleet, workers, clock, configured=configured, keyring=keyring, counts=pulls)
    volumes = VolumeKeeper(engine, fleet, workers, clock)
    cleaner = ImageCleaner(engine, fleet, workers, clock, configured=configured)
    reconciler = Reconciler(
        engine, fleet, workers, ingress.out_of_ingress, clock, drained=ingress.drained,
        configured=configured, keyring=keyring, volumes=volumes, images=images)
    health = HealthMonitor(prober, fleet, workers, clock, checks)
    scaler = Scaler(
        engine, ingresses, fleet, workers, clock, telemetry=telemetry, configured=configured)
    measurer = Measurer(ingresses, fleet, workers, clock)
    last_lines = LastLines(engine, workers, keyring)
    rollouts = Rollouts(
        last_lines, fleet, serves=ingress.serves, is_blind=ingress.is_blind,
        canaries=Canaries(fleet, measurer, ingress.shares), has_image=images.ready,
        keyring=keyring)
    runs = Runs(engine, fleet, workers, images, last_lines, keyring=keyring)
    return [
        observer, Restarts(fleet, last_lines), health, scaler, measurer, Jobs(fleet), images, runs,
        rollouts, reconciler, volumes, cleaner, ingress, Receipts(fleet, measurer),
        Reporter(fleet),
    ], observer
