"""What may cross the wire between controllers: plain data, sealed by the shared secret."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import pysyncobj.pickle
from pysyncobj.encryptor import getEncryptor

PICKLE_PROTOCOL = 5  # writes bytes as they are; older ones need a global to rebuild them
_MAGIC = b"ORC1"
_PLAIN, _SEALED = b"p", b"s"
_ID_BYTES_MAX = 255


class _DataOnly(pickle.Unpickler):
    """Numbers, texts, bytes and containers of them; no class, so no code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not plain data")


def loads(data: bytes) -> Any:
    """Read plain data; anything else is refused with UnpicklingError."""
    return _DataOnly(io.BytesIO(data)).load()


def _load(file: Any) -> Any:
    return _DataOnly(file).load()


def _dumps(value: Any, protocol: int | None = None) -> bytes:
    return pickle.dumps(value, PICKLE_PROTOCOL)


def restrict_pickle() -> None:
    """Make PySyncObj read plain data only: its port would run code for anybody.

    Every module of the library that talks to the network looks these names up at each call.
    """
    pysyncobj.pickle.loads = loads
    pysyncobj.pickle.load = _load
    pysyncobj.pickle.dumps = _dumps


class Refused(Exception):
    """A frame from someone who does not share our secret, or our protocol."""


class Cipher:
    """The shared secret turned into a key, once: that takes a tenth of a second on purpose."""

    def __init__(self, secret: str | None) -> None:
        self.fernet = getEncryptor(secret) if secret else None


class Seal:
    """PySyncObj's encryptor interface, for one connection.

    Each frame carries its sender's id in clear, only so that a refusal can name somebody.
    `on_refused(claimed_id, reason)` is called before the connection is dropped.
    """

    def __init__(
        self, controller_id: str, cipher: Cipher, on_refused: Callable[[str, str], None]
    ) -> None:
        name = controller_id.encode()[:_ID_BYTES_MAX]
        self._fernet = cipher.fernet
        self._mode = _PLAIN if cipher.fernet is None else _SEALED
        self._head = _MAGIC + self._mode + bytes((len(name),)) + name
        self._on_refused = on_refused

    def encrypt_at_time(self, data: bytes, at_s: int) -> bytes:
        if self._fernet is not None:
            data = self._fernet.encrypt_at_time(data, at_s)
        return self._head + data

    def extract_timestamp(self, frame: bytes) -> int:
        claimed, body = self._open(frame)
        if self._fernet is None:
            return 0
        try:
            return int(self._fernet.extract_timestamp(body))
        except Exception as error:  # InvalidToken, or whatever a forged token provokes
            raise self._refuse(claimed, "it has another CLUSTER_SECRET") from error

    def decrypt(self, frame: bytes) -> bytes:
        claimed, body = self._open(frame)
        if self._fernet is None:
            return body
        try:
            return bytes(self._fernet.decrypt(body))
        except Exception as error:
            raise self._refuse(claimed, "it has another CLUSTER_SECRET") from error

    def _open(self, frame: bytes) -> tuple[str, bytes]:
        start = len(_MAGIC) + 2
        if len(frame) < start or not frame.startswith(_MAGIC):
            raise self._refuse("", "it does not speak our protocol")
        end = start + frame[start - 1]
        claimed = frame[start:end].decode(errors="replace")
        mode = frame[len(_MAGIC) : len(_MAGIC) + 1]
        if mode != self._mode:
            have = "no CLUSTER_SECRET" if mode == _PLAIN else "a CLUSTER_SECRET, we have none"
            raise self._refuse(claimed, f"it has {have}")
        return claimed, frame[end:]

    def _refuse(self, claimed: str, reason: str) -> Refused:
        self._on_refused(claimed, reason)
        return Refused(reason)
