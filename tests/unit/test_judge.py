"""From probes to health, and from health to what is replaced."""

from __future__ import annotations

from dataclasses import replace

from cluster.control.judge import Probe, Record, Verdict, judge, never_came_up, verdict
from orchestry.spec.model import HealthCheck

POLICY = HealthCheck(
    period_s=10, timeout_s=5, failure_threshold=3, success_threshold=1, initial_delay_s=30
)
OK = Probe(ok=True, response_ms=3.0)
BAD = Probe(ok=False, error="connection refused")


def run(record: Record, *probes: Probe, policy: HealthCheck = POLICY, at_s: float = 0.0) -> Record:
    """Apply probes one second apart."""
    for number, probe in enumerate(probes):
        record = judge(record, probe, policy, now_s=at_s + number, now_ms=0)
    return record


def healthy(*, checked_s: float = 0.0, failures: int = 0) -> Record:
    """A replica that serves."""
    return Record(
        since_s=0, next_s=0, health="healthy", checks=1, checked_s=checked_s, failures=failures
    )


def unhealthy(*, changed_s: float = 0.0) -> Record:
    """A replica that has failed too often."""
    return Record(
        since_s=0, next_s=0, health="unhealthy", failures=3, checks=4,
        checked_s=changed_s, changed_s=changed_s,
    )


def test_first_success_makes_healthy() -> None:
    """A starting replica enters service with its first success."""
    assert run(Record(0, 0), BAD, BAD, OK).health == "healthy"


def test_success_threshold_counts_in_a_row() -> None:
    """With a threshold of two, a failure in between starts the count anew."""
    policy = replace(POLICY, success_threshold=2)
    assert run(Record(0, 0), OK, BAD, OK, policy=policy).health == "starting"
    assert run(Record(0, 0), OK, BAD, OK, OK, policy=policy).health == "healthy"


def test_failures_of_a_starting_replica_do_not_make_it_unhealthy() -> None:
    """Until its first success it is starting, however often it fails."""
    assert run(Record(0, 0), *[BAD] * 20).health == "starting"


def test_threshold_failures_in_a_row_make_unhealthy() -> None:
    """Two failures and a success are forgiven; three failures are not."""
    assert run(healthy(), BAD, BAD, OK, BAD, BAD).health == "healthy"
    assert run(healthy(), BAD, BAD, BAD).health == "unhealthy"


def test_starting_replicas_are_asked_at_least_every_second() -> None:
    """Early checks come quickly one after the other, later ones each second."""
    record = Record(0, 0)
    for number in range(12):
        now_s = float(number)
        record = judge(record, BAD, POLICY, now_s=now_s, now_ms=0)
        assert 0 < record.next_s - now_s <= 1.0
    assert judge(healthy(), OK, POLICY, now_s=5.0, now_ms=0).next_s == 15.0


def test_never_came_up_after_delay_plus_threshold_periods() -> None:
    """30 s + 3 x 10 s are granted, not one second less."""
    assert not never_came_up(Record(0, 0), POLICY, 60.0)
    assert never_came_up(Record(0, 0), POLICY, 60.1)
    assert not never_came_up(healthy(), POLICY, 1000.0)


def test_one_of_three_unhealthy_is_replaced_after_its_siblings_were_asked() -> None:
    """Nothing is decided on what the siblings said before the failure."""
    records = {"a": unhealthy(changed_s=10), "b": healthy(checked_s=9), "c": healthy(checked_s=9)}
    first = verdict(records, POLICY, 10.0)
    assert first == Verdict(ask=frozenset({"b", "c"}))
    records |= {"b": healthy(checked_s=11), "c": healthy(checked_s=11)}
    assert verdict(records, POLICY, 11.0).replace == {"a"}


def test_most_failing_at_once_freezes() -> None:
    """Two of three fail: the check is in doubt, nothing is replaced."""
    records = {
        "a": unhealthy(changed_s=10), "b": healthy(checked_s=11, failures=1),
        "c": healthy(checked_s=11),
    }
    decided = verdict(records, POLICY, 11.0)
    assert decided.frozen
    assert decided.replace == frozenset()


def test_a_single_replica_is_replaced() -> None:
    """One failing replica is no mass failure, even when it is the only one."""
    assert verdict({"a": unhealthy()}, POLICY, 1.0).replace == {"a"}


def test_half_of_two_is_not_more_than_half() -> None:
    """One of two is replaced."""
    records = {"a": unhealthy(changed_s=1), "b": healthy(checked_s=2)}
    assert verdict(records, POLICY, 2.0).replace == {"a"}


def test_starting_replicas_do_not_hide_a_mass_failure() -> None:
    """Only those that have served count."""
    records = {
        "a": unhealthy(changed_s=1), "b": unhealthy(changed_s=1),
        "c": Record(0, 0), "d": Record(0, 0), "e": Record(0, 0),
    }
    assert verdict(records, POLICY, 2.0).frozen


def test_replicas_that_never_came_up_are_replaced_even_when_frozen() -> None:
    """They never served, so the gate does not protect them."""
    records = {"a": unhealthy(), "b": unhealthy(), "c": Record(since_s=0, next_s=0)}
    assert verdict(records, POLICY, 100.0).replace == {"c"}
