"""Authority: a CA of the cluster's own, whose key is a file.

A join token names the CA by the hash of its public key, and shows by a code that only the key
of the CA makes for which controller its owner may have a certificate, for a while.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.tls import tokens
from cluster.tls.errors import TlsError
from cluster.tls.tokens import Claim

CA_DAYS = 3650
NODE_DAYS = 90
CERTIFICATES_MAX = 32
CLOCKS_MAY_DIFFER = timedelta(seconds=tokens.CLOCKS_MAY_DIFFER_S)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """Signs certificates of controllers.

    `others` are further CAs that the cluster believes, while one replaces another.
    """

    def __init__(
        self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey,
        others: Iterable[x509.Certificate] = (),
    ) -> None:
        self._certificate = certificate
        self._key = key
        self._others = tuple(others)

    @classmethod
    def make(cls, name: str) -> Authority:
        """A new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        made = (
            x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCKS_MAY_DIFFER)
            .not_valid_after(now + timedelta(days=CA_DAYS))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(made, key)

    @classmethod
    def load(cls, ca: str, key: str) -> Authority:
        """From files: of the CAs in `ca` the one whose key it is.

        Raises:
            TlsError: they cannot be read, or do not belong together.
        """
        try:
            private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
            found = x509.load_pem_x509_certificates(Path(ca).read_bytes())
        except OSError as error:
            raise TlsError(f"{error.filename} cannot be read: {error.strerror}") from error
        except (ValueError, TypeError) as error:
            raise TlsError(f"{ca} and {key} are no CA and key in PEM") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise TlsError(f"{key} is no key that `orchestry cluster ca init` made")
        for one in found:
            if one.public_key() == private.public_key():
                return cls(one, private, [other for other in found if other != one])
        raise TlsError(f"{key} is not the key of a CA in {ca}")

    def has_issued(self, certificate: bytes) -> bool:
        """Whether a certificate in PEM is one of its own."""
        try:
            x509.load_pem_x509_certificate(certificate).verify_directly_issued_by(
                self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True

    @property
    def certificate(self) -> bytes:
        """Its certificate in PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def trusted(self) -> bytes:
        """All CAs that the cluster believes in PEM, its own first."""
        return b"".join(one.public_bytes(serialization.Encoding.PEM)
                        for one in (self._certificate, *self._others))

    @property
    def key(self) -> bytes:
        """Its key in PEM."""
        return _pem(self._key)

    @property
    def pin(self) -> str:
        """The hash of its public key, by which others know it."""
        return pin_of(self.certificate)

    def issue(self, name: str, hosts: Iterable[str]) -> Issued:
        """A certificate for a controller, with a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        return Issued(self.sign(_request(key, name, hosts)), _pem(key))

    def sign(self, request: x509.CertificateSigningRequest) -> bytes:
        """The certificate that a request asks for, in PEM, for both ends of a connection."""
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return self._certify(request.public_key(), request.subject, names.value)

    def sign_for(self, claim: Claim, request: str) -> bytes:
        """The certificate of a controller that a token names, for the key of a request in PEM.

        Raises:
            TlsError: it is no request, or names another controller or host than the token does.
        """
        try:
            found = x509.load_pem_x509_csr(request.encode())
            if not found.is_signature_valid:
                raise TlsError("the request is not signed with its own key")
            asked = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            subject, names = _subject(claim.name), _alternatives(claim.names)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise TlsError("it is no signing request in PEM that names a host") from error
        if found.subject != subject or set(asked) != set(names):
            raise TlsError("it names another controller or other hosts than the join token, which "
                           f"is for {', '.join((claim.name, *claim.hosts))}")
        return self._certify(found.public_key(), subject, names)

    def token(self, name: str, hosts: Iterable[str], ends_s: int) -> str:
        """A join token for one controller that ends at a Unix time; TlsError for a bad name."""
        pins = map(pin_of, split(self.trusted))
        return tokens.written(tokens.claim_of(pins, name, hosts, ends_s), self._secret())

    def admits(self, token: str, now_s: float) -> Claim | None:
        """What a token gives; None when it is not one of ours, or has ended."""
        found = tokens.claimed(token)
        if found is None or found.pins[0] != self.pin or not found.admits(now_s):
            return None
        return found if tokens.is_of(token, found, self._secret()) else None

    def _certify(
        self, key: CertificatePublicKeyTypes, subject: x509.Name,
        names: x509.SubjectAlternativeName,
    ) -> bytes:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(subject)
            .issuer_name(self._certificate.subject).public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCKS_MAY_DIFFER)
            .not_valid_after(now + timedelta(days=NODE_DAYS))
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([
                ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH,
            ]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(
                self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM)

    def _secret(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())


def pin_of(ca: bytes) -> str:
    """The SHA-256 of the public key of a CA in PEM; TlsError when it is not one certificate."""
    key = _sole(ca).public_key()
    return hashlib.sha256(key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def pinned(cas: str, pins: Iterable[str]) -> bytes:
    """Those certificates of a PEM text whose keys have these pins, encoded anew.

    OpenSSL trusts all that a text holds: nothing of it but what was held against the pins may
    get there.

    Raises:
        TlsError: it holds no certificate, or none with the first pin.
    """
    found = {pin_of(one): one for one in split(cas.encode())}
    first, *more = pins
    if first not in found:
        raise TlsError("it is another CA than the token names")
    return b"".join(found[pin] for pin in (first, *more) if pin in found)


def split(cas: bytes) -> list[bytes]:
    """Each certificate of a PEM text by itself, encoded anew; TlsError when there is none."""
    try:
        found = x509.load_pem_x509_certificates(cas)
    except ValueError as error:
        raise TlsError("it is no certificate in PEM") from error
    if len(found) > CERTIFICATES_MAX:
        raise TlsError(f"it holds more than {CERTIFICATES_MAX} certificates")
    return [one.public_bytes(serialization.Encoding.PEM) for one in found]


def was_issued(certificate: bytes, ca: bytes, key: bytes) -> bool:
    """Whether a certificate in PEM is one of a CA, and that of a private key."""
    with contextlib.suppress(ValueError, TypeError, InvalidSignature):
        found = x509.load_pem_x509_certificate(certificate)
        found.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
        own = serialization.load_pem_private_key(key, None)
        return found.public_key() == own.public_key()
    return False


def request_for(name: str, hosts: Iterable[str]) -> tuple[bytes, bytes]:
    """A signing request and its new key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = _request(key, name, hosts)
    return request.public_bytes(serialization.Encoding.PEM), _pem(key)


def write_private(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file at once, readable by its owner alone unless told otherwise."""
    new = path.with_name(f".{path.name}.new")
    opened = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(opened, "wb") as file:
        os.fchmod(opened, mode)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _request(
    key: ec.EllipticCurvePrivateKey, name: str, hosts: Iterable[str]
) -> x509.CertificateSigningRequest:
    return (
        x509.CertificateSigningRequestBuilder().subject_name(_subject(name))
        .add_extension(_alternatives([name, *hosts]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _alternatives(names: Iterable[str]) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([_general(name) for name in dict.fromkeys(names)])


def _general(host: str) -> x509.GeneralName:
    plain = host.strip("[]")
    try:
        return x509.IPAddress(ipaddress.ip_address(plain))
    except ValueError:
        return x509.DNSName(plain)


def _sole(ca: bytes) -> x509.Certificate:
    try:
        found = x509.load_pem_x509_certificates(ca)
    except ValueError as error:
        raise TlsError("it is no certificate in PEM") from error
    if len(found) != 1:
        raise TlsError(f"there are {len(found)} certificates where there should be one")
    return found[0]


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False,
        encipher_only=False, decipher_only=False)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption())
