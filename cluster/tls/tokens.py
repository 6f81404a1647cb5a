"""Join tokens: for which controller, until when, and whom it may believe.

`orc2.PINS.ENDS.NAMES.CODE`: the pins of the CAs, the one that signs first; a Unix time; the
controller's id and the hosts by which it is reached, a line each, in base64url; and a code that
only the key of the CA makes of all that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from cluster.config import readers
from cluster.tls.errors import TlsError

TOKEN_S_MAX = 86_400
"""No join token holds longer; one that ends later is refused until then, too."""
CLOCKS_MAY_DIFFER_S = 3600
CAS_MAX = 4
HOSTS_MAX = 16
PROOF_HEADER = "X-Orchestry-Join-Proof"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TOKEN = re.compile(
    rf"orc2\.([0-9a-f]{{64}}(?:\+[0-9a-f]{{64}}){{0,{CAS_MAX - 1}}})\.([0-9]{{1,12}})"
    r"\.([A-Za-z0-9_-]{1,6000})\.([0-9a-f]{64})")
_PURPOSE = b"orchestry join token 2"
_PROOF = b"orchestry join proof 1"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a token gives: a certificate for this controller and these hosts, until `ends_s`."""

    pins: tuple[str, ...]
    name: str
    hosts: tuple[str, ...]
    ends_s: int

    @property
    def names(self) -> tuple[str, ...]:
        """All that the certificate names."""
        return tuple(dict.fromkeys((self.name, *self.hosts, *LOOPBACK)))

    def admits(self, now_s: float) -> bool:
        """Whether it holds now."""
        return now_s < self.ends_s <= now_s + TOKEN_S_MAX + CLOCKS_MAY_DIFFER_S


def claim_of(pins: Iterable[str], name: str, hosts: Iterable[str], ends_s: int) -> Claim:
    """A claim that was checked; TlsError for an id or a host that cannot be one."""
    found = Claim(tuple(pins)[:CAS_MAX], name, tuple(dict.fromkeys(hosts)), ends_s)
    try:
        readers.node_id(name)
        for host in found.hosts:
            readers.host(f"[{host}]" if ":" in host and "[" not in host else host)
    except ValueError as error:
        raise TlsError(str(error)) from error
    if len(found.hosts) > HOSTS_MAX:
        raise TlsError(f"a controller may have {HOSTS_MAX} hosts at most")
    return found


def written(claim: Claim, key: bytes) -> str:
    """The token for a claim, with the code that a key makes."""
    return f"{_head(claim)}.{_code(claim, key)}"


def claimed(text: str) -> Claim | None:
    """What a token says, whoever wrote it; None when it is none."""
    found = _TOKEN.fullmatch(text.strip())
    if found is None:
        return None
    try:
        padded = found[3] + "=" * (-len(found[3]) % 4)
        name, *hosts = base64.urlsafe_b64decode(padded).decode("ascii").split("\n")
        return claim_of(found[1].split("+"), name, hosts, int(found[2]))
    except (ValueError, TlsError):
        return None


def is_of(text: str, claim: Claim, key: bytes) -> bool:
    """Whether a token was made with this key."""
    return hmac.compare_digest(written(claim, key).encode(), text.strip().encode())


def proof(secret: str, token: str, request: bytes) -> str:
    """Shows that who sends this token and this request knows the cluster's secret."""
    purpose = hmac.digest(secret.encode(), _PROOF, hashlib.sha256)
    return hmac.digest(purpose, token.strip().encode() + b"\0" + request, hashlib.sha256).hex()


def is_proven(given: str, secret: str, token: str, request: bytes) -> bool:
    """Whether a proof is the right one; never without a secret."""
    return bool(secret) and hmac.compare_digest(
        given.encode(errors="replace"), proof(secret, token, request).encode())


def _head(claim: Claim) -> str:
    names = base64.urlsafe_b64encode("\n".join((claim.name, *claim.hosts)).encode()).decode()
    return f"orc2.{'+'.join(claim.pins)}.{claim.ends_s}.{names.rstrip('=')}"


def _code(claim: Claim, key: bytes) -> str:
    purpose = hmac.digest(key, _PURPOSE, hashlib.sha256)
    return hmac.digest(purpose, _head(claim).encode(), hashlib.sha256).hex()
