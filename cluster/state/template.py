"""Template: the part of a spec that containers are made from; pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

from orchestry.spec.model import AppSpec, HealthCheck

_KEPT = (
    "image", "command", "args", "working_dir", "environment", "resources", "volumes", "security",
    "ports",
)
_LATER = ("secret_files",)
"""What was not there at first: empty, it makes no other key."""
KEY_CHARACTERS = 16


def template_key(spec: AppSpec) -> str:
    """The same for two specs when the containers of one serve the other as they are.

    What a health check asks belongs to it, since only new replicas prove that another check can
    be passed; how often it asks does not. A default is as if it were not there, so that a later
    version, with more of them, makes the same keys.
    """
    check = spec.health_check
    asks = replace(
        HealthCheck(), protocol=check.protocol, path=check.path, port=check.port,
        method=check.method, headers=check.headers, body=check.body,
        expected_status_codes=check.expected_status_codes)
    parts: Mapping[str, Any] = {
        **{name: _plain(getattr(spec, name)) for name in _KEPT},
        **{name: _plain(getattr(spec, name)) for name in _LATER if getattr(spec, name)},
        "check": _plain(asks)}
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS]


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        found = {}
        for field in fields(value):
            part = getattr(value, field.name)
            if field.default is MISSING or part != field.default:
                found[field.name] = _plain(part)
        return found
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value
