"""Trust: whose certificates a client believes, and which one it shows."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

_UNKNOWN_CA = frozenset({7, 18, 19, 20, 21})  # X509_V_ERR_* of OpenSSL


@dataclass(frozen=True, slots=True)
class Trust:
    """`ca` is a file in PEM, by default the system's; `cert` files of a certificate and its key."""

    ca: str | None = None
    cert: tuple[str, str] | None = None

    def context(self) -> ssl.SSLContext | None:
        """What connections use; None for what holds without us.

        Raises:
            ValueError: a file cannot be used.
        """
        if self.ca is None and self.cert is None:
            return None
        try:
            found = ssl.create_default_context(cafile=self.ca)
        except OSError as error:
            raise ValueError(f"{self.ca} is no file with CAs in PEM") from error
        if self.cert is not None:
            try:
                found.load_cert_chain(*self.cert)
            except OSError as error:
                raise ValueError(
                    f"{' and '.join(self.cert)} are no files with a certificate in PEM and its key"
                ) from error
        return found


def reason(node: str, cause: object) -> str | None:
    """What a failure of TLS means for people; None when it is something else."""
    if isinstance(cause, ssl.SSLCertVerificationError):
        remedy = ("; give its CA with `ca`, --ca-file or ORCHESTRY_CA"
                  if cause.verify_code in _UNKNOWN_CA else "")
        return f"{node} has no valid certificate: {cause.verify_message.rstrip('.')}{remedy}"
    if isinstance(cause, ssl.SSLError) and cause.reason == "WRONG_VERSION_NUMBER":
        return f"{node} does not speak TLS; begin its address with http://"
    return None
