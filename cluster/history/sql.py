"""SqlStore: the history in SQLite or PostgreSQL. Door of SQLAlchemy."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    Select,
    Table,
    and_,
    cast,
    delete,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy import types as sql_types
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from cluster.history.base import (
    NUMBERS,
    RESOLUTIONS_S,
    WHOLE,
    HistoryError,
    Point,
    Retention,
    Sample,
    Wanted,
)
from cluster.history.migrate import migrate
from cluster.history.tables import events, samples, writers
from cluster.state.model import EventRecord

FOLD_SPAN = {60: 3600_000, 3600: 24 * 3600_000}
"""So much time is folded in one transaction, in ms."""
DELETE_MAX = 20_000
GAPS_MAX = 1_000
DETAILS_BYTES_MAX = 64 * 1024


class SqlStore:
    """A HistoryStore over SQLAlchemy Core; `bytes_max` bounds a SQLite file."""

    def __init__(self, engine: Engine, *, bytes_max: int = 0) -> None:
        self._engine = engine
        self._bytes_max = bytes_max
        self._insert: Any = (
            postgresql.insert if engine.dialect.name == "postgresql" else sqlite.insert)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError, ValueError) as error:
            raise HistoryError(reason_of(error)) from error

    def migrate(self) -> None:
        """Bring the tables up to this version."""
        try:
            migrate(self._engine)
        except (SQLAlchemyError, OSError, ValueError) as error:
            raise HistoryError(reason_of(error)) from error

    def ping(self) -> None:
        """Ask the least that there is."""
        with self._transaction() as connection:
            connection.execute(select(literal(1)))

    def use(self, engine: Engine) -> None:
        """Another engine from now on; the one before is closed."""
        self._engine, before = engine, self._engine
        before.dispose()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    # -- events ------------------------------------------------------------------------

    def append_events(self, cluster_id: str, found: Sequence[EventRecord]) -> None:
        """Keep events, all or none; one with the id of another takes its place."""
        if not found:
            return
        statement = self._insert(events)
        statement = statement.on_conflict_do_update(
            index_elements=["cluster_id", "id"],
            set_={name: statement.excluded[name]
                  for name in ("type", "app", "message", "at_ms", "details")},
        )
        rows = [
            {
                "cluster_id": cluster_id, "id": event.id, "type": event.type, "app": event.app,
                "message": event.message, "at_ms": event.at_ms, "details": _details(event),
            }
            for event in found
        ]
        with self._transaction() as connection:
            connection.execute(statement, rows)

    def last_event_id(self, cluster_id: str) -> int:
        """The highest id, 0 without any."""
        with self._transaction() as connection:
            found = connection.scalar(
                select(func.max(events.c.id)).where(events.c.cluster_id == cluster_id))
        return found or 0

    def events(
        self, cluster_id: str, wanted: Wanted, *, after: int = 0, before: int | None = None,
        limit: int = 100, newest_first: bool = True,
    ) -> list[EventRecord]:
        """Events with `after` < id < `before`."""
        order = events.c.id.desc() if newest_first else events.c.id
        query = (
            _matching(select(events), cluster_id, wanted, after, before)
            .order_by(order).limit(limit)
        )
        with self._transaction() as connection:
            return [_event(row) for row in connection.execute(query)]

    def event_gaps(self, cluster_id: str, generation: int) -> list[tuple[int, int]]:
        """Pairs of ids between which ids are missing; one that `generation` divides begins anew."""
        earlier = func.lag(events.c.id).over(order_by=events.c.id).label("earlier")
        pairs = select(earlier, events.c.id).where(events.c.cluster_id == cluster_id).subquery()
        query = select(pairs).where(
            pairs.c.id > pairs.c.earlier + 1, pairs.c.id % generation != 0,
        ).order_by(pairs.c.id).limit(GAPS_MAX)
        with self._transaction() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]

    def count_events(
        self, cluster_id: str, wanted: Wanted, *, after: int = 0, before: int | None = None
    ) -> int:
        """How many those are."""
        query = _matching(
            select(func.count()).select_from(events), cluster_id, wanted, after, before)
        with self._transaction() as connection:
            return connection.scalar(query) or 0

    # -- samples -----------------------------------------------------------------------

    def append_samples(self, cluster_id: str, epoch: int, found: Sequence[Sample]) -> bool:
        """Keep measurements of the leader of `epoch`; False when a later one wrote already."""
        if not found:
            return True
        rows = [
            {
                "cluster_id": cluster_id, "resolution_s": 0, "app": one.app,
                "at_ms": one.point.at_ms, "parts": 1,
                **{name: getattr(one.point, name) for name in NUMBERS},
            }
            for one in found
        ]
        with self._transaction() as connection:
            self._writer(connection, cluster_id)
            held = connection.execute(
                update(writers)
                .where(writers.c.cluster_id == cluster_id, writers.c.epoch <= epoch)
                .values(epoch=epoch)
            )
            if not held.rowcount:
                return False
            connection.execute(self._insert(samples).on_conflict_do_nothing(), rows)
        return True

    def _writer(self, connection: Connection, cluster_id: str) -> None:
        connection.execute(self._insert(writers).on_conflict_do_nothing(), {
            "cluster_id": cluster_id, "epoch": 0, "minutes_until_ms": 0, "hours_until_ms": 0})

    def samples_after(self, cluster_id: str, at_ms: int, limit: int) -> list[Sample]:
        """Single measurements later than `at_ms`, oldest first, all of each moment."""
        raw = and_(samples.c.cluster_id == cluster_id, samples.c.resolution_s == 0)
        edge = (
            select(samples.c.at_ms).where(raw, samples.c.at_ms > at_ms)
            .order_by(samples.c.at_ms).limit(1).offset(max(limit, 1) - 1).scalar_subquery()
        )
        query = (
            select(samples)
            .where(raw, samples.c.at_ms > at_ms,
                   samples.c.at_ms <= func.coalesce(edge, 2**62))
            .order_by(samples.c.at_ms, samples.c.app)
        )
        with self._transaction() as connection:
            return [Sample(row.app, _point(row)) for row in connection.execute(query)]

    def last_sample_ms(self, cluster_id: str) -> int:
        """The moment of the newest, 0 without any."""
        query = select(func.max(samples.c.at_ms)).where(
            samples.c.cluster_id == cluster_id, samples.c.resolution_s == 0)
        with self._transaction() as connection:
            return connection.scalar(query) or 0

    def points(
        self, cluster_id: str, app: str, *, count: int, interval_s: int = 0
    ) -> list[Point]:
        """The newest `count` points of an app, oldest first; means over `interval_s` if not 0."""
        if count <= 0:
            return []
        mine = and_(samples.c.cluster_id == cluster_id, samples.c.app == app)
        with self._transaction() as connection:
            if not interval_s:
                query = (
                    select(samples).where(mine, samples.c.resolution_s == 0)
                    .order_by(samples.c.at_ms.desc()).limit(count)
                )
                return [_point(row) for row in connection.execute(query)][::-1]
            minutes_ms, hours_ms = self._folded(connection, cluster_id)
            if interval_s < 3600:
                hours_ms = -1  # no hour is part of a smaller interval
            # Each moment is told by one resolution: hours as far as there are any, then minutes.
            told = (
                and_(samples.c.resolution_s == 3600, samples.c.at_ms < hours_ms)
                | and_(samples.c.resolution_s == 60, samples.c.at_ms >= max(hours_ms, 0),
                       samples.c.at_ms < minutes_ms)
                | and_(samples.c.resolution_s == 0,
                       samples.c.at_ms >= max(hours_ms, minutes_ms))
            )
            query = self._means(
                select(*self._mean_columns(interval_s)).where(mine, told), interval_s, count)
            return [_point(row) for row in connection.execute(query)][::-1]

    def _folded(self, connection: Connection, cluster_id: str) -> tuple[int, int]:
        row = connection.execute(select(
            writers.c.minutes_until_ms, writers.c.hours_until_ms
        ).where(writers.c.cluster_id == cluster_id)).first()
        return (row[0], row[1]) if row is not None else (0, 0)

    def _bucket(self, interval_s: int) -> Any:
        width = interval_s * 1000
        return (samples.c.at_ms // literal(width, sql_types.BigInteger)) * width

    def _mean_columns(self, interval_s: int) -> list[Any]:
        found = [self._bucket(interval_s).label("at_ms"), func.sum(samples.c.parts).label("parts")]
        for name in NUMBERS:
            column = samples.c[name]
            weight = func.sum(samples.c.parts).filter(column.is_not(None))
            mean = func.sum(column * samples.c.parts) / cast(weight, sql_types.Float)
            found.append(mean.label(name))
        return found

    def _means(self, query: Select[Any], interval_s: int, count: int) -> Select[Any]:
        bucket = self._bucket(interval_s)
        return query.group_by(bucket).order_by(bucket.desc()).limit(count)

    # -- upkeep ------------------------------------------------------------------------

    def maintain(self, cluster_id: str, now_ms: int, retention: Retention) -> None:
        """Fold measurements into means, and delete what is too old or too much; bounded work."""
        for interval_s, source_s in ((60, 0), (3600, 60)):
            self._fold(cluster_id, interval_s, source_s, now_ms)
        with self._transaction() as connection:
            for resolution_s in RESOLUTIONS_S:
                _delete_some(connection, samples, and_(
                    samples.c.cluster_id == cluster_id, samples.c.resolution_s == resolution_s,
                    samples.c.at_ms < now_ms - retention.of(resolution_s)))
            _delete_some(connection, events, and_(
                events.c.cluster_id == cluster_id,
                events.c.at_ms < now_ms - retention.events_ms))
        self._shrink(cluster_id)

    def _fold(self, cluster_id: str, interval_s: int, source_s: int, now_ms: int) -> None:
        """Make the means that are still missing, up to the last whole interval."""
        column = writers.c.minutes_until_ms if interval_s == 60 else writers.c.hours_until_ms
        source = and_(samples.c.cluster_id == cluster_id, samples.c.resolution_s == source_s)
        width = interval_s * 1000
        with self._transaction() as connection:
            self._writer(connection, cluster_id)
            minutes_ms, hours_ms = self._folded(connection, cluster_id)
            done_ms = minutes_ms if interval_s == 60 else hours_ms
            # Measurements come in order, here from the leader: an interval is whole once there
            # is a later one.
            ends_ms = minutes_ms if source_s else connection.scalar(
                select(func.max(samples.c.at_ms)).where(source)) or 0
            until_ms = min(now_ms, ends_ms) // width * width
            oldest_ms = connection.scalar(
                select(func.min(samples.c.at_ms)).where(source, samples.c.at_ms >= done_ms))
            if oldest_ms is None or oldest_ms >= until_ms:
                return
            begin_ms = max(done_ms, oldest_ms // width * width)
            until_ms = min(until_ms, begin_ms + FOLD_SPAN[interval_s])
            query = select(
                samples.c.cluster_id, literal(interval_s), samples.c.app,
                *self._mean_columns(interval_s),
            ).where(source, samples.c.at_ms >= begin_ms, samples.c.at_ms < until_ms).group_by(
                samples.c.cluster_id, samples.c.app, self._bucket(interval_s))
            names = ["cluster_id", "resolution_s", "app", "at_ms", "parts", *NUMBERS]
            connection.execute(
                self._insert(samples).from_select(names, query).on_conflict_do_nothing())
            connection.execute(
                update(writers).where(writers.c.cluster_id == cluster_id)
                .values({column.name: until_ms}))

    def _shrink(self, cluster_id: str) -> None:
        """Delete the oldest of a SQLite file that is too large; its pages are used again."""
        if not self._bytes_max:
            return
        with self._transaction() as connection:
            size = _sqlite_bytes(connection)
            if size <= self._bytes_max:
                return
            for resolution_s in RESOLUTIONS_S:
                mine = and_(
                    samples.c.cluster_id == cluster_id, samples.c.resolution_s == resolution_s)
                if _delete_oldest(connection, samples, mine, samples.c.at_ms):
                    return
            _delete_oldest(connection, events, events.c.cluster_id == cluster_id, events.c.id)


def reason_of(error: Exception) -> str:
    """What a database's error says, in one line and without statements or parameters."""
    cause = getattr(error, "orig", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[0] if lines else type(cause).__name__)[:300]


