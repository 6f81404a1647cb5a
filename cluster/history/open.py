"""open_history: the history of one controller by its settings; never a reason not to start."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cluster.clock import Clock
from cluster.history.base import HistoryError, Retention
from cluster.history.connect import postgres_engine, postgres_url, sqlite_engine
from cluster.history.history import History, Log
from cluster.history.peers import Fetch, no_peer
from cluster.history.sql import SqlStore

logger = logging.getLogger(__name__)

FILE = "history.db"
POOL_SIZE = 4


def open_history(
    folder: Path, node_id: str, log: Log, clock: Clock, *, database_url: str = "",
    pool_size: Callable[[], int | None] = lambda: POOL_SIZE,
    bytes_max: int = 1024**3, fetch: Fetch = no_peer,
    retention: Callable[[], Retention] = Retention,
) -> History:
    """A History over `folder`/history.db, and PostgreSQL if `database_url` names one.

    A file that is damaged is put aside; one that cannot be used at all leaves the history
    to what the replicated state holds, and `status` says so. `pool_size` tells how many
    connections there may be, None while that is not known: it is asked once, before the first.
    """
    remote, fault = None, ""
    if database_url:
        try:
            remote = SqlStore(postgres_engine(postgres_url(database_url), pool_size=POOL_SIZE))
        except (HistoryError, ValueError) as error:
            logger.error("PostgreSQL cannot be used: %s", error)
            fault = str(error)

    def prepare() -> int | None:
        size = pool_size()
        if size is not None and remote is not None and size != POOL_SIZE:
            remote.use(postgres_engine(postgres_url(database_url), pool_size=size))
        return size

    return History(
        node_id, log, clock, open_local=partial(_local, folder / FILE, bytes_max), remote=remote,
        fetch=fetch, remote_fault=fault, retention=retention, prepare=prepare)


def _local(path: Path, bytes_max: int) -> tuple[SqlStore | None, str]:
    reason = ""
    for attempt in (1, 2):
        store = SqlStore(sqlite_engine(path), bytes_max=bytes_max)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            store.migrate()
            return store, ""
        except (HistoryError, OSError) as error:
            reason = error.reason if isinstance(error, HistoryError) else str(error)
            store.close()
            logger.error("the history file %s cannot be used: %s", path, reason)
        if attempt == 1 and not _put_aside(path):
            break
    return None, reason


def _put_aside(path: Path) -> bool:
    """Rename a damaged file and its companions, so that a new one can begin."""
    suffix = time.strftime(".damaged-%Y%m%dT%H%M%S")
    try:
        for part in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
            if part.exists():
                part.rename(part.with_name(part.name + suffix))
    except OSError as error:
        logger.error("%s cannot be put aside: %s", path, error)
        return False
    logger.warning("a new history begins; the damaged file is kept as %s", path.name + suffix)
    return True
