"""What tests ask of live clusters: an answer that is cut off is nobody's answer."""

from __future__ import annotations

import socket
import threading

import pytest

from tests.live import call

WAIT_S = 20.0


def answered(words: bytes) -> object:
    """What `call` makes of these bytes, after which the server is gone."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(WAIT_S)

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(words)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            return call("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=WAIT_S)
        finally:
            thread.join()


@pytest.mark.parametrize("status", [b"200 OK", b"307 Temporary Redirect", b"503 Not Ready"])
def test_an_answer_that_is_cut_off_is_an_os_error(status: bytes) -> None:
    """Whatever its status: who asks again is right, as where nobody answers at all."""
    with pytest.raises(OSError, match="IncompleteRead"):
        answered(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9\r\n\r\n{")


def test_a_whole_one_is_told() -> None:
    """Redirects and refusals are answers."""
    assert answered(b"HTTP/1.1 307 There\r\nLocation: /x\r\nContent-Length: 2\r\n\r\n{}") == (
        307, {}, {"Location": "/x", "Content-Length": "2"})