def _details(event: EventRecord) -> str:
    found = json.dumps(dict(event.details), separators=(",", ":"), sort_keys=True)
    return found if len(found) <= DETAILS_BYTES_MAX else '{"omitted":"too large"}'


def _event(row: Row[Any]) -> EventRecord:
    details = tuple(sorted(json.loads(row.details).items()))
    return EventRecord(row.id, row.type, row.app, row.message, row.at_ms, details)


def _point(row: Row[Any]) -> Point:
    numbers: dict[str, Any] = {}
    for name in NUMBERS:
        value = getattr(row, name)
        whole = name in WHOLE and value is not None
        numbers[name] = round(value) if whole else value
    return Point(row.at_ms, **numbers)


def _matching(
    query: Select[Any], cluster_id: str, wanted: Wanted, after: int, before: int | None
) -> Select[Any]:
    query = query.where(events.c.cluster_id == cluster_id)
    if after:
        query = query.where(events.c.id > after)
    if before is not None:
        query = query.where(events.c.id < before)
    if wanted.app is not None:
        query = query.where(events.c.app == wanted.app)
    if wanted.type is not None:
        query = query.where(events.c.type == wanted.type)
    if wanted.public:
        query = query.where(events.c.type != "audit")
    if wanted.apps:
        query = query.where(events.c.app.startswith(wanted.apps, autoescape=True))
    if wanted.since_ms:
        query = query.where(events.c.at_ms >= wanted.since_ms)
    return query


def _delete_some(connection: Connection, table: Table, old: Any) -> int:
    """Delete at most DELETE_MAX rows, so that no other waits for long."""
    keys = list(table.primary_key.columns)
    few = select(*keys).where(old).limit(DELETE_MAX).subquery()
    same = and_(*(column == few.c[column.name] for column in keys))
    found = connection.execute(delete(table).where(select(few).where(same).exists()))
    return int(found.rowcount)


def _delete_oldest(connection: Connection, table: Table, mine: Any, by: Any) -> int:
    edge = connection.scalar(
        select(by).where(mine).order_by(by).limit(1).offset(DELETE_MAX))
    if edge is None:
        edge = connection.scalar(select(func.max(by)).where(mine))
    if edge is None:
        return 0
    return int(connection.execute(delete(table).where(mine, by <= edge)).rowcount)


def _sqlite_bytes(connection: Connection) -> int:
    pages, free, size = (
        connection.execute(text(f"PRAGMA {name}")).scalar() or 0
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)
