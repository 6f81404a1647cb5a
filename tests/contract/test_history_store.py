"""The history store's contract, on SQLite and on PostgreSQL."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, insert, inspect, text

from cluster.history.base import DAY_MS, HOUR_MS, HistoryError, Point, Retention, Sample, Wanted
from cluster.history.connect import postgres_engine, postgres_url, sqlite_engine
from cluster.history.migrate import migrate, revisions
from cluster.history.sql import SqlStore
from cluster.history.tables import events, metadata
from cluster.state.model import EventRecord
from tests.postgres import Postgres, postgres

C = "cluster-1"
NOW_MS = 1_700_000_000_000 // DAY_MS * DAY_MS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A PostgreSQL of this module."""
    with postgres(tmp_path_factory.mktemp("postgres") / "server") as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database."""
    if request.param == "sqlite":
        found = sqlite_engine(tmp_path / "history.db")
    else:
        server = request.getfixturevalue("server")
        found = postgres_engine(postgres_url(server.url), pool_size=4)
        with found.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
    yield found
    found.dispose()


@pytest.fixture
def store(engine: Engine) -> SqlStore:
    """A store with its tables."""
    found = SqlStore(engine)
    found.migrate()
    return found


def event(number: int, app: str = "shop", kind: Any = "config", **details: Any) -> EventRecord:
    """An event."""
    return EventRecord(number, kind, app, f"event {number}", NOW_MS + number * 1000,
                       tuple(sorted(details.items())))


def test_events_come_back_as_they_were(store: SqlStore) -> None:
    """All of an event is kept, whatever its details hold."""
    one = event(7, "", "cluster", by="c1", none=None, list=("a", 1), text="ü\n'\"\\", share=0.25)
    store.append_events(C, [one])
    found = store.events(C, Wanted())
    assert found[0].id == 7
    assert dict(found[0].details) == {
        "by": "c1", "none": None, "list": ["a", 1], "text": "ü\n'\"\\", "share": 0.25}
    assert store.last_event_id(C) == 7
    assert store.last_event_id("another") == 0
    assert store.events("another", Wanted()) == []


def test_the_same_events_again_change_nothing(store: SqlStore) -> None:
    """A repeat after an unknown outcome; one with the id of another takes its place."""
    store.append_events(C, [event(n) for n in range(1, 6)])
    store.append_events(C, [event(n) for n in range(3, 8)])
    assert [e.id for e in store.events(C, Wanted())] == [7, 6, 5, 4, 3, 2, 1]
    store.append_events(C, [event(4, "blog")])
    assert store.count_events(C, Wanted("blog")) == 1
    assert store.count_events(C, Wanted()) == 7


def test_events_are_found_by_app_type_time_and_id(store: SqlStore) -> None:
    """Every filter alone and together, in both directions, in pages."""
    store.append_events(C, [
        event(n, "shop" if n % 2 else "blog", "scaling" if n % 3 == 0 else "config")
        for n in range(1, 31)])
    assert [e.id for e in store.events(C, Wanted("shop", "scaling"))] == [27, 21, 15, 9, 3]
    assert store.count_events(C, Wanted("shop", "scaling")) == 5
    since = Wanted(since_ms=NOW_MS + 28_000)
    assert [e.id for e in store.events(C, since)] == [30, 29, 28]
    assert [e.id for e in store.events(C, Wanted("shop"), before=10, limit=2)] == [9, 7]
    up = store.events(C, Wanted(), after=5, before=9, newest_first=False)
    assert [e.id for e in up] == [6, 7, 8]
    assert store.count_events(C, Wanted(), after=5, before=9) == 3


def test_events_are_found_by_how_names_begin_and_without_the_audit(store: SqlStore) -> None:
    """In the store and in memory alike; what the log of the cluster tells belongs to no app."""
    made = [event(1, "shop-a"), event(2, "shop"), event(3, "shop-b", "audit"), event(4, ""),
            event(5, "", "audit"), event(6, "a-shop-")]
    store.append_events(C, made)
    for wanted, ids in (
        (Wanted(apps="shop-"), [3, 1]), (Wanted(apps="shop-", public=True), [1]),
        (Wanted(public=True), [6, 4, 2, 1]), (Wanted(type="audit"), [5, 3]), (Wanted(apps="%"), []),
    ):
        assert [e.id for e in store.events(C, wanted)] == ids
        assert [e.id for e in reversed(made) if wanted.includes(e)] == ids
        assert store.count_events(C, wanted) == len(ids)


def test_gaps_are_found(store: SqlStore) -> None:
    """Ids that are missing, but not those that a restore skipped."""
    numbers = [3, 4, 7, 8, 12, 1000, 2000, 2001]
    store.append_events(C, [event(n) for n in numbers])
    assert store.event_gaps(C, 1000) == [(4, 7), (8, 12)]
    assert store.event_gaps("another", 1000) == []


def sample(at_ms: int, app: str = "shop", **numbers: Any) -> Sample:
    """A measurement."""
    return Sample(app, Point(at_ms, **numbers))


def test_points_come_oldest_first(store: SqlStore) -> None:
    """The newest are cut out; a hole stays a hole; whole numbers stay whole."""
    store.append_samples(C, 1, [
        sample(NOW_MS + n * 2000, rps=float(n) if n != 3 else None, memory_bytes=n * 2**31,
               healthy=n, total=n)
        for n in range(5)])
    found = store.points(C, "shop", count=3)
    assert [p.rps for p in found] == [2.0, None, 4.0]
    assert [p.memory_bytes for p in found] == [2 * 2**31, 3 * 2**31, 4 * 2**31]
    assert store.points(C, "blog", count=3) == []
    assert store.points(C, "shop", count=0) == []
    assert store.last_sample_ms(C) == NOW_MS + 8000
    assert store.last_sample_ms("another") == 0


def test_a_leader_of_the_past_is_refused(store: SqlStore) -> None:
    """Measurements of an older epoch come too late; a repeat of the present one is no matter."""
    assert store.append_samples(C, 5, [sample(NOW_MS, rps=1.0)])
    assert store.append_samples(C, 6, [sample(NOW_MS + 2000, rps=2.0)])
    assert not store.append_samples(C, 5, [sample(NOW_MS + 1000, rps=9.0)])
    assert store.append_samples(C, 6, [sample(NOW_MS + 2000, rps=7.0)])
    assert [p.rps for p in store.points(C, "shop", count=9)] == [1.0, 2.0]
    assert store.append_samples("another", 1, [sample(NOW_MS)])


def test_samples_are_read_in_whole_moments(store: SqlStore) -> None:
    """A page never ends within a moment, so that its last time is where the next begins."""
    store.append_samples(C, 1, [
        sample(NOW_MS + n * 2000, app) for n in range(3) for app in ("a", "b", "c")])
    first = store.samples_after(C, NOW_MS - 1, 4)
    assert [(s.app, s.point.at_ms - NOW_MS) for s in first] == [
        ("a", 0), ("b", 0), ("c", 0), ("a", 2000), ("b", 2000), ("c", 2000)]
    rest = store.samples_after(C, first[-1].point.at_ms, 100)
    assert {s.point.at_ms - NOW_MS for s in rest} == {4000}
    assert store.samples_after(C, NOW_MS + 4000, 10) == []


def fill(store: SqlStore, *, hours: int, step_ms: int = 20_000) -> None:
    """Measurements over some hours, with holes and another app beside."""
    found = []
    for at_ms in range(NOW_MS, NOW_MS + hours * HOUR_MS, step_ms):
        place = (at_ms - NOW_MS) // step_ms
        found.append(sample(at_ms, cpu_percent=float(place % 7), healthy=1, total=2,
                            rps=None if place % 5 == 0 else float(place % 11)))
        found.append(sample(at_ms, "blog", rps=1000.0))
    store.append_samples(C, 1, found)


@pytest.mark.parametrize("interval_s", [300, 3600, 86_400])
def test_means_are_the_same_from_any_resolution(store: SqlStore, interval_s: int) -> None:
    """Folded or not, pruned or not, an interval has the mean of its measurements."""
    fill(store, hours=7)
    now_ms = NOW_MS + 7 * HOUR_MS
    before = store.points(C, "shop", count=1000, interval_s=interval_s)
    assert len(before) == math.ceil(7 * 3600 / interval_s)
    for _ in range(12):
        store.maintain(C, now_ms, Retention())
    folded = store.points(C, "shop", count=1000, interval_s=interval_s)
    for _ in range(3):
        store.maintain(C, now_ms, Retention(raw_ms=HOUR_MS))
    pruned = store.points(C, "shop", count=1000, interval_s=interval_s)
    assert len(store.points(C, "shop", count=10_000)) == HOUR_MS // 20_000
    for found in (folded, pruned):
        assert [p.at_ms for p in found] == [p.at_ms for p in before]
        for one, other in zip(found, before, strict=True):
            assert one.cpu_percent == pytest.approx(other.cpu_percent)
            # A minute with a hole weighs in an hour as much as one without.
            assert one.rps == pytest.approx(other.rps, rel=0.1)
            assert (one.healthy, one.total) == (1, 2)
    assert store.points(C, "blog", count=1, interval_s=interval_s)[0].rps == 1000


def test_what_is_too_old_goes(store: SqlStore) -> None:
    """Each resolution and the events by their own age; other clusters are left alone."""
    fill(store, hours=3)
    store.append_events(C, [event(1), event(2)])
    store.append_events("another", [event(1)])
    for _ in range(8):
        store.maintain(C, NOW_MS + 4 * HOUR_MS, Retention())
    assert store.points(C, "shop", count=9999)
    late_ms = NOW_MS + 100 * DAY_MS
    store.maintain(C, late_ms, Retention())
    assert store.points(C, "shop", count=9999) == []
    assert store.points(C, "shop", count=9999, interval_s=3600) == []
    assert store.events(C, Wanted()) == []
    assert store.count_events("another", Wanted()) == 1


def test_a_file_does_not_grow_without_bound(tmp_path: Path) -> None:
    """Beyond its size the oldest measurements go first, then events; never the newest."""
    store = SqlStore(sqlite_engine(tmp_path / "small.db"), bytes_max=512 * 1024)
    store.migrate()
    store.append_events(C, [event(n) for n in range(1, 2001)])
    for hour in range(6):
        store.append_samples(C, 1, [
            sample(NOW_MS + hour * HOUR_MS + n, rps=1.0) for n in range(5000)])
        for _ in range(4):
            store.maintain(C, NOW_MS + hour * HOUR_MS, Retention())
    store.maintain(C, NOW_MS + 7 * HOUR_MS, Retention())
    assert sum(part.stat().st_size for part in tmp_path.iterdir()) < 20 * 1024**2
    assert store.last_event_id(C) == 2000
    assert store.last_sample_ms(C) == 0 or store.last_sample_ms(C) > NOW_MS
    store.close()


def test_several_controllers_migrate_at_once(engine: Engine) -> None:
    """Each brings the tables up; one does it and the others find it done."""
    faults: list[Exception] = []

    def upgrade() -> None:
        try:
            SqlStore(engine).migrate()
        except HistoryError as error:
            faults.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert set(inspect(engine).get_table_names()) >= set(metadata.tables)


@pytest.mark.parametrize("revision", revisions())
def test_every_released_schema_is_brought_up(engine: Engine, revision: str) -> None:
    """With rows in it, which stay; in the end the tables are those of the code."""
    migrate(engine, revision)
    with engine.begin() as connection:
        connection.execute(insert(events), {
            "cluster_id": C, "id": 1, "type": "config", "app": "shop", "message": "kept",
            "at_ms": 5, "details": "{}"})
    store = SqlStore(engine)
    store.migrate()
    assert [e.message for e in store.events(C, Wanted())] == ["kept"]
    with engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, metadata) == []


def test_tables_of_a_newer_version_are_left_alone(engine: Engine, store: SqlStore) -> None:
    """A controller that was not upgraded says so, and writes nothing."""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HistoryError, match="newer"):
        store.migrate()


def test_a_database_that_is_gone_is_an_error_of_ours(server: Postgres) -> None:
    """Refused connections and wrong names are told in one line, without the password."""
    gone = postgres_engine(postgres_url("postgresql://me:s3cret@127.0.0.1:1/db"), pool_size=1)
    with pytest.raises(HistoryError) as caught:
        SqlStore(gone).ping()
    assert "refused" in caught.value.reason
    assert "s3cret" not in caught.value.reason
    url = postgres_url(server.url).set(database="nowhere")
    with pytest.raises(HistoryError, match="nowhere"):
        SqlStore(postgres_engine(url, pool_size=1)).ping()
