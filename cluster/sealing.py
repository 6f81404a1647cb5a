"""Sealing: the keys under which secrets of applications are kept, and the one door to AES-GCM.

What is sealed tells its key's id, and opens only under the name and version that it was sealed
for, so that nobody who can write to a backup gives an app another app's secret.

Source: docs/adr/0027-secrets-of-applications.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import os
from collections.abc import Mapping, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
ID_CHARACTERS = 8
_FOR_IDS = b"orchestry secrets: id of a key"
_FOR_MARKS = b"orchestry secrets: marks of requests"


class SealError(Exception):
    """What cannot be sealed or opened; `reason` says what is right, and has no secret in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Keyring:
    """The keys of one controller, 32 bytes each: the first seals, all open. Thread-safe."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_id_of(key): key for key in keys}
        self._first = next(iter(self._keys), "")

    @property
    def first(self) -> str:
        """The id of the key that seals; "" without one."""
        return self._first

    @property
    def ids(self) -> tuple[str, ...]:
        """Those of all keys, the first one first."""
        return tuple(self._keys)

    def knows(self, key_id: str) -> bool:
        """Whether what was sealed under this key opens here."""
        return key_id in self._keys

    def seal(self, name: str, version: int, values: Mapping[str, str]) -> tuple[str, str]:
        """The id of the key, and the values of one version as text that tells nothing.

        Raises:
            SealError: this controller has no key.
        """
        if not self._first:
            raise SealError(
                "This controller has no key for secrets: give all controllers the same "
                "ORCHESTRY_SECRETS_KEY, such as from `openssl rand -hex 32`")
        nonce = os.urandom(NONCE_BYTES)
        sealed = AESGCM(self._keys[self._first]).encrypt(
            nonce, plain(values), _belongs_to(name, version))
        return self._first, base64.b64encode(nonce + sealed).decode()

    def open(self, name: str, version: int, key_id: str, sealed: str) -> dict[str, str]:
        """The values again.

        Raises:
            SealError: the key is not known here, or the text was changed.
        """
        key = self._keys.get(key_id)
        if key is None:
            raise SealError(
                f"Secret '{name}' needs key {key_id}, which this controller does not have: give "
                "it the ORCHESTRY_SECRETS_KEY of the others")
        try:
            data = base64.b64decode(sealed, validate=True)
            text = AESGCM(key).decrypt(
                data[:NONCE_BYTES], data[NONCE_BYTES:], _belongs_to(name, version))
        except (binascii.Error, InvalidTag, ValueError):
            raise SealError(
                f"Secret '{name}' was not sealed under key {key_id}, or was changed since: set it "
                "again") from None
        values: dict[str, str] = json.loads(text)
        return values

    def mark(self, data: bytes) -> str:
        """What tells a request from another, and tells nobody without the key what is in it."""
        key = hmac.digest(self._keys.get(self._first, b""), _FOR_MARKS, "sha256")
        return hmac.new(key, data, hashlib.sha256).hexdigest()


def plain(values: Mapping[str, str]) -> bytes:
    """What is sealed."""
    return json.dumps(dict(values), ensure_ascii=False, separators=(",", ":")).encode()


def _belongs_to(name: str, version: int) -> bytes:
    return f"orchestry secret\0{name}\0{version}".encode()


def _id_of(key: bytes) -> str:
    return hmac.new(key, _FOR_IDS, hashlib.sha256).hexdigest()[:ID_CHARACTERS]
