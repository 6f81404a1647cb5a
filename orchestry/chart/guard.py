"""A chart rendered in a process of its own, with limits of time and memory.

`{{ 'x' * 10 ** 10 }}`, loops in loops and evil regular expressions are all legal: only the
system can stop them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from orchestry.chart.model import Chart, ChartError

DEADLINE_S: Final = 10.0
MEMORY_BYTES_MAX: Final = 512 * 1024**2

_CODE = "import sys; sys.path.insert(0, sys.argv[1]); import orchestry.chart.child as c; c.main()"
_ROOT = str(Path(__file__).parents[2])


def render_guarded(
    chart: Chart, values: Mapping[str, Any], *, deadline_s: float = DEADLINE_S
) -> dict[str, str]:
    """Every file of the chart, by its path.

    Raises:
        ChartError: with every fault of the values, or the one that stopped the rendering.
    """
    request = {
        "name": chart.name, "version": chart.version, "kind": chart.kind,
        "templates": dict(chart.templates), "schema": chart.schema, "values": values,
        "memory_bytes": MEMORY_BYTES_MAX, "processor_s": int(deadline_s) + 1}
    place = f"chart {chart.name}"
    try:
        # -P: the folder that a user stands in is no place to import from.
        done = subprocess.run(
            [sys.executable, "-P", "-c", _CODE, _ROOT], input=json.dumps(request).encode(),
            capture_output=True, check=False, timeout=deadline_s)
    except subprocess.TimeoutExpired:
        raise ChartError.at(place, f"takes more than {deadline_s:g} s to render") from None
    except ValueError as error:
        raise ChartError.at(place, f"cannot be rendered: {error}") from None
    if done.returncode != 0:
        raise ChartError.at(place, "needs too much time or memory to render: at most "
                           f"{deadline_s:g} s and {MEMORY_BYTES_MAX // 1024**2} MiB")
    answer = json.loads(done.stdout)
    if "problems" in answer:
        raise ChartError((problem, message) for problem, message in answer["problems"])
    files: dict[str, str] = answer["files"]
    return files
