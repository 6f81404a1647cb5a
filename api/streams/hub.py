"""Hub: all streams of this node, on one thread, apart from the threads of plain requests."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from api.streams.peer import Budget, Feed, Peer
from api.streams.tls import SocketTransport
from api.streams.wire import GOING_AWAY, TOO_SLOW, Wire

logger = logging.getLogger(__name__)

TICK_S = 1.0
QUICK_THREADS = 4
SLOW_THREADS = 8
"""For what asks Docker, so that one that hangs keeps only its like waiting."""
FILES_ELSEWHERE = 2048
"""Descriptors for all that is no stream: plain connections, Raft, Docker, files."""
STOP_S = 3.0

Begin = Callable[["Hub", Peer], Feed]


class Place:
    """The right to one stream; used once, by the hub or by `release`."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def release(self) -> None:
        """Give it back."""
        release, self._release = self._release, None
        if release is not None:
            release()


class Hub:
    """Holds sockets that were taken over from the HTTP server. The thread starts with the first.

    `reserve` and `attach` may be called by any thread, all else belongs to the hub's.
    """

    def __init__(self, streams_max: int) -> None:
        self.streams_max = streams_max
        self.opened = 0
        self.dropped = 0
        self.budget = Budget()
        self._lock = threading.Lock()
        self._reserved = 0
        self._peers: set[Peer] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._quick: ThreadPoolExecutor | None = None
        self._slow: ThreadPoolExecutor | None = None
        self._thread: threading.Thread | None = None
        self._stopped = False
        self._watchers: list[Callable[[float], None]] = []

    # -- any thread --------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Streams that are open."""
        return self._reserved

    def reserve(self) -> Place | None:
        """A place for one more stream; None when all are taken."""
        with self._lock:
            if self._reserved >= self.streams_max or self._stopped:
                return None
            self._reserved += 1
        return Place(self._free)

    def _free(self) -> None:
        with self._lock:
            self._reserved -= 1

    def attach(self, sock: socket.socket, head: bytes, wire: Wire, begin: Begin,
               place: Place) -> None:
        """Serve a stream on `sock`, which is the hub's from now on."""
        loop = self._running()
        loop.call_soon_threadsafe(self._attach, sock, head, wire, begin, place)

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        """Call on the hub's thread; nothing when it does not run."""
        loop = self._loop
        if loop is None:
            return
        try:
            loop.call_soon_threadsafe(call, *args)
        except RuntimeError:
            logger.debug("the hub has ended")

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._quick = ThreadPoolExecutor(QUICK_THREADS, "streams-quick")
                self._slow = ThreadPoolExecutor(SLOW_THREADS, "streams-slow")
                self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
                self._thread.start()
            return self._loop

    def stop(self) -> None:
        """Say good-bye to all clients, and end; bounded in time."""
        with self._lock:
            self._stopped = True
            loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        self.soon(self._leave)
        thread.join(STOP_S)

    # -- the hub's thread --------------------------------------------------------------

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        assert self._quick is not None
        assert self._slow is not None
        asyncio.set_event_loop(loop)
        loop.call_soon(self._tick)
        try:
            loop.run_forever()
        finally:
            for pool in (self._quick, self._slow):
                pool.shutdown(wait=False, cancel_futures=True)
            loop.close()

    def _attach(self, sock: socket.socket, head: bytes, wire: Wire, begin: Begin,
                place: Place) -> None:
        assert self._loop is not None
        loop = self._loop

        def gone(peer: Peer) -> None:
            self._peers.discard(peer)
            self.dropped += peer.close_code == TOO_SLOW
            place.release()

        peer = Peer(wire, head, begin=lambda peer: begin(self, peer), gone=gone,
                    now_s=loop.time, budget=self.budget)
        self._peers.add(peer)
        self.opened += 1
        task = loop.create_task(self._connect(peer, sock, place))
        task.add_done_callback(_look)

    async def _connect(self, peer: Peer, sock: socket.socket, place: Place) -> None:
        assert self._loop is not None
        try:
            await self._join(peer, sock)
        except BaseException:
            self._peers.discard(peer)
            place.release()
            sock.close()
            raise

    async def _join(self, protocol: asyncio.Protocol, sock: socket.socket) -> None:
        assert self._loop is not None
        if isinstance(sock, ssl.SSLSocket):
            SocketTransport(self._loop, sock, protocol)
        else:
            await self._loop.connect_accepted_socket(lambda: protocol, sock)

    def join(self, protocol: asyncio.Protocol, sock: socket.socket) -> None:
        """Let a protocol have a connection to something else, from soon on.

        All that comes is told, also when what is sent is taken no more.
        """
        assert self._loop is not None
        SocketTransport(self._loop, sock, protocol, reads_on=True)

    def watch(self, call: Callable[[float], None]) -> None:
        """Call once a second."""
        self._watchers.append(call)

    def now_s(self) -> float:
        """The hub's monotonic clock."""
        assert self._loop is not None
        return self._loop.time()

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Call on this thread after a while."""
        assert self._loop is not None
        self._loop.call_later(delay_s, call)

    def work(
        self, job: Callable[[], Any], done: Callable[[Any, BaseException | None], None], *,
        slow: bool = False,
    ) -> None:
        """Run `job`, which may wait, in another thread, and then `done` in this one."""
        assert self._loop is not None
        task = self._loop.create_task(self._work(job, done, self._slow if slow else self._quick))
        task.add_done_callback(_look)

    async def _work(
        self, job: Callable[[], Any], done: Callable[[Any, BaseException | None], None],
        pool: ThreadPoolExecutor | None,
    ) -> None:
        assert self._loop is not None
        found, fault = None, None
        try:
            found = await self._loop.run_in_executor(pool, job)
        except Exception as error:
            fault = error
        done(found, fault)

    def _tick(self) -> None:
        assert self._loop is not None
        self._loop.call_later(TICK_S, self._tick)
        now_s = self._loop.time()
        for peer in tuple(self._peers):
            peer.tick(now_s)
        for call in tuple(self._watchers):
            try:
                call(now_s)
            except Exception:
                logger.exception("a stream's source failed")

    def _leave(self) -> None:
        assert self._loop is not None
        for peer in tuple(self._peers):
            peer.close(GOING_AWAY, "this controller stops; resume at another")
        self._loop.create_task(self._end())

    async def _end(self) -> None:
        assert self._loop is not None
        until_s = self._loop.time() + STOP_S / 2
        while self._peers and self._loop.time() < until_s:
            await asyncio.sleep(0.05)
        for peer in tuple(self._peers):
            peer.abort()
        await asyncio.sleep(0)
        self._loop.stop()


def _look(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        logger.error("a stream failed", exc_info=task.exception())


def descriptors(streams_max: int) -> int:
    """Let this process have as many descriptors as `streams_max` streams need.

    Returns how many streams it can then have.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = streams_max + FILES_ELSEWHERE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return streams_max
    return min(streams_max, max(soft - FILES_ELSEWHERE, soft // 4))
