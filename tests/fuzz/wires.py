"""Target `wire`: bytes and messages of strangers and of members through the guarded transport.

The library's own TcpConnection reads them from a socket of ours, so that length prefixes,
compression, seals, pickles, nonces and proofs are all in the way, as in a node.
"""

from __future__ import annotations

import pickle
import struct
import zlib
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from pysyncobj import SyncObjConf
from pysyncobj.node import TCPNode
from pysyncobj.poller import POLL_EVENT_TYPE
from pysyncobj.tcp_connection import TcpConnection

from cluster.consensus import wire
from cluster.consensus.peers import Peers
from cluster.consensus.transport import PROTOCOL, Guard, GuardedTransport
from tests.fuzz.source import Source

ME, MEMBER = "127.0.0.1:7001", "127.0.0.1:7002"
OPEN, SEALED = wire.Cipher(None), wire.Cipher("the secret of the fuzzed cluster")
PING: dict[str, Any] = {
    "type": "ping", "id": "c2", "protocol": PROTOCOL, "cluster": "", "incarnation": "i",
    "members": {}, "members_index": 0, "level": 1,
}
WORDS = (*PING, "refused", "reason", "outcast", "append_entries", "term", "entries", "readonly",
         "prevLogIdx", "commit_index", "serialized", ME, MEMBER, "c1", "c2", "add", "status")
KINDS = ("ping", "refused", "append_entries", "request_vote", "")
SEEDS: tuple[bytes, ...] = (
    b"\x00" + struct.pack("i", 2**31 - 1), b"\x00" + struct.pack("i", -5) + b"ORC1p\x00x",
    b"\x01" + struct.pack("i", 40) + b"ORC1s\x02c2" + b"A" * 31, b"\x02\x00\x00", b"\x03\x00\x01",
    b"\x02\x02\x03\x01\x00\x05\x01\x07", b"\x04cos\nsystem\n(S'id'\ntR.", b"\x04\x80\x05}\x94.",
)


class Poller:
    """Remembers who wants to read."""

    def __init__(self) -> None:
        self.callbacks: dict[int, Any] = {}

    def subscribe(self, descriptor: int, callback: Any, event: int) -> None:
        """See pysyncobj."""
        self.callbacks[descriptor] = callback

    def unsubscribe(self, descriptor: int) -> None:
        """See pysyncobj."""
        self.callbacks.pop(descriptor, None)


class FedSocket:
    """A connected socket whose other end is a fuzzer."""

    def __init__(self) -> None:
        self.incoming = b""
        self.sent = 0

    def fileno(self) -> int:
        """Any number."""
        return 99

    def setsockopt(self, *ignored: int) -> None:
        """Accepts every option."""

    def getsockopt(self, *ignored: int) -> int:
        """No error is pending."""
        return 0

    def recv(self, most: int) -> bytes:
        """What was fed, then nothing for now."""
        if not self.incoming:
            raise BlockingIOError(11, "nothing there")
        taken, self.incoming = self.incoming[:most], self.incoming[most:]
        return taken

    def send(self, data: bytes) -> int:
        """Takes all."""
        self.sent += len(data)
        return len(data)

    def close(self) -> None:
        """Nothing to give back."""


class Listener:
    """One guarded transport without a port, and a connection that came in."""

    def __init__(self, cipher: wire.Cipher) -> None:
        wire.restrict_pickle()
        self.poller = Poller()
        peers = Peers({MEMBER: "c2"}, lambda: 0.0, lambda: 0)
        self.guard = Guard("c1", peers, cipher)
        self.hints: list[tuple[int, Mapping[str, str]]] = []
        node = SimpleNamespace(
            guard=self.guard, conf=SyncObjConf(autoTick=False, bindAddress=ME),
            encryptor=self.guard, _poller=self.poller, addOnTickCallback=lambda tick: None,
            on_hint=lambda index, members: self.hints.append((index, members)))
        self.transport = GuardedTransport(node, TCPNode(ME), [TCPNode(MEMBER)])
        self.heard: list[Any] = []
        self.transport.setOnMessageReceivedCallback(self._hear)
        self.socket = FedSocket()
        self.connection = TcpConnection(poller=self.poller, socket=self.socket, timeout=60.0)
        self.transport._onNewIncomingConnection(self.connection)
        self.seal = wire.Seal("c2", cipher, lambda claimed, reason: None)
        self.at_s = 0
        self.fed: list[bytes] = []

    def _hear(self, node: Any, message: Any) -> None:
        assert node in self.transport._admitted, "a message came through before a proof"
        self.heard.append(message)

    def feed(self, data: bytes) -> None:
        """Let bytes come in, as the poll of a tick would."""
        self.fed.append(data)
        self.socket.incoming += data
        for descriptor, callback in tuple(self.poller.callbacks.items()):
            callback(descriptor, POLL_EVENT_TYPE.READ)

    def say(self, message: Any) -> None:
        """A whole message of someone who has the secret."""
        self.at_s += 1
        if self.connection.recvRandKey:
            message = (self.connection.recvRandKey, message)
        body = self.seal.encrypt_at_time(zlib.compress(pickle.dumps(message, 5)), self.at_s)
        self.feed(struct.pack("i", len(body)) + body)


def one(data: bytes) -> None:
    """Raise when a message gets through without proof, or its fault past the transport."""
    source = Source(data)
    kind = source.number(4)
    if kind == 4:
        _pickled(source.rest())
    elif kind <= 1:
        listener = Listener(SEALED if kind else OPEN)
        while source.left:
            listener.feed(source.take(1 + source.number(63)))
        assert not listener.heard
        assert not (kind and listener.transport._admitted)
    else:
        _spoken(source, Listener(SEALED if kind == 3 else OPEN))


def _spoken(source: Source, listener: Listener) -> None:
    steps = source.number(2)
    if steps:
        listener.say(b"nonce" if steps > 1 else source.plain(WORDS))
        listener.say(MEMBER if steps > 1 else source.plain(WORDS))
    while source.left:
        listener.say(_message(source))


def _message(source: Source) -> Any:
    kind = source.number(3)
    if kind == 0:
        return source.plain(WORDS)
    message = dict(PING) if kind == 1 else {"type": source.pick(KINDS)}
    for _ in range(source.number(3)):
        message[source.pick(WORDS)] = source.plain(WORDS)
    return message


def _pickled(data: bytes) -> None:
    """Only plain data comes out of a pickle, whatever is in it."""
    try:
        value = wire.loads(data)
    except Exception:  # as the library does: whatever it raises, the connection is closed
        return
    _plain(value, 0)


def _plain(value: Any, depth: int) -> None:
    known = (dict, list, tuple, set, frozenset, str, bytes, bytearray, int, float, bool, type(None))
    assert type(value) in known, type(value)
    if depth < 50:
        parts = (*value, *value.values()) if isinstance(value, dict) else (
            value if isinstance(value, list | tuple | set | frozenset) else ())
        for part in parts:
            _plain(part, depth + 1)
