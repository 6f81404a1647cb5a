"""History: nothing lost and nothing doubled between the log, the disk and other controllers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from sqlalchemy.pool import QueuePool

from cluster.clock import SystemClock
from cluster.consensus.local_log import LocalLog
from cluster.history import peers
from cluster.history.base import HistoryError, Point, Sample, Wanted
from cluster.history.connect import sqlite_engine
from cluster.history.history import History
from cluster.history.open import open_history
from cluster.history.recorder import Gap, Recorder
from cluster.history.sql import SqlStore
from cluster.history.sync import CatchUp, Forwarder
from cluster.state.commands import BeginEpoch, RecordEvent, Stamp
from cluster.state.model import GENERATION, EventRecord
from cluster.state.step import RECENT_EVENTS_MAX
from tests.history_files import history_file
from tests.live import until

C = "c" * 32
NOW_MS = SystemClock().wall_ms()


def event(number: int) -> EventRecord:
    """An event of an app."""
    return EventRecord(number, "config", "shop", f"event {number}", 1_700_000_000_000 + number)


def empty() -> SqlStore:
    """A store with nothing in it."""
    store = SqlStore(sqlite_engine(history_file()))
    store.migrate()
    return store


def ids(store: SqlStore) -> list[int]:
    """What is kept."""
    return [e.id for e in store.events(C, Wanted(), limit=10_000, newest_first=False)]


def recorded(*batches: Sequence[int], store: SqlStore | None = None) -> tuple[Recorder, SqlStore]:
    """A recorder that was given events."""
    store = store or empty()
    recorder = Recorder(lambda: None)
    for batch in batches:
        recorder.applied([event(n) for n in batch])
        recorder.flush(store, C, 1)
    return recorder, store


def test_a_restart_writes_what_the_log_brings_again_once() -> None:
    """A journal that is replayed brings events that are there already."""
    _, store = recorded([1, 2, 3])
    recorder, _ = recorded([2, 3, 4, 5], store=store)
    assert ids(store) == [1, 2, 3, 4, 5]
    assert recorder.gaps == ()
    assert recorder.complete_to == 5


def test_what_only_a_snapshot_brought_leaves_a_gap() -> None:
    """It is known, also after a restart, and the copy elsewhere stops before it."""
    recorder, store = recorded([1, 2], [9, 10])
    assert recorder.gaps == (Gap(2, 9),)
    assert recorder.complete_to == 2
    again, _ = recorded([11], store=store)
    assert again.gaps == (Gap(2, 9),)


def test_the_ids_that_a_restore_skips_are_no_gap() -> None:
    """The first after it is a multiple of GENERATION."""
    recorder, _ = recorded([1, 2], [GENERATION, GENERATION + 1])
    assert recorder.gaps == ()
    late, _ = recorded([1, 2], [GENERATION + 1])
    assert late.gaps == (Gap(2, GENERATION + 1),)


def test_a_store_that_fails_keeps_everything_waiting() -> None:
    """The next flush writes it."""
    class Failing(SqlStore):
        fails = True

        def append_events(self, cluster_id: str, found: Sequence[EventRecord]) -> None:
            if self.fails:
                raise HistoryError("disk full")
            super().append_events(cluster_id, found)

    store = Failing(sqlite_engine(history_file()))
    store.migrate()
    recorder = Recorder(lambda: None)
    recorder.applied([event(1), event(2)])
    for _ in range(2):
        with pytest.raises(HistoryError):
            recorder.flush(store, C, 1)
    assert recorder.waiting == 2
    store.fails = False
    recorder.applied([event(3)])
    recorder.flush(store, C, 1)
    assert ids(store) == [1, 2, 3]
    assert recorder.waiting == 0


def test_a_queue_that_is_full_drops_the_oldest_and_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped is a gap."""
    monkeypatch.setattr("cluster.history.recorder.EVENTS_WAITING_MAX", 3)
    recorder, store = recorded([1])
    recorder.applied([event(n) for n in range(2, 8)])
    recorder.flush(store, C, 1)
    assert ids(store) == [1, 5, 6, 7]
    assert (recorder.dropped, recorder.gaps) == (3, (Gap(1, 5),))


