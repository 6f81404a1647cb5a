"""A registry of images on loopback, with faults on demand: what the Docker daemon pulls from.

It serves what a test puts in, over the pull half of the distribution API; Docker takes loopback
addresses without TLS.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CHUNK_BYTES = 16 * 1024
HANG_MAX_S = 120.0

Fault = Literal["", "500", "hang", "hang in a layer", "echo"]
"""`echo` refuses, and sends the login back in its words."""


def digest_of(data: bytes) -> str:
    """As registries name it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def layer(name: str, content: bytes) -> bytes:
    """A layer with one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


@dataclass
class Registry:
    """`with Registry() as registry`: serves until the block ends.

    `login` is the only one that it takes, `bytes_per_s` bounds how fast layers come, `asked`
    counts requests by kind, and `open` are the requests for layers that are being answered.
    """

    login: tuple[str, str] | None = None
    fault: Fault = ""
    bytes_per_s: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    open: int = 0
    most_open: int = 0
    _blobs: dict[str, bytes] = field(default_factory=dict)
    _tags: dict[tuple[str, str], str] = field(default_factory=dict)
    _server: Any = None
    _stop: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Registry:
        handler = type("Handler", (_Handler,), {"registry": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def host(self) -> str:
        """Its name in images."""
        return f"127.0.0.1:{self._server.server_port}"

    def put(
        self, name: str, tag: str, saved: bytes, extra: bytes = b"", label: str = ""
    ) -> str:
        """Take an image as `docker save` writes it, with one layer more; returns its digest."""
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
            def read(path: str) -> bytes:
                member = tar.extractfile(path)
                assert member is not None
                return member.read()

            about = json.loads(read("manifest.json"))[0]
            config = json.loads(read(about["Config"]))
            layers = [read(path) for path in about["Layers"]]
        layers.append(layer("extra", extra))
        config["rootfs"]["diff_ids"] = [digest_of(one) for one in layers]
        config.pop("history", None)
        if label:
            config["config"]["Labels"] = {"label": label}
        return self._serve(name, tag, json.dumps(config).encode(), layers)

    def move(self, name: str, tag: str, digest: str) -> None:
        """Let a tag name another image."""
        self._tags[name, tag] = digest

    def forget(self, name: str, tag: str) -> None:
        """No such tag, and no such image, any more."""
        self._blobs.pop(self._tags.pop((name, tag)))

    def _serve(self, name: str, tag: str, config: bytes, layers: list[bytes]) -> str:
        def described(kind: str, data: bytes) -> Mapping[str, Any]:
            self._blobs[digest_of(data)] = data
            return {"mediaType": kind, "size": len(data), "digest": digest_of(data)}

        kind = "application/vnd.docker.image.rootfs.diff.tar.gzip"
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": described("application/vnd.docker.container.image.v1+json", config),
            "layers": [described(kind, one) for one in layers],
        }).encode()
        digest = digest_of(manifest)
        self._blobs[digest] = manifest
        self._tags[name, tag] = digest
        return digest

    def find(self, name: str, reference: str) -> tuple[str, bytes | None]:
        """The digest and the content of a tag or a digest."""
        digest = self._tags.get((name, reference), reference)
        return digest, self._blobs.get(digest)

    def wait(self, seconds: float) -> None:
        """Wait, at most until the registry ends."""
        self._stop.wait(seconds)

    def count(self, kind: str) -> None:
        """A request has come."""
        with self._lock:
            self.asked[kind] += 1

    def count_open(self, step: int) -> None:
        """A request for a layer begins or ends."""
        with self._lock:
            self.open += step
            self.most_open = max(self.most_open, self.open)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *args: Any) -> None:
        """Tests print nothing."""

    def _answer(self, *, body: bool) -> None:
        registry, path = self.registry, self.path.partition("?")[0]
        kind = "blobs" if "/blobs/" in path else "manifests" if "/manifests/" in path else "ping"
        registry.count(kind)
        if registry.fault == "hang" or (registry.fault == "hang in a layer" and kind == "blobs"):
            registry.wait(HANG_MAX_S)
            self.close_connection = True
        elif registry.fault == "500":
            self._fail(500, "UNKNOWN", "told to fail")
        elif registry.fault == "echo" and kind != "ping":
            self._fail(403, "DENIED", f"no: {self.headers.get('Authorization')}, {registry.login}")
        elif not self._may():
            self._fail(401, "UNAUTHORIZED", "authentication required")
        elif kind == "ping":
            self._send(200, b"{}", {})
        else:
            name, _, reference = path.removeprefix("/v2/").partition(f"/{kind}/")
            self._content(kind, name, reference, body=body)

    def _may(self) -> bool:
        login = self.registry.login
        if login is None:
            return True
        pair = base64.b64encode(":".join(login).encode()).decode()
        return self.headers.get("Authorization") == f"Basic {pair}"

    def _content(self, kind: str, name: str, reference: str, *, body: bool) -> None:
        digest, found = self.registry.find(name, reference)
        if found is None:
            self._fail(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return
        kinds = {"manifests": MANIFEST, "blobs": "application/octet-stream"}
        self._send(200, found if body else b"", {
            "Content-Type": kinds[kind], "Docker-Content-Digest": digest,
            "Content-Length": str(len(found))}, slow=kind == "blobs")

    def _fail(self, status: int, code: str, message: str) -> None:
        text = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        headers = {"Content-Type": "application/json"}
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="test"'
        self._send(status, text if self.command == "GET" else b"", headers)

    def _send(
        self, status: int, data: bytes, headers: Mapping[str, str], *, slow: bool = False
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if not slow or not self.registry.bytes_per_s:
            self.wfile.write(data)
            return
        self.registry.count_open(1)
        try:
            for start in range(0, len(data), CHUNK_BYTES):
                self.wfile.write(data[start:start + CHUNK_BYTES])
                rate = self.registry.bytes_per_s  # which tests change meanwhile
                self.registry.wait(CHUNK_BYTES / rate if rate else 0.0)
        except OSError:
            self.close_connection = True
        finally:
            self.registry.count_open(-1)


def saved(client: Any, image: str) -> bytes:
    """An image of the daemon, as `docker save` writes it."""
    return b"".join(client.get_image(image))
