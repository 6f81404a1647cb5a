"""certificates: what a certificate says. With `authority`, the door of `cryptography`."""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from cluster.tls.errors import TlsError


@dataclass(frozen=True, slots=True)
class Facts:
    """Whom a certificate is for, DNS names in lower case, and from when till when, Unix time."""

    names: frozenset[str]
    addresses: frozenset[str]
    begins_ms: int
    ends_ms: int
    common_name: str = ""

    def is_for(self, name: str) -> bool:
        """True when it names this host: an address, a DNS name, or a wildcard above it."""
        plain = name.strip("[]").lower().rstrip(".")
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(plain)) in self.addresses
        _, dot, parent = plain.partition(".")
        return plain in self.names or (bool(dot) and f"*.{parent}" in self.names)

    def shown_names(self) -> str:
        """All of them, for a message."""
        return ", ".join(sorted(self.names | self.addresses)) or "nobody"


def facts_of(der: bytes) -> Facts:
    """What a certificate in DER says; TlsError when it cannot be read."""
    try:
        return _facts(x509.load_der_x509_certificate(der))
    except ValueError as error:
        raise TlsError("it is no readable X.509 certificate") from error


def facts_of_pem(pem: bytes) -> tuple[Facts, ...]:
    """What each certificate of a PEM file says, the first one's own first.

    Raises:
        TlsError: there is none.
    """
    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise TlsError("it holds no readable certificate in PEM") from error
    return tuple(map(_facts, found))


def objection(facts: Facts, now_ms: int) -> str:
    """Why a certificate does not hold now; "" when it does."""
    if now_ms >= facts.ends_ms:
        return f"it expired at {shown_time(facts.ends_ms)}"
    if now_ms < facts.begins_ms:
        return f"it is not valid before {shown_time(facts.begins_ms)}; is the clock right?"
    return ""


def unnamed(facts: Facts, wanted: Iterable[str]) -> str:
    """Why a certificate is not that of a host with one of these names; "" when it is."""
    names = [name for name in wanted if name]
    if any(facts.is_for(name) for name in names):
        return ""
    return f"its certificate is for {facts.shown_names()}, not for {' or '.join(names)}"


def shown_time(at_ms: int) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _facts(found: x509.Certificate) -> Facts:
    names: list[str] = []
    addresses: list[str] = []
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        others = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = [name.lower() for name in others.get_values_for_type(x509.DNSName)]
        addresses = [str(address) for address in others.get_values_for_type(x509.IPAddress)]
    common = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Facts(
        frozenset(names), frozenset(addresses),
        int(found.not_valid_before_utc.timestamp() * 1000),
        int(found.not_valid_after_utc.timestamp() * 1000),
        str(common[0].value) if common else "",
    )
