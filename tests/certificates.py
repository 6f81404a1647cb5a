"""Certificates for tests, made while they run."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """Files of a certificate and its key."""

    cert: str
    key: str


class TestCa:
    """A CA whose files are in `folder`."""

    __test__ = False

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder().subject_name(self._name).issuer_name(self._name)
            .public_key(self._key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - DAY).not_valid_after(now + 30 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file = str(folder / "ca.crt")
        Path(self.file).write_bytes(made.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, *hosts: str, days: float = 20.0, file: str | None = None
    ) -> Pair:
        """A certificate for hosts, as `<file>.crt` and `<file>.key`; negative days: expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        ends = now + days * DAY
        made = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(self._name).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, ends) - 2 * DAY).not_valid_after(ends)
            .add_extension(x509.SubjectAlternativeName(list(map(_general, hosts))), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pair = Pair(*(str(self.folder / f"{file or name}.{end}") for end in ("crt", "key")))
        _replace(pair.key, key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption()))
        _replace(pair.cert, made.public_bytes(serialization.Encoding.PEM))
        return pair


def _replace(path: str, content: bytes) -> None:
    new = Path(f"{path}.new")
    new.write_bytes(content)
    new.replace(path)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
