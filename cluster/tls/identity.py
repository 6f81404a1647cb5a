"""Identity: who this controller is and whom it believes, from files that are watched.

A new file counts for new connections; those that are open go on. One that cannot be used
changes nothing but `status`: what was read before stays.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cluster.clock import Clock
from cluster.config import Settings
from cluster.tls.authority import Authority, write_private
from cluster.tls.certificates import Facts, facts_of_pem, objection
from cluster.tls.errors import TlsError

logger = logging.getLogger(__name__)

FILE_BYTES_MAX = 1024**2
RENEW_RETRY_MS = 60_000
WARN_MS = 7 * 86_400_000
"""Who has not renewed a certificate a week before its end is warned."""


@dataclass(frozen=True, slots=True)
class Contexts:
    """For new connections: of the API, to other controllers' APIs, and of Raft both ways."""

    api: ssl.SSLContext | None
    call: ssl.SSLContext | None
    raft_server: ssl.SSLContext | None
    raft_client: ssl.SSLContext | None
    ends_ms: int | None


@dataclass(frozen=True, slots=True)
class Status:
    """`fault` is why the files cannot be used, or will not be for long; "" when all is well."""

    fault: str
    ends_ms: int | None


class Identity:
    """Read by any thread; `refresh` by one."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        """Read the files.

        Raises:
            TlsError: one of them cannot be used.
        """
        self.on = bool(settings.tls_cert)
        self._settings = settings
        self._clock = clock
        self._paths = tuple(filter(None, (
            settings.tls_cert, settings.tls_key, settings.tls_ca, settings.tls_client_ca,
            settings.tls_ca_key)))
        self._renew_at_ms = 0
        self._unrenewed = ""
        # First, so that what changes while it is read is read again.
        self._signature = self._sign()
        self.authority = self._load_authority()
        self._contexts = self._first()
        self._fault = ""

    @property
    def contexts(self) -> Contexts:
        """What holds for a connection that begins now."""
        return self._contexts

    def for_call(self) -> ssl.SSLContext:
        """Whom to believe, and who we are, in a call to another controller."""
        return self._contexts.call or _system()

    def status(self) -> Status:
        """How the files do."""
        contexts, now_ms = self._contexts, self._clock.wall_ms()
        fault = self._fault or self._unrenewed
        if not fault and contexts.ends_ms is not None and now_ms > contexts.ends_ms - WARN_MS:
            over = "has expired" if now_ms >= contexts.ends_ms else "expires within a week"
            fault = f"the certificate {self._settings.tls_cert} {over}; renew it"
        return Status(fault, contexts.ends_ms)

    def refresh(self) -> None:
        """Read the files again when they have changed, or could not be used.

        With the key of the CA the certificate is renewed before.
        """
        self._renew()
        signature = self._sign()
        if signature == self._signature and not self._fault:
            return
        fault, known = "", signature == self._signature
        try:
            contexts, authority = self._read(), self._load_authority()
        except TlsError as error:
            fault = f"{error.reason}; the certificate from before stays in use"
            if not known or fault != self._fault:
                logger.error("%s", fault)
        else:
            self._contexts, self.authority = contexts, authority
            logger.info("certificates were read again; new connections use them")
        self._signature, self._fault = signature, fault

    def _load_authority(self) -> Authority | None:
        settings = self._settings
        if not settings.tls_ca_key:
            return None
        return Authority.load(settings.tls_ca, settings.tls_ca_key)

    def _renew(self) -> None:
        """Take a new certificate for the same names once two thirds of the time are over."""
        now_ms, contexts = self._clock.wall_ms(), self._contexts
        if self.authority is None or now_ms < self._renew_at_ms or contexts.ends_ms is None:
            return
        self._renew_at_ms = now_ms + RENEW_RETRY_MS
        cert, key = Path(self._settings.tls_cert), Path(self._settings.tls_key)
        try:
            facts = facts_of_pem(_text(str(cert)))[0]
            if now_ms < facts.ends_ms - (facts.ends_ms - facts.begins_ms) // 3:
                self._unrenewed = ""
                return
            issued = self.authority.issue(facts.common_name, sorted(facts.names | facts.addresses))
            write_private(key, issued.key)
            write_private(cert, issued.certificate, 0o644)
        except (TlsError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._unrenewed = f"{cert} cannot be renewed: {reason}"
            logger.error("%s", self._unrenewed)
        else:
            self._unrenewed = ""
            logger.info("%s was renewed", cert)

    def _first(self) -> Contexts:
        """The files at a start: a renewal that a crash cut short is done again.

        It leaves a new key beside the certificate of the old one.
        """
        try:
            return self._read()
        except TlsError:
            cert, key = self._settings.tls_cert, self._settings.tls_key
            if self.authority is None or not self.authority.has_issued(_text(cert)):
                raise
            facts = facts_of_pem(_text(cert))[0]
            issued = self.authority.issue(facts.common_name, sorted(facts.names | facts.addresses))
            try:
                write_private(Path(key), issued.key)
                write_private(Path(cert), issued.certificate, 0o644)
            except OSError as error:
                raise TlsError(f"{cert} cannot be renewed: {error.strerror}") from error
            logger.warning("%s did not belong to its key, or was over; it was renewed", cert)
            return self._read()

    def _sign(self) -> tuple[object, ...]:
        """What changes whenever a file does, also by a link that points elsewhere."""
        found: list[object] = []
        for path in self._paths:
            try:
                stat = Path(path).stat()
                found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
            except OSError as error:
                found.append(error.errno)
        return tuple(found)

    def _read(self) -> Contexts:
        settings = self._settings
        # The CAs of the system take their time, and most clusters without TLS never need them.
        call = _client(settings.tls_ca) if self.on or settings.tls_ca else None
        if not self.on:
            return Contexts(None, call, None, None, None)
        facts = _checked(settings.tls_cert, self._clock.wall_ms())
        api = _server()
        if settings.tls_client_ca:
            api.verify_mode = ssl.CERT_REQUIRED
            for path in filter(None, (settings.tls_client_ca, settings.tls_ca)):
                _trust(api, path)
        raft_server = raft_client = None
        if settings.cluster_tls != "off":
            raft_server, raft_client = _server(), _client(settings.tls_ca)
            raft_server.verify_mode = ssl.CERT_REQUIRED
            _trust(raft_server, settings.tls_ca)
            # Members are known by more than a host name: see cluster.consensus.secure.
            raft_client.check_hostname = False
        for context in (api, call, raft_server, raft_client):
            if context is not None:
                _show(context, settings.tls_cert, settings.tls_key)
        return Contexts(api, call, raft_server, raft_client, facts.ends_ms)


def _server() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A resumed session would outlive the certificate that it began with.
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    return context


@cache
def _system() -> ssl.SSLContext:
    return _client("")


def _client(ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        _trust(context, ca)
    else:
        context.load_default_certs()
    return context


def _text(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            found = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}") from error
    if len(found) > FILE_BYTES_MAX:
        raise TlsError(f"{path} is larger than {FILE_BYTES_MAX} bytes")
    return found


def _checked(path: str, now_ms: int) -> Facts:
    try:
        facts = facts_of_pem(_text(path))[0]
    except TlsError as error:
        reason = error.reason if path in error.reason else f"{path}: {error.reason}"
        raise TlsError(reason) from error
    reason = objection(facts, now_ms)
    if reason:
        raise TlsError(f"the certificate {path} does not hold: {reason}")
    return facts


def _trust(context: ssl.SSLContext, path: str) -> None:
    text = _text(path)
    try:
        context.load_verify_locations(cadata=text.decode("ascii"))
    except (ssl.SSLError, ValueError) as error:
        raise TlsError(f"{path} holds no readable CA certificate in PEM") from error


def _show(context: ssl.SSLContext, cert: str, key: str) -> None:
    def no_password() -> str:
        raise TlsError(f"the key {key} has a pass phrase; give one without")

    _text(key)
    try:
        context.load_cert_chain(cert, key, no_password)
    except ssl.SSLError as error:
        why = ("the key is not that of the certificate" if error.reason == "KEY_VALUES_MISMATCH"
               else "they are no certificate and key in PEM")
        raise TlsError(f"{cert} and {key} cannot be used: {why}") from error
    except OSError as error:
        raise TlsError(f"{cert} and {key} cannot be read: {error.strerror}") from error
