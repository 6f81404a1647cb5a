"""Server: gunicorn with one threaded worker, in which the controller lives.

Source: docs/adr/0005-one-gunicorn-worker.md.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import selectors
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn, Protocol

import orjson
from gunicorn import glogging, util
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.http import get_parser
from gunicorn.sock import ssl_context
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from api import errors, logs, secure
from api.affinity import share_a_core
from api.app import create_app
from api.controller import Controller
from api.here import EXTENSION
from api.peers import BoundedUnreader
from api.waiting import WAITERS_MAX
from cluster.clock import SystemClock
from cluster.config import Settings
from cluster.tls.errors import TlsError
from cluster.tls.identity import Identity
from orchestry.errors import Code

logger = logging.getLogger(__name__)

THREADS = 64 + WAITERS_MAX
CONNECTIONS_MAX = 1000
KEEP_ALIVE_S = 30
# The arbiter kills a worker, and with it the Raft node, that is silent for so long.
WORKER_SILENCE_S = 120
DRAIN_S = 3
STOP_S = 20
SEND_SILENCE_S = 10
LINGER_S = 1
BODY_REST_BYTES_MAX = 8 * 1024**2
_PR_SET_PDEATHSIG = 1


class Startable(Controller, Protocol):
    """A controller that this process starts and stops."""

    def start(self) -> None:
        """Join the cluster."""

    def stop(self) -> None:
        """Hand over leadership and leave."""


class Log(glogging.Logger):  # type: ignore[misc]
    """gunicorn's own messages go where all others go; no access log."""

    def setup(self, cfg: Any) -> None:
        """Leave handlers to the root logger; the workers' coming and going is no news."""
        self.error_log.propagate = True
        quiet = logging.getLogger().level > logging.DEBUG
        self.error_log.setLevel(logging.CRITICAL if quiet else logging.DEBUG)


class Worker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threaded worker, bounded against slow clients, ending without delay."""

    leaving = False

    def enqueue_req(self, conn: Any) -> None:
        """Let a new connection wait for its first bytes without a thread."""
        if conn.initialized or conn.data_ready:
            super().enqueue_req(conn)
            return
        conn.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_SILENCE_S, 0))
        conn.sock.setblocking(False)
        conn.set_timeout()
        self.pending_conns.append(conn)
        self.poller.register(
            conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def handle(self, conn: Any) -> Any:
        """Answer a request, and those that came with it in the same packets.

        gunicorn would wait for the socket to become readable, while they lie in its buffer.
        """
        if not conn.initialized:
            if self.cfg.is_ssl:
                found = secure.step(conn, ssl_context(self.cfg))
                if found != "open":
                    return _DEFER if found == "wait" else False
                conn.sock.setblocking(True)
                conn.parser = get_parser(self.cfg, conn.sock, conn.client)
                conn.initialized = True
            elif secure.refused(conn.sock):
                return False
            else:
                conn.init()
            conn.parser.unreader = BoundedUnreader(conn.sock)
            if self.cfg.is_ssl and not conn.sock.waiting():
                return _DEFER  # no request yet: that needs no thread
        reader = conn.parser.unreader
        while True:
            reader.begin()
            keep = super().handle(conn) and not reader.given_up
            if not keep or not self.alive or not (reader.buf.tell() or secure.unread(conn.sock)):
                return keep

    def handle_request(self, req: Any, conn: Any) -> bool:
        """Read on after a refused body, within bounds, so that the client sees the answer."""
        keep_alive = super().handle_request(req, conn)
        left = BODY_REST_BYTES_MAX
        while left > 0:
            read = len(req.body.read(65536))
            if not read:
                return bool(keep_alive)
            left -= read
        return False

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Leave in a thread of its own: a signal handler must not wait."""
        if self.alive and not self.leaving:
            self.leaving = True
            threading.Thread(target=self._leave, name="leave", daemon=True).start()

    def _leave(self) -> None:
        """Hand over while HTTP still answers, then end waits and idle connections.

        So a client is sent on to the new leader, instead of finding nobody.
        """
        parts = self.wsgi.extensions[EXTENSION]
        try:
            parts.controller.hand_over()
        except Exception:
            logger.exception("leadership could not be handed over")
        parts.waiting.close()
        parts.streams.hub.stop()
        self.method_queue.defer(self._close_idle)
        super().handle_exit(signal.SIGTERM, None)

    def handle_quit(self, sig: int, frame: Any) -> None:
        """Ctrl-C is a clean stop too."""
        self.handle_exit(sig, frame)

    def _close_idle(self) -> None:
        for conn in (*self.keepalived_conns, *self.pending_conns):
            conn.timeout = 0
        self.murder_keepalived()
        self.murder_pending()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """A request that is no HTTP gets the error body too, never HTML."""
        if isinstance(exc, OSError):
            return
        status = {"LimitRequestLine": 414, "LimitRequestHeaders": 431}.get(type(exc).__name__, 400)
        reason = HTTPStatus(status).phrase
        body = orjson.dumps(errors.body(Code.VALIDATION_ERROR, f"{reason}: the request is no "
                                        "valid HTTP/1.1 request within the limits"))
        head = (
            f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode() + body)
            _linger(client)
        except OSError as error:
            logger.debug("the peer went away: %s", error)


