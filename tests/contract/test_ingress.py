"""What every ingress promises: the real nginx and the one in memory alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from cluster.ingress.base import Ingress, IngressError, Peer
from cluster.ingress.client import NginxIngress
from cluster.ingress.fake import FakeIngress
from cluster.ingress.local import LocalNginx
from tests.ingress_parts import DEADLINE_S, one_route, running_nginx, table, until

PEER = Peer("r0", "127.0.0.1", 8080)


@dataclass
class Subject:
    """An ingress, and how to restart it and take it down."""

    ingress: Ingress
    restart: Callable[[], None]
    break_it: Callable[[], None]


def _restart(nginx: LocalNginx) -> None:
    nginx.stop(grace_s=0.5)
    nginx.start()


@pytest.fixture(params=["fake", pytest.param("nginx", marks=pytest.mark.nginx)])
def subject(request: pytest.FixtureRequest) -> Iterator[Subject]:
    """Each of them, empty."""
    if request.param == "fake":
        fake = FakeIngress()
        yield Subject(fake, fake.restart, lambda: setattr(fake, "down", True))
        return
    with running_nginx() as nginx:
        ingress = NginxIngress("n", nginx.endpoint, timeout_s=DEADLINE_S)
        yield Subject(ingress, lambda: _restart(nginx), nginx.stop)


def test_a_fresh_ingress_holds_nothing(subject: Subject) -> None:
    """It has an identity and stands before every table."""
    state = subject.ingress.state()
    assert 0 < state.counted_after_s <= 0.2
    assert state.boot_id
    assert (state.epoch, state.version) == (0, 0)


def test_a_push_is_held(subject: Subject) -> None:
    """The answer to the push and the state afterwards agree."""
    pushed = subject.ingress.push(table(7, one_route(PEER), epoch=3))
    assert (pushed.epoch, pushed.version) == (3, 7)
    assert subject.ingress.state() == pushed


def test_an_older_version_is_stale(subject: Subject) -> None:
    """What a slow push brings late changes nothing."""
    subject.ingress.push(table(7, one_route(PEER)))
    with pytest.raises(IngressError) as refused:
        subject.ingress.push(table(6))
    assert refused.value.stale
    assert subject.ingress.state().version == 7


def test_an_older_epoch_is_stale_whatever_its_version(subject: Subject) -> None:
    """A leader that was replaced cannot route any more."""
    subject.ingress.push(table(1, one_route(PEER), epoch=5))
    with pytest.raises(IngressError) as refused:
        subject.ingress.push(table(900, epoch=4))
    assert refused.value.stale
    assert subject.ingress.state().epoch == 5


def test_a_new_epoch_may_start_its_versions_again(subject: Subject) -> None:
    """The epoch counts first."""
    subject.ingress.push(table(900, one_route(PEER), epoch=4))
    assert subject.ingress.push(table(1, epoch=5)).version == 1


def test_the_same_push_again_succeeds(subject: Subject) -> None:
    """An answer that got lost may be asked for again."""
    first = subject.ingress.push(table(7, one_route(PEER)))
    assert subject.ingress.push(table(7, one_route(PEER))) == first


def test_another_cluster_is_refused(subject: Subject) -> None:
    """Two clusters that were given one ingress do not take turns in it."""
    subject.ingress.push(table(1, one_route(PEER)))
    with pytest.raises(IngressError) as refused:
        subject.ingress.push(table(9, epoch=9, cluster_id="c2"))
    assert not refused.value.stale
    assert subject.ingress.state().epoch == 1


def test_a_restart_shows_and_takes_the_table_again(subject: Subject) -> None:
    """The new identity tells the leader to push, with the very same version."""
    before = subject.ingress.push(table(7, one_route(PEER)))
    subject.restart()
    after = subject.ingress.state()
    assert after.boot_id != before.boot_id
    assert (after.epoch, after.version) == (0, 0)
    assert subject.ingress.push(table(7, one_route(PEER))).version == 7


def test_no_answer_is_an_error_but_not_stale(subject: Subject) -> None:
    """A dead ingress must not make a leader think that it was replaced."""
    subject.break_it()
    for call in (subject.ingress.state, lambda: subject.ingress.push(table(1))):
        with pytest.raises(IngressError) as failed:
            call()
        assert not failed.value.stale
        assert failed.value.reason


def test_counters_of_a_fresh_ingress(subject: Subject) -> None:
    """Nothing was counted, under the identity of its start; the buckets' bounds grow."""
    stats = subject.ingress.stats()
    assert stats.boot_id == subject.ingress.state().boot_id
    assert (stats.peers, dict(stats.waiting)) == ((), {})
    assert list(stats.latency_bounds_ms) == sorted(set(stats.latency_bounds_ms))
    assert stats.latency_bounds_ms[0] <= 1
    assert stats.latency_bounds_ms[-1] >= 30_000


def test_counters_are_settled_with_each_table(subject: Subject) -> None:
    """Soon after it is held, and not under one that was not pushed."""
    assert subject.ingress.stats(wait_ms=500).settled == (0, 0)
    for number in range(1, 6):
        subject.ingress.push(table(number, one_route(PEER), epoch=3))
        pushed = (3, number)
        until(lambda pushed=pushed: subject.ingress.stats(  # type: ignore[misc]
            wait_ms=500).settled == pushed, "the counters follow")
    subject.restart()
    assert subject.ingress.stats(wait_ms=500).settled == (0, 0)


def test_counters_begin_anew_after_a_restart(subject: Subject) -> None:
    """Which the identity tells."""
    before = subject.ingress.stats()
    subject.restart()
    assert subject.ingress.stats().boot_id != before.boot_id
    subject.break_it()
    with pytest.raises(IngressError):
        subject.ingress.stats()
