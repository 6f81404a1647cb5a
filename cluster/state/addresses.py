"""Addresses: the hosts and paths by which requests come to an app; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable

from orchestry.spec.model import AppSpec


def hosts(spec: AppSpec, domain: str) -> tuple[str, ...]:
    """The hosts under which an app is reachable; none when HTTP does not reach it."""
    if spec.type != "http":
        return ()
    return spec.ingress.hosts or (f"{spec.name}.{domain}",)


def addresses(spec: AppSpec, domain: str) -> tuple[str, ...]:
    """Each host with the path, as no two apps may share them."""
    return _joined(hosts(spec, domain), spec.ingress.path)


def addresses_of(document: str, domain: str) -> tuple[str, ...] | None:
    """The same of a stored document; None when it is none.

    Not by way of the parser: steps ask, and all versions must find the same in a spec that only
    the newest of them understands.
    """
    try:
        found = json.loads(document)
        if found.get("kind") == "Job":
            return ()
        spec = found["spec"]
        ingress = spec.get("ingress", {})
        if spec.get("type", "http") != "http":
            return ()
        names = ingress.get("hosts") or (f"{found['metadata']['name']}.{domain}",)
        return _joined(names, ingress.get("path", "/"))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _joined(names: Iterable[str], path: str) -> tuple[str, ...]:
    return tuple(sorted(f"{name}{path.rstrip('/')}/" for name in names))