def serve(*nodes: tuple[str, Recorder, SqlStore]) -> Callable[[str], bytes | None]:
    """A fetch that other controllers answer from their own stores."""
    by_host = {name: (recorder, store) for name, recorder, store in nodes}

    def fetch(url: str) -> bytes | None:
        parts = urlsplit(url)
        if parts.hostname not in by_host:
            return None
        recorder, store = by_host[parts.hostname]
        query = {name: int(values[0]) for name, values in parse_qs(parts.query).items()}
        if parts.path == peers.SAMPLES_PATH:
            return orjson.dumps(peers.encode_samples(
                store.samples_after(C, query["after_ms"], query["limit"])))
        found = store.events(C, Wanted(), after=query["after"], before=query["before"],
                             limit=query["limit"], newest_first=False)
        complete = not recorder.gaps and recorder.complete_to >= query["before"] - 1
        return orjson.dumps(peers.encode_events(peers.EventPage(tuple(found), complete)))

    return fetch


def test_a_gap_is_filled_by_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages; by whoever has all of it; a silent one is asked again later."""
    monkeypatch.setattr(peers, "PAGE_MAX", 3)
    monkeypatch.setattr("cluster.history.sync.PAGE_MAX", 3)
    whole = recorded(range(1, 21))
    partly = recorded([1, 2, 3], range(15, 21))
    recorder, store = recorded([1, 2], [12, 13, 14])
    urls = {name: f"http://{name}" for name in ("silent", "partly", "whole")}
    CatchUp(recorder, store, serve(("partly", *partly))).events(C, urls, None)
    assert ids(store) == [1, 2, 3, 12, 13, 14]
    assert recorder.gaps == (Gap(2, 12),)
    fetch = serve(("partly", *partly), ("whole", *whole))
    CatchUp(recorder, store, fetch).events(C, urls, None)
    assert ids(store) == list(range(1, 15))
    assert not recorder.gaps
    assert recorder.complete_to == 14


def test_a_gap_that_nobody_can_fill_is_given_up() -> None:
    """When all were asked; and never while one of them is silent."""
    recorder, store = recorded([1, 2], [9])
    other = recorded([1, 2], [9])
    catch_up = CatchUp(recorder, store, serve(("b", *other)))
    catch_up.events(C, {"a": "http://a", "b": "http://b"}, None)
    assert recorder.gaps
    catch_up.events(C, {"b": "http://b"}, None)
    assert recorder.gaps == ()


def test_the_shared_database_fills_a_gap_too() -> None:
    """As for a cluster that was restored on new disks."""
    _, remote = recorded(range(1, 9))
    recorder, store = recorded([8])
    CatchUp(recorder, store, peers.no_peer).events(C, {}, remote)
    assert ids(store) == list(range(1, 9))
    assert recorder.gaps == ()


def test_followers_copy_what_the_leader_measured() -> None:
    """From the newest that they have."""
    leader = recorded([1])
    leader[1].append_samples(C, 1, [Sample("shop", Point(n, rps=float(n))) for n in range(1, 8)])
    recorder, store = recorded([1])
    store.append_samples(C, 1, [Sample("shop", Point(n, rps=float(n))) for n in range(1, 4)])
    catch_up = CatchUp(recorder, store, serve(("leader", *leader)))
    for _ in range(2):
        catch_up.samples(C, 1, "http://leader")
        assert [p.rps for p in store.points(C, "shop", count=99)] == [
            float(n) for n in range(1, 8)]


class Remote(SqlStore):
    """A shared database that fails now and then, also after it has written."""

    fails = ""

    def append_events(self, cluster_id: str, found: Sequence[EventRecord]) -> None:
        if self.fails == "before":
            raise HistoryError("refused")
        super().append_events(cluster_id, found)
        if self.fails == "after":
            raise HistoryError("the connection broke")


def test_the_copy_goes_on_where_it_was() -> None:
    """Whatever breaks between, in the end each event is there once, up to the first gap."""
    remote = Remote(sqlite_engine(history_file()))
    recorder, store = recorded(range(1, 11))
    store.append_samples(C, 1, [Sample("shop", Point(n)) for n in range(1, 8)])
    forwarder = Forwarder(recorder, store, remote)
    for fails in ("before", "after", "before", ""):
        remote.fails = fails
        recorder.applied([event(n) for n in range(11, 13)])
        recorder.flush(store, C, 1)
        try:
            forwarder.step(C, 1)
        except HistoryError:
            assert fails
    assert ids(remote) == list(range(1, 13))
    assert forwarder.behind == 0
    assert remote.last_sample_ms(C) == 7
    recorder.applied([event(20)])
    recorder.flush(store, C, 1)
    forwarder.step(C, 1)
    assert ids(remote) == list(range(1, 13))
    recorder.filled(recorder.gaps[0])
    forwarder.step(C, 1)
    assert ids(remote)[-1] == 20


def said(log: LocalLog, count: int) -> None:
    """Events in the log."""
    for number in range(count):
        log.submit(RecordEvent("config", "shop", f"n {number}"), Stamp(NOW_MS, "a"))


def test_pages_join_what_the_state_holds_and_the_disk(tmp_path: Path) -> None:
    """No event is missing or twice at the seam, however pages fall."""
    log = LocalLog("a")
    history = open_history(tmp_path, "a", log, SystemClock())
    log.subscribe_events(history.applied)
    log.submit(BeginEpoch("a", 1500, C), Stamp(NOW_MS, "a"))
    history.start()
    try:
        said(log, RECENT_EVENTS_MAX + 200)
        total = RECENT_EVENTS_MAX + 201
        state = log.state()
        assert state.events[0].id == 202
        until("everything on disk", lambda: ids_of(history, log) == list(range(1, total + 1)), 30)
        seen: list[int] = []
        before = None
        while True:
            page = history.page(state, Wanted(), limit=37, before=before)
            assert page.total == total
            assert page.complete
            seen += [e.id for e in page.events]
            if not page.has_more:
                break
            before = page.events[-1].id
        assert seen == list(range(total, 0, -1))
        assert history.page(state, Wanted(type="cluster"), limit=5).total == 1
        assert [e.id for e in history.resume(state, 190, 20).events] == list(range(191, 211))
        assert history.status().status == "healthy"
    finally:
        history.stop()


def ids_of(history: History, log: LocalLog) -> list[int]:
    """What a peer would be told."""
    page = history.for_peer(C, 0, 10**9, 5000)
    return [e.id for e in page.events]


def test_stop_writes_what_waits(tmp_path: Path) -> None:
    """A clean stop loses nothing."""
    log = LocalLog("a")
    history = open_history(tmp_path, "a", log, SystemClock())
    log.subscribe_events(history.applied)
    history.start()
    log.submit(BeginEpoch("a", 1500, C), Stamp(NOW_MS, "a"))
    said(log, 10)
    history.measured("shop", Point(NOW_MS, rps=1.0))
    history.stop()
    store = SqlStore(sqlite_engine(tmp_path / "history.db"))
    assert ids(store) == list(range(1, 12))
    assert store.last_sample_ms(C) == NOW_MS
    store.close()


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    """History begins anew, and the controller starts."""
    (tmp_path / "history.db").write_bytes(b"this is no database at all" * 1000)
    history = open_history(tmp_path, "a", LocalLog("a"), SystemClock())
    history.start()
    assert history.status().status == "healthy"
    history.stop()
    assert [path for path in tmp_path.iterdir() if ".damaged-" in path.name]


def test_without_a_file_the_state_still_tells(tmp_path: Path) -> None:
    """What cannot be opened is said, and the newest events are there."""
    (tmp_path / "history.db").mkdir()
    (tmp_path / "history.db" / "in-the-way").touch()
    log = LocalLog("a")
    history = open_history(tmp_path / "history.db" / "in-the-way", "a", log, SystemClock())
    log.subscribe_events(history.applied)
    history.start()
    said(log, 3)
    page = history.page(log.state(), Wanted(), limit=10)
    assert [e.id for e in page.events] == [3, 2, 1]
    assert history.status().status == "degraded"
    assert history.points("shop", count=3, interval_s=0) == ()
    history.stop()


def test_the_pool_has_the_size_that_is_known_before_its_first_use(tmp_path: Path) -> None:
    """PostgreSQL is left alone until then; afterwards that size is in use."""
    sizes: list[int | None] = [None, 7]
    log = LocalLog("a")
    history = open_history(
        tmp_path, "a", log, SystemClock(), pool_size=lambda: sizes.pop(0),
        database_url="postgresql://me:pw@127.0.0.1:1/db")
    log.submit(BeginEpoch("a", 1500, C), Stamp(NOW_MS, "a"))
    history.start()
    try:
        until("the size is known", lambda: history.pool_size is not None, 30)
        assert history.pool_size == 7
        assert sizes == []
        assert isinstance(history._remote, SqlStore)
        pool = history._remote._engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.size() == 7
        until("it is used", lambda: "PostgreSQL" in history.status().detail, 30)
    finally:
        history.stop()
