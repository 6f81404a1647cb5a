"""Addresses: the hosts and paths by which requests come to an app; pure."""

from __future__ import annotations

from orchestry.spec.model import AppSpec


def hosts(spec: AppSpec, domain: str) -> tuple[str, ...]:
    """The hosts under which an app is reachable; none when HTTP does not reach it."""
    if spec.type != "http":
        return ()
    return spec.ingress.hosts or (f"{spec.name}.{domain}",)


def addresses(spec: AppSpec, domain: str) -> tuple[str, ...]:
    """Each host with the path, as no two apps may share them."""
    path = spec.ingress.path.rstrip("/") + "/"
    return tuple(sorted(f"{host}{path}" for host in hosts(spec, domain)))
