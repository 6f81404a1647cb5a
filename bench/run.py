"""`make bench`: measure speed side by side with peers, print figures and ratios.

Not a test: a missed goal is printed, and never fails anything.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench import autoscaling, containers, failover, handover, idle, ingress, load, streams, usage
from bench.report import Figure, show

PARTS = ("failover", "handover", "containers", "throughput", "idle", "ingress",
         "autoscaling", "usage", "streams", "saturation")
IDLE_S = 60


def main() -> int:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, help=f"of {', '.join(PARTS)}")
    parser.add_argument("--trials", type=int, default=30, help="leader kills (default 30)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of the rest (default 5)")
    parser.add_argument("--saturation-s", type=int, default=600, help="seconds (default 600)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="orchestry-bench-") as name:
        folder = Path(name)
        for part in options.parts:
            print(f"-- {part}", flush=True)
            if part == "failover":
                figures += failover.measure(folder, options.trials)
            elif part == "handover":
                figures += handover.measure(folder, max(1, options.trials * 2 // 3))
            elif part == "idle":
                figures += idle.measure(folder, IDLE_S)
            elif part == "autoscaling":
                figures += autoscaling.measure(folder, options.rounds)
            elif part == "usage":
                figures += usage.measure(options.rounds)
            elif part == "ingress":
                figures += ingress.measure(folder, options.rounds)
            elif part == "containers":
                figures += containers.measure(folder, options.rounds)
            elif part == "throughput":
                figures += load.throughput(folder, options.rounds)
            elif part == "streams":
                figures += streams.measure(folder)
            elif part == "saturation":
                figures += load.saturation(folder, options.saturation_s)
            else:
                parser.error(f"unknown part {part!r}; choose of {', '.join(PARTS)}")
    show(figures, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
