"""`make bench`: measure speed side by side with peers, print figures and ratios.

Not a test: a missed goal is printed, and never fails anything.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import (
    autoscaling,
    containers,
    failover,
    handover,
    idle,
    ingress,
    load,
    streams,
    swarm,
    usage,
    writes,
)
from bench.report import Figure, show

PARTS = ("failover", "handover", "containers", "throughput", "idle", "ingress",
         "autoscaling", "usage", "streams", "writes", "saturation")
BY_NAME = ("swarm",)
"""What changes the daemon for a while, and is left out unless it is asked for."""
IDLE_S = 60


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    known = (*PARTS, *BY_NAME)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(known)}")
    parser.add_argument("--trials", type=int, default=30, help="leader kills (default 30)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the rest (default 5)")
    parser.add_argument("--saturation-s", type=int, default=600, help="seconds (default 600)")
    parser.add_argument("--writes", type=int, default=writes.COUNT,
                        help=f"writes of each client while leaders die (default {writes.COUNT})")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    unknown = set(options.parts) - set(known)
    if unknown:
        parser.error(f"unknown part {unknown.pop()!r}; choose of {', '.join(known)}")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="orchestry-bench-") as name:
        folder = Path(name)
        trials, rounds = options.trials, options.rounds
        parts: dict[str, Callable[[], list[Figure]]] = {
            "failover": lambda: failover.measure(folder, trials),
            "handover": lambda: handover.measure(folder, max(1, trials * 2 // 3)),
            "containers": lambda: containers.measure(folder, rounds),
            "throughput": lambda: load.throughput(folder, rounds),
            "idle": lambda: idle.measure(folder, IDLE_S),
            "ingress": lambda: ingress.measure(folder, rounds),
            "autoscaling": lambda: autoscaling.measure(folder, rounds),
            "usage": lambda: usage.measure(rounds),
            "streams": lambda: streams.measure(folder),
            "swarm": lambda: swarm.measure(folder, rounds),
            "writes": lambda: writes.measure(folder, options.writes),
            "saturation": lambda: load.saturation(folder, options.saturation_s),
        }
        for part in options.parts:
            print(f"-- {part}", flush=True)
            figures += parts[part]()
    show(figures, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
