"""connect: engines with deadlines, for a file of this controller or a PostgreSQL server."""

from __future__ import annotations

import select
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from cluster.history.base import HistoryError

CONNECT_S = 3
STATEMENT_S = 10.0
POOL_WAIT_S = 2.0
BUSY_S = 5.0


def sqlite_engine(path: Path) -> Engine:
    """An engine on a file."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)), pool_size=4, max_overflow=12,
        pool_timeout=POOL_WAIT_S, connect_args={"timeout": BUSY_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _: object) -> None:
        # SQLAlchemy begins transactions itself, so that a statement of DDL is part of one.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "cache_size=-4096",
                       "journal_size_limit=16777216"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def postgres_url(text: str) -> URL:
    """The URL of a PostgreSQL database for SQLAlchemy.

    Raises:
        ValueError: it is none.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        raise ValueError("must be postgresql://user:password@host:port/database") from None
    if url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise ValueError("must be postgresql://user:password@host:port/database")
    return url.set(drivername="postgresql+psycopg2")


def postgres_engine(url: URL, *, pool_size: int) -> Engine:
    """An engine whose every wait ends, also when the server stands still.

    Raises:
        HistoryError: psycopg2 is not installed.
    """
    try:
        engine = create_engine(
            url, pool_size=pool_size, max_overflow=0, pool_timeout=POOL_WAIT_S,
            pool_pre_ping=True, pool_recycle=1800,
            connect_args={
                "connect_timeout": CONNECT_S, "application_name": "orchestry",
                "options": f"-c statement_timeout={int(STATEMENT_S * 1000)} -c timezone=UTC",
                "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3,
                "tcp_user_timeout": 8000,
            },
        )
        import psycopg2.extensions
    except (ImportError, NoSuchModuleError):
        raise HistoryError(
            "psycopg2 is missing: install Orchestry with its extra `postgres`") from None
    psycopg2.extensions.set_wait_callback(_wait)
    return engine


def _wait(connection: Any) -> None:
    """Wait for PostgreSQL as psycopg2 asks, but not for ever.

    Source: psycopg2's documentation, "Support for coroutine libraries".
    """
    import psycopg2
    from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

    deadline_s = time.monotonic() + STATEMENT_S + CONNECT_S
    while True:
        state = connection.poll()
        if state == POLL_OK:
            return
        wanted = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}.get(state)
        if wanted is None:
            raise psycopg2.OperationalError("the connection is in a wrong state")
        poll = select.poll()
        poll.register(connection.fileno(), wanted)
        if not poll.poll(max(0.0, deadline_s - time.monotonic()) * 1000):
            raise psycopg2.OperationalError("the database does not answer")
