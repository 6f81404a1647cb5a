"""Authority: a CA of the cluster's own, whose key is a file.

A join token names the CA by the hash of its public key, and shows by a code that only the key
of the CA makes that its owner may have a certificate, for a while.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cluster.tls.errors import TlsError

CA_DAYS = 3650
NODE_DAYS = 90
CLOCKS_MAY_DIFFER = timedelta(hours=1)
TOKEN_S_MAX = 86_400
"""No join token holds longer; one that ends later is refused until then, too."""
_TOKEN = re.compile(r"orc1\.([0-9a-f]{64})\.([0-9]{1,12})\.([0-9a-f]{64})")
_PURPOSE = b"orchestry join token 1"


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, in PEM."""

    certificate: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class JoinToken:
    """A token that was read: the CA's pin, when it ends, and the code."""

    pin: str
    ends_s: int
    code: str


class Authority:
    """Signs certificates of controllers."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

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
                return cls(one, private)
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
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(request.subject)
            .issuer_name(self._certificate.subject).public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCKS_MAY_DIFFER)
            .not_valid_after(now + timedelta(days=NODE_DAYS))
            .add_extension(names.value, critical=False)
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

    def sign_pem(self, request: str) -> bytes:
        """The same for a request in PEM; TlsError for one that is none, or names nobody."""
        try:
            found = x509.load_pem_x509_csr(request.encode())
            if not found.is_signature_valid:
                raise TlsError("the request is not signed with its own key")
            return self.sign(found)
        except (ValueError, x509.ExtensionNotFound) as error:
            raise TlsError("it is no signing request in PEM that names a host") from error

    def token(self, ends_s: int) -> str:
        """A join token that ends at a Unix time."""
        return f"orc1.{self.pin}.{ends_s}.{self._code(ends_s)}"

    def admits(self, token: str, now_s: float) -> bool:
        """Whether a token is one of ours, and has not ended."""
        found = read_token(token)
        latest_s = now_s + TOKEN_S_MAX + CLOCKS_MAY_DIFFER.total_seconds()
        return found is not None and found.pin == self.pin \
            and now_s < found.ends_s <= latest_s \
            and hmac.compare_digest(found.code, self._code(found.ends_s))

    def _code(self, ends_s: int) -> str:
        key = self._key.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption())
        purpose = hmac.digest(key, _PURPOSE, hashlib.sha256)
        return hmac.digest(purpose, str(ends_s).encode(), hashlib.sha256).hex()


def read_token(text: str) -> JoinToken | None:
    """The parts of a join token; None when it is none."""
    found = _TOKEN.fullmatch(text.strip())
    return None if found is None else JoinToken(found[1], int(found[2]), found[3])


def pin_of(ca: bytes) -> str:
    """The SHA-256 of the public key of a CA in PEM; TlsError when it is not one certificate."""
    key = _sole(ca).public_key()
    return hashlib.sha256(key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def pinned(ca: str, pin: str) -> bytes:
    """The one certificate of a PEM text, encoded anew, when its key has this pin.

    OpenSSL trusts all that a text holds: nothing of it but what was held against the pin may
    get there.

    Raises:
        TlsError: it is no certificate, not a single one, or another's.
    """
    found = ca.encode()
    if pin_of(found) != pin:
        raise TlsError("it is another CA than the token names")
    return _sole(found).public_bytes(serialization.Encoding.PEM)


def holds(cas: str, certificate: bytes) -> bool:
    """Whether a certificate in PEM is among those of a text."""
    try:
        return _sole(certificate) in x509.load_pem_x509_certificates(cas.encode())
    except ValueError:
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
    names = [_general(host) for host in dict.fromkeys([name, *hosts])]
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )


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
