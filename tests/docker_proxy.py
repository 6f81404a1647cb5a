"""A proxy before a Docker daemon's socket that lets chosen requests hang."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

HEAD_BYTES_MAX = 64 * 1024
CHUNK_BYTES = 64 * 1024
STOP_S = 5.0


class DockerProxy:
    """One request a connection; those whose "METHOD /path" matches `hangs` get no answer.

    `met` are the requests that hung.
    """

    def __init__(self, path: Path, upstream: str) -> None:
        self.url = f"unix://{path}"
        self.hangs: re.Pattern[str] | None = None
        self.met: list[str] = []
        self._upstream = upstream.removeprefix("unix://")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(STOP_S)

    def hang(self, pattern: str) -> None:
        """From now on these requests hang, until their caller gives up; "" lets all others go."""
        self.hangs = re.compile(pattern) if pattern else None

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                chunk = client.recv(CHUNK_BYTES)
                if not chunk or len(head) > HEAD_BYTES_MAX:
                    return
                head += chunk
            request = " ".join(head.split(b"\r\n", 1)[0].decode().split(" ")[:2])
            hangs = self.hangs  # which tests change meanwhile
            if hangs is not None and hangs.search(request):
                self.met.append(request)
                while client.recv(CHUNK_BYTES):  # the body may follow
                    pass  # until the caller gives up
                return
            lines, body = head.split(b"\r\n\r\n", 1)
            kept = [line for line in lines.split(b"\r\n")
                    if not line.lower().startswith(b"connection:")]
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(self._upstream)
                server.sendall(b"\r\n".join([*kept, b"Connection: close", b"", body]))
                self._relay(client, server)

    def _relay(self, client: socket.socket, server: socket.socket) -> None:
        """The rest of the request on one thread, the answer on this one."""
        def up() -> None:
            with contextlib.suppress(OSError):
                while chunk := client.recv(CHUNK_BYTES):
                    server.sendall(chunk)
                server.shutdown(socket.SHUT_RDWR)

        threading.Thread(target=up, daemon=True).start()
        while chunk := server.recv(CHUNK_BYTES):
            client.sendall(chunk)
        client.shutdown(socket.SHUT_RDWR)  # the other thread reads it, and keeps it open
