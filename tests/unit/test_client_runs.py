"""What the calls about runs send, by the client that blocks and by the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import orchestry
from tests.unit.both_clients import Connect
from tests.unit.stub_cluster import Says, nodes

CALLS: list[tuple[Callable[[orchestry.Client], Any], str, str, Any]] = [
    (lambda c: c.run_app("web", ["ls", "/"], timeout=5), "POST", "/api/v1/apps/web/run",
     {"command": ["ls", "/"], "timeout_s": 5}),
    (lambda c: c.list_jobs(), "GET", "/api/v1/jobs", None),
    (lambda c: c.get_job("a/b"), "GET", "/api/v1/jobs/a%2Fb", None),
    (lambda c: c.trigger_job("nightly"), "POST", "/api/v1/jobs/nightly/trigger", None),
    (lambda c: c.suspend_job("nightly"), "POST", "/api/v1/jobs/nightly/suspend", None),
    (lambda c: c.resume_job("nightly"), "POST", "/api/v1/jobs/nightly/resume", None),
    (lambda c: c.list_runs("web"), "GET", "/api/v1/apps/web/runs", None),
    (lambda c: c.get_run("web", 7), "GET", "/api/v1/apps/web/runs/7", None),
    (lambda c: c.cancel_run("web", 7), "POST", "/api/v1/apps/web/runs/7/cancel", None),
]


@pytest.mark.parametrize(("call", "method", "path", "body"), CALLS)
def test_each_call_sends_what_the_contract_says(
    connect: Connect, call: Callable[[orchestry.Client], Any], method: str, path: str, body: Any
) -> None:
    """Method, path and body of every call; only writes carry a key."""
    with nodes(lambda _: Says(200, {"ok": True})) as (node,), connect(node.url) as client:
        assert call(client) == {"ok": True}
    seen = node.seen[0]
    assert (seen.method, seen.path) == (method, path)
    assert (seen.document if seen.body else None) == body
    assert ("Idempotency-Key" in seen.headers) is (method != "GET")
