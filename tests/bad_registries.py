"""Logins that are none, and registries that have none; part of tests/bad_input.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_GOOD = {"username": "robot", "password": "hunter2"}
_BODIES: list[Any] = [
    {}, [], "robot", {"username": "robot"}, {"password": "hunter2"}, {**_GOOD, "email": "x"},
    *({**_GOOD, "username": name} for name in ("", "a:b", "a\n", "\x00", "a" * 257, 1, None)),
    *({**_GOOD, "password": text} for text in ("", "a\nb", "\x7f", "x" * 8193, 1, None, ["x"])),
]
_HOSTS = ("team", "Registry.example", "a..b", "-a.example", "r.example:0", "r.example:port",
          "a%0d%0ab.example", "%00", "@registry", "[::1]:5000", "a." + "b" * 300)


def of_registries() -> Iterator[tuple[Any, ...]]:
    """(what, method, path, body, status, code[, field]) of requests about logins."""
    hub, good = "/api/v1/registries/docker.io", json.dumps(_GOOD).encode()
    for number, body in enumerate(_BODIES):
        yield (f"login #{number}", "PUT", hub, json.dumps(body).encode(), 400, "VALIDATION_ERROR")
    for host in _HOSTS:
        path = f"/api/v1/registries/{host}"
        for method, sent in (("PUT", good), ("DELETE", None)):
            yield (f"{method} login of {host[:9]}", method, path, sent, 400, "VALIDATION_ERROR",
                   "registry_host")
    yield ("a login of a registry that is not allowed", "PUT", "/api/v1/registries/evil.example",
           good, 400, "VALIDATION_ERROR", "registry_host")
    yield "logout of none", "DELETE", hub, None, 404, "NOT_FOUND"
    yield "rotation of none", "POST", f"{hub}/rotate", None, 404, "NOT_FOUND"
