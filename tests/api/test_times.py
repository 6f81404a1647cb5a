"""Times on the wire."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cluster.state.commands import BeginEpoch
from tests.api.support import SPEC, make

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_NAMES = re.compile(r"timestamp|.*_at|last_check|last_heartbeat")


def times(value: Any) -> Iterator[Any]:
    """What is a time by its name, at any depth."""
    if isinstance(value, dict):
        for name, part in value.items():
            if _NAMES.fullmatch(name) and part is not None:
                yield part
            yield from times(part)
    elif isinstance(value, list):
        for part in value:
            yield from times(part)


def test_times_of_both_kinds() -> None:
    """RFC 3339 in UTC with Z under /api/v1, in errors and /health; Unix seconds in /cluster."""
    node, _, client = make()
    node.submit(BeginEpoch("one", 1500, "c" * 32))
    node.announce("one", "http://one.example:8001")
    assert client.post("/api/v1/apps/register", json=SPEC).status_code == 201
    assert client.post("/api/v1/apps/shop/start", json={"wait": False}).status_code == 200
    node.report("shop", "healthy")
    for path in ("/api/v1/apps/shop", "/api/v1/apps", "/api/v1/events", "/api/v1/metrics",
                 "/api/v1/apps/shop/metrics", "/api/v1/apps/none", "/health", "/none"):
        found = list(times(client.get(path).get_json()))
        assert found, path
        for time in found:
            assert RFC_3339.fullmatch(time), (path, time)
    for path in ("/cluster/status", "/cluster/leader", "/cluster/health"):
        found = list(times(client.get(path).get_json()))
        assert found, path
        assert all(isinstance(time, float) and time > 1e9 for time in found), path
