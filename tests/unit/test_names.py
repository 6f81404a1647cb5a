"""Lookups of hosts beside the Raft thread."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from cluster.consensus.names import FAILED_RETRY_S, FRESH_S, Names, look_up
from tests.live import until
from tests.unit.hand_clock import HandClock

WAIT_S = 10.0


class Server:
    """Answers when it is let."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: Sequence[str] = ("10.0.0.1",)
        self.lets = threading.Event()
        self.lets.set()

    def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        assert self.lets.wait(WAIT_S)
        return self.answers


def test_a_name_server_that_hangs_holds_nobody_up() -> None:
    """Nor is it asked again meanwhile."""
    server = Server()
    names = Names(server, HandClock().monotonic_s)
    server.lets.clear()
    assert [names.address("peer") for _ in range(100)] == [None] * 100
    server.lets.set()
    until("an address", lambda: names.address("peer") == "10.0.0.1", WAIT_S)
    assert server.asked == 1


def test_what_is_known_stays_while_the_name_server_fails() -> None:
    """And what it says anew later is taken."""
    server, clock = Server(), HandClock()
    names = Names(server, clock.monotonic_s)
    until("an address", lambda: names.address("peer"), WAIT_S)
    server.answers = ()
    clock.now_s += FRESH_S
    assert names.address("peer") == "10.0.0.1"
    until("it was asked again", lambda: server.asked == 2, WAIT_S)
    server.answers = ("10.0.0.2",)

    def taken() -> bool:
        # The failure may be noted after this, and counts from then.
        clock.now_s += FAILED_RETRY_S
        return names.address("peer") == "10.0.0.2"

    until("the other address", taken, WAIT_S)


def test_addresses_are_not_looked_up() -> None:
    """Of either version."""
    server = Server()
    names = Names(server, HandClock().monotonic_s)
    assert [names.address(host) for host in ("10.0.0.9", "::1")] == ["10.0.0.9", "::1"]
    assert server.asked == 0


def test_the_system_knows_this_host() -> None:
    """By its name in every hosts file, and no other."""
    assert "127.0.0.1" in look_up("localhost")
    assert not look_up("nobody.invalid")
    assert not look_up("x" * 300)
