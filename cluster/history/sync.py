"""Sync: what this controller missed is fetched, and all is copied to PostgreSQL if there is one.

Everything here may be slow or fail at any point, and goes on from where it is next time: the
ids of events and the times of measurements say how far it came.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from cluster.history.base import HistoryError, HistoryStore, Retention, Wanted
from cluster.history.peers import PAGE_MAX, EventPage, Fetch, fetch_events, fetch_samples
from cluster.history.recorder import Gap, Recorder

logger = logging.getLogger(__name__)

Source = Callable[[int], EventPage | None]
"""The first events after an id; None without an answer."""
ROUNDS_MAX = 50
"""Pages in one go, so that the rest has its turn."""
TRIES_MAX = 40


class CatchUp:
    """Fetches from other controllers, and from the shared database, what is missing here."""

    def __init__(self, recorder: Recorder, local: HistoryStore, fetch: Fetch) -> None:
        self._recorder = recorder
        self._local = local
        self._fetch = fetch
        self._tries: dict[Gap, int] = {}

    def events(
        self, cluster_id: str, peers: Mapping[str, str], remote: HistoryStore | None
    ) -> None:
        """Fill the oldest gap, as far as it goes now; `peers` are API addresses by controller.

        A gap is given up when everybody was asked and nobody has all of it, or after TRIES_MAX.
        """
        gaps = self._recorder.gaps
        if not gaps:
            return
        gap, silent = gaps[0], 0
        sources: list[Source] = [
            partial(fetch_events, self._fetch, url, before=gap.before) for url in peers.values()]
        if remote is not None:
            sources.append(partial(_from_store, remote, cluster_id, before=gap.before))
        for source in sources:
            complete = self._copy(cluster_id, gap, source)
            if complete:
                self._recorder.filled(gap)
                return
            silent += complete is None
        tries = self._tries[gap] = self._tries.get(gap, 0) + 1
        if not silent or tries >= TRIES_MAX:
            logger.warning("of the events %d to %d some are lost: no other controller has them",
                           gap.after + 1, gap.before - 1)
            self._recorder.filled(gap)

    def _copy(
        self, cluster_id: str, gap: Gap, source: Source
    ) -> bool | None:
        """True when the source had all of the gap, None when it did not answer."""
        after, complete = gap.after, True
        for _ in range(ROUNDS_MAX):
            page = source(after)
            if page is None:
                return None
            self._local.append_events(cluster_id, page.events)
            complete = complete and page.complete
            if len(page.events) < PAGE_MAX:
                return complete
            after = page.events[-1].id
        return None

    def samples(self, cluster_id: str, epoch: int, leader_url: str) -> None:
        """Copy what the leader measured since the newest measurement that is here."""
        for _ in range(ROUNDS_MAX):
            found = fetch_samples(self._fetch, leader_url, self._local.last_sample_ms(cluster_id))
            if not found:
                return
            self._local.append_samples(cluster_id, epoch, found)
            if len(found) < PAGE_MAX:
                return


def _from_store(
    store: HistoryStore, cluster_id: str, after: int, before: int
) -> EventPage | None:
    try:
        found = store.events(
            cluster_id, Wanted(), after=after, before=before, limit=PAGE_MAX, newest_first=False)
    except HistoryError:
        return None
    return EventPage(tuple(found), complete=False)


class Forwarder:
    """Copies the history of this controller, which leads, to the shared database."""

    def __init__(self, recorder: Recorder, local: HistoryStore, remote: HistoryStore) -> None:
        self._recorder = recorder
        self._local = local
        self._remote = remote
        self._ready = False
        self._last_id: int | None = None
        self.behind = 0

    def restart(self) -> None:
        """Look anew how far the shared database is: it, or who leads, changed."""
        self._last_id = None

    def step(self, cluster_id: str, epoch: int) -> None:
        """Copy what is new.

        Raises:
            HistoryError: one of the two failed; the next step goes on from there.
        """
        try:
            self._step(cluster_id, epoch)
        except HistoryError:
            self.restart()
            raise

    def prepare(self) -> None:
        """Make the tables, once.

        Raises:
            HistoryError: that failed.
        """
        if not self._ready:
            self._remote.migrate()
            self._ready = True

    def _step(self, cluster_id: str, epoch: int) -> None:
        self.prepare()
        if self._last_id is None:
            self._last_id = self._remote.last_event_id(cluster_id)
        for _ in range(ROUNDS_MAX):
            # Beyond a gap nothing is copied, since the highest id says how far the copy is.
            end = self._recorder.complete_to
            found = self._local.events(
                cluster_id, Wanted(), after=self._last_id, before=end + 1, limit=PAGE_MAX,
                newest_first=False)
            self.behind = max(0, end - self._last_id)
            if not found:
                break
            self._remote.append_events(cluster_id, found)
            self._last_id = found[-1].id
        for _ in range(ROUNDS_MAX):
            since_ms = self._remote.last_sample_ms(cluster_id)
            samples = self._local.samples_after(cluster_id, since_ms, PAGE_MAX)
            if not samples or not self._remote.append_samples(cluster_id, epoch, samples):
                break

    def maintain(self, cluster_id: str, now_ms: int, retention: Retention) -> None:
        """Fold and prune the shared database too."""
        self._remote.maintain(cluster_id, now_ms, retention)
