"""Commands that are none, and runs that never were; part of tests/bad_input.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def of_runs(shop: str) -> Iterator[tuple[Any, ...]]:
    """(what, path, body, status, code[, field]) of POST requests about the app at `shop`."""
    for body in (b"{}", b'{"command": []}', b'{"command": "ls"}', b'{"command": [1]}',
                 b'{"command": ["a"], "timeout_s": 0}', b'{"command": ["a"], "x": 1}',
                 b'{"command": ["a\\u0000"]}', json.dumps({"command": ["x"] * 101}).encode(),
                 json.dumps({"command": ["x" * 4097]}).encode(),
                 json.dumps({"command": ["x" * 4096] * 5}).encode()):
        yield f"run {body[:30]!r}", f"{shop}/run", body, 400, "VALIDATION_ERROR"
    yield ("run of nobody", "/api/v1/apps/nobody/run", b'{"command": ["a"]}', 404,
           "APP_NOT_FOUND")
    yield "cancel what never was", f"{shop}/runs/999999/cancel", None, 404, "NOT_FOUND"
    yield "cancel run x", f"{shop}/runs/x/cancel", None, 400, "VALIDATION_ERROR", "run_id"
