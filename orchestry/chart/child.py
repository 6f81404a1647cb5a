"""The process in which a chart is rendered: a request on standard input, its answer on output."""

from __future__ import annotations

import json
import sys
from typing import Any

from orchestry.chart.model import Chart, ChartError
from orchestry.chart.render import rendered

try:
    import resource
except ImportError:  # Windows: the deadline alone holds there
    resource = None  # type: ignore[assignment]


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    _limit(request.pop("memory_bytes"), request.pop("processor_s"))
    values = request.pop("values")
    answer: dict[str, Any]
    try:
        answer = {"files": rendered(Chart(**request), values)}
    except ChartError as error:
        answer = {"problems": error.problems}
    sys.stdout.buffer.write(json.dumps(answer).encode())


def _limit(memory_bytes: int, processor_s: int) -> None:
    """So much and no more; no file can be written either."""
    if resource is None:
        return
    for what, most in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, processor_s),
                       (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        try:
            _, hard = resource.getrlimit(what)
            limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(what, (limit, limit))
        except (ValueError, OSError):
            # macOS knows no limit of memory
            continue