def _linger(client: socket.socket) -> None:
    """Read what the peer still sends: closing over unread bytes would reset the answer away."""
    client.shutdown(socket.SHUT_WR)
    client.settimeout(LINGER_S)
    left = BODY_REST_BYTES_MAX
    while left > 0 and (read := len(client.recv(65536))):
        left -= read


def _die() -> None:
    """End the worker and its arbiter as `kill -9` does; what supervises them starts them again."""
    arbiter = os.getppid()
    os.kill(arbiter, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(arbiter, signal.SIGQUIT)  # the first process of a container survives SIGKILL
    os.kill(os.getpid(), signal.SIGKILL)


class Server(BaseApplication):  # type: ignore[misc]
    """Runs one controller and its API until a signal ends it."""

    def __init__(self, settings: Settings, make: Callable[[Settings], Startable]) -> None:
        self._settings = settings
        self._make = make
        self._controller: Startable | None = None
        self._started = False
        super().__init__()

    def load_config(self) -> None:
        """gunicorn's settings; one worker, since it holds the Raft node."""
        chosen = {
            "bind": f"{self._settings.host}:{self._settings.port}",
            "workers": 1,
            "worker_class": Worker,
            "threads": THREADS,
            "worker_connections": CONNECTIONS_MAX,
            "keepalive": KEEP_ALIVE_S,
            "timeout": WORKER_SILENCE_S,
            "graceful_timeout": STOP_S,
            "max_requests": 0,
            "preload_app": False,
            "logger_class": Log,
            "post_fork": self._forked,
            "post_worker_init": self._begin,
            "worker_exit": self._end,
        }
        if Path("/dev/shm").is_dir():  # noqa: S108 - the heartbeat file must not wait for a disk
            chosen["worker_tmp_dir"] = "/dev/shm"  # noqa: S108
        if "control_socket_disable" in self.cfg.settings:
            chosen["control_socket_disable"] = True
        if self._settings.tls_cert:
            # That the first two are set is what tells gunicorn of HTTPS.
            chosen["certfile"] = self._settings.tls_cert
            chosen["keyfile"] = self._settings.tls_key
            chosen["ssl_context"] = self._ssl_context
        for name, value in chosen.items():
            self.cfg.set(name, value)

    def _ssl_context(self, config: Any, default: Callable[[], Any]) -> Any:
        assert self._controller is not None
        return self._controller.identity.contexts.api

    def load(self) -> Any:
        """The WSGI application; called in the worker."""
        try:
            self._controller = self._make(self._settings)
        except Exception as error:
            self._give_up(error)
        logs.tell_raft(self._controller.log)
        return create_app(self._controller, die=_die)

    def _forked(self, arbiter: Any, worker: Any) -> None:
        # Of the worker's time to stop, HTTP gets a part; the rest is for handing over.
        worker.cfg.set("graceful_timeout", DRAIN_S)
        if sys.platform == "linux":
            # Whoever kills the parent means this controller: it must not live on alone.
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _begin(self, worker: Any) -> None:
        assert self._controller is not None
        try:
            self._controller.start()
        except Exception as error:
            self._give_up(error)
        self._started = True
        share_a_core(self._settings.node_id)
        scheme = "https" if self._settings.tls_cert else "http"
        logger.info("serving on %s://%s:%s", scheme, self._settings.host, self._settings.port)

    def _give_up(self, error: Exception) -> NoReturn:
        reason = getattr(error, "reason", None)
        if reason is None:
            logger.critical("the controller failed to start", exc_info=error)
        else:
            logger.critical("the controller cannot start: %s", reason)
        # The one exit code after which the arbiter ends instead of starting a worker again.
        sys.exit(Arbiter.APP_LOAD_ERROR)

    def _end(self, arbiter: Any, worker: Any) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        if self._controller is not None and self._started:
            self._controller.stop()
            logger.info("stopped")
            logging.shutdown()
            # Taking the interpreter down costs a second of processor time, for which clients
            # whose connections were not closed yet would wait.
            os._exit(0)

    def serve(self) -> int:
        """Run until a signal; 0, or 1 when the controller could not start."""
        try:
            Identity(self._settings, SystemClock())  # gunicorn would look for the files, too
        except TlsError as error:
            logger.critical("the controller cannot start: %s", error.reason)
            return 1
        parent = os.getpid()
        try:
            self.run()
        except SystemExit as done:
            if os.getpid() != parent:
                raise
            return 0 if done.code in (None, 0) else 1
        return 0
