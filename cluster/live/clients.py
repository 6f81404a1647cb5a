"""Clients: who is behind a request, by its address and its trusted proxies; pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

from cluster.config.readers import Network

HOPS_MAX = 32
"""So many addresses of `X-Forwarded-For` are looked at, from the right."""
IPV6_PREFIX = 64
"""One customer of a provider has a whole network of this size."""
KNOWN_MAX = 4096
LOCAL = "local"
"""A client without an address, on a Unix socket."""


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks; raises ValueError."""
    return tuple(ip_network(text) for text in texts)


def client_of(remote: str, forwarded: str, trusted: Sequence[Network]) -> str:
    """The name under which a request is counted.

    From the right, `forwarded` tells of the hops: each proxy that is trusted is believed about
    who spoke to it. What stands left of the first stranger may be made up.
    """
    address = _address(remote)
    if address is None:
        return LOCAL
    if forwarded and trusted:
        hops = forwarded[-HOPS_MAX * 64:].split(",")[:-HOPS_MAX - 1:-1]
        for hop in hops:
            if not any(address in network for network in trusted):
                break
            before = _address(hop.strip())
            if before is None:
                break
            address = before
    return _name(address)


@lru_cache(KNOWN_MAX)
def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, also with a port; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found


@lru_cache(KNOWN_MAX)
def _name(address: IPv4Address | IPv6Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), IPV6_PREFIX), strict=False))
