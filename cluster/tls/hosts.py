"""HostCertificates: certificates of applications' hosts, from a folder that is watched.

`NAME.crt` is a certificate with those between it and its CA, `NAME.key` its key. For which
hosts it is, it says itself. A pair that cannot be used is left out, or stays as it was.
"""

from __future__ import annotations

import logging
import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from cluster.clock import Clock
from cluster.tls.certificates import facts_of_pem, objection
from cluster.tls.errors import TlsError

logger = logging.getLogger(__name__)

CHALLENGES = ".well-known/acme-challenge"
CHALLENGES_MAX = 1000
ANSWER_BYTES_MAX = 512
_NAME = re.compile(r"[A-Za-z0-9_-]{1,256}")
_ANSWER = re.compile(rf"[A-Za-z0-9._-]{{1,{ANSWER_BYTES_MAX}}}")
PAIRS_MAX = 500
PEM_BYTES_MAX = 65_536
ALL_BYTES_MAX = 2 * 1024**2
"""Of all certificates and keys together: the table of the ingress has to hold the routes, too."""


@dataclass(frozen=True, slots=True)
class HostCertificate:
    """One pair of files; `ends_ms` is when it expires."""

    name: str
    hosts: tuple[str, ...]
    chain: str
    key: str = field(repr=False)
    ends_ms: int


class HostCertificates:
    """Read by any thread; `refresh` by one. Without a folder there are none."""

    def __init__(self, folder: str, clock: Clock) -> None:
        self._folder = Path(folder) if folder else None
        self._clock = clock
        self._signature: object = None
        self._found: dict[str, HostCertificate] = {}
        self._faults: dict[str, str] = {}
        self.current: tuple[HostCertificate, ...] = ()
        self.challenges: tuple[tuple[str, str], ...] | None = None
        """Answers to ACME's HTTP-01 by token; None without a folder for them."""

    def fault(self) -> str:
        """What cannot be used, and what has expired; "" when all is well."""
        now_ms = self._clock.wall_ms()
        over = [f"{one.name}.crt has expired" for one in self.current if now_ms >= one.ends_ms]
        return "; ".join([*self._faults.values(), *over])

    def refresh(self) -> None:
        """Look at the folder again, and read what is new."""
        if self._folder is None:
            return
        self.challenges = _challenges(self._folder / CHALLENGES)
        try:
            files = sorted(self._folder.glob("*.crt"))
            signature = [self._sign(path) for path in files]
        except OSError as error:
            self._tell({"": f"{self._folder} cannot be read: {error.strerror}"})
            return
        if not self._folder.is_dir():
            self._tell({"": f"{self._folder} is no folder"})
            return
        if signature == self._signature and not self._faults:
            return
        self._signature = signature
        found: dict[str, HostCertificate] = {}
        faults: dict[str, str] = {}
        if len(files) > PAIRS_MAX:
            faults[""] = f"{self._folder} holds more than {PAIRS_MAX} certificates"
        for path in files[:PAIRS_MAX]:
            try:
                found[path.stem] = self._read(path)
            except TlsError as error:
                faults[path.stem] = error.reason
                if path.stem in self._found:
                    found[path.stem] = self._found[path.stem]
        found, faults = _bounded(found, faults)
        self._tell(faults)
        self._found = found
        # Of two for one host the later one in this order holds: the one that ends later.
        current = tuple(sorted(found.values(), key=lambda one: (one.ends_ms, one.name)))
        if current != self.current:
            self.current = current
            logger.info("certificates of %d hosts", len({h for c in current for h in c.hosts}))

    def _tell(self, faults: dict[str, str]) -> None:
        for name, reason in faults.items():
            if self._faults.get(name) != reason:
                logger.error("%s", reason)
        self._faults = faults

    @staticmethod
    def _sign(path: Path) -> tuple[object, ...]:
        found: list[object] = [path.name]
        for one in (path, path.with_suffix(".key")):
            try:
                stat = one.stat()
                found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
            except OSError as error:
                found.append(error.errno)
        return tuple(found)

    def _read(self, path: Path) -> HostCertificate:
        key_path = path.with_suffix(".key")
        chain, key = _text(path), _text(key_path)
        try:
            facts = facts_of_pem(chain.encode())[0]
        except TlsError as error:
            raise TlsError(f"{path}: {error.reason}") from error
        reason = objection(facts, self._clock.wall_ms())
        if reason:
            raise TlsError(f"the certificate {path} does not hold: {reason}")
        if not facts.names:
            raise TlsError(f"the certificate {path} names no host")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key_path, str)
        except (OSError, ValueError) as error:
            raise TlsError(f"{key_path} is not the key of {path}, or has a pass phrase") from error
        return HostCertificate(path.stem, tuple(sorted(facts.names)), chain, key, facts.ends_ms)


def _bounded(
    found: dict[str, HostCertificate], faults: dict[str, str]
) -> tuple[dict[str, HostCertificate], dict[str, str]]:
    """What fits, in the order of names, and a fault for the rest."""
    kept: dict[str, HostCertificate] = {}
    left = ALL_BYTES_MAX
    for name, one in found.items():
        size = len(one.chain) + len(one.key)
        if size <= left:
            kept[name] = one
            left -= size
    out = [name for name in found if name not in kept]
    if not out:
        return kept, faults
    told = (f"{len(out)} certificates are left out, {out[0]}.crt first: all together may have "
            f"{ALL_BYTES_MAX} bytes")
    return kept, {**faults, "/": told}


def _challenges(folder: Path) -> tuple[tuple[str, str], ...] | None:
    """What an ACME client has put into its webroot; None when it has none there."""
    found: list[tuple[str, str]] = []
    try:
        for path in sorted(folder.iterdir())[:CHALLENGES_MAX]:
            if not path.is_file():
                continue
            answer = path.read_bytes()[:ANSWER_BYTES_MAX + 1].decode("ascii", "replace").strip()
            if _NAME.fullmatch(path.name) and _ANSWER.fullmatch(answer):
                found.append((path.name, answer))
    except FileNotFoundError:
        # The folder is not there, or a file of it just went: the next look tells.
        return tuple(found) if folder.is_dir() else None
    except OSError as error:
        logger.error("%s cannot be read: %s", folder, error.strerror)
    return tuple(found)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            found = file.read(PEM_BYTES_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no PEM"
        raise TlsError(f"{path} cannot be read: {reason}") from error
    if len(found) > PEM_BYTES_MAX:
        raise TlsError(f"{path} is larger than {PEM_BYTES_MAX} bytes")
    # Only PEM that begins with its first line reaches the ingress.
    return found[found.find("-----BEGIN "):] if "-----BEGIN " in found else found
