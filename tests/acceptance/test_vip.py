"""Virtual addresses with real keepalived: hosts, controllers and nginx die, the addresses move.

Everything that runs was configured by what the chart renders. VIP_ROUNDS=20 --timeout 0
measures.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from orchestry import Client
from tests.faults.clusters import Hosts
from tests.live import app_spec, until
from tests.vip_hosts import (
    API,
    BALANCER,
    CONTROLLER,
    INGRESS,
    INGRESS_PROCESS,
    KEEPALIVED,
    SETTLED_S,
    TOKEN,
    VipHosts,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.long]

ROUNDS = int(os.environ.get("VIP_ROUNDS", "1"))


@pytest.fixture(scope="module")
def vips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VipHosts]:
    """Three hosts that work."""
    with Hosts(3) as hosts, VipHosts(tmp_path_factory.mktemp("vip"), hosts) as vips:
        yield vips


class Calls:
    """What became of the calls of one client: seconds each, and errors."""

    def __init__(self) -> None:
        self.took_s: list[float] = []
        self.errors: list[str] = []

    def more(self) -> None:
        """Wait for some more of them."""
        count = len(self.took_s) + 5
        until("more calls", lambda: len(self.took_s) > count, SETTLED_S)


@contextmanager
def client_of(vips: VipHosts, name: str) -> Iterator[Calls]:
    """A client that knows the API's address alone, and writes and reads all the time."""
    calls, stop = Calls(), threading.Event()

    def run() -> None:
        with Client(f"http://{vips.vips[API]}:8000", token=TOKEN) as client:
            while not stop.wait(0.02):
                app = f"{name}-{len(calls.took_s)}"
                begun_s = time.monotonic()
                try:
                    client.register_app(app_spec(app, "x:1"))
                    client.get_app_status(app)
                except Exception as error:
                    calls.errors.append(repr(error))
                calls.took_s.append(time.monotonic() - begun_s)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield calls
    finally:
        stop.set()
        thread.join(60)
    assert not thread.is_alive()


def moved(vips: VipHosts, vip: str, before: int) -> bool:
    """Whether another host has the address."""
    return vips.holders(vip) not in ([], [before])


@pytest.mark.parametrize(("what", "vip", "program"), [
    ("host", API, ""), ("controller", API, CONTROLLER),
    ("balancer", API, BALANCER), ("ingress", INGRESS, INGRESS_PROCESS)])
def test_the_address_moves_when_its_holder_fails(
    vips: VipHosts, what: str, vip: str, program: str
) -> None:
    """Another host answers on the address, which stays there when the first one is back.

    A client that knows nothing but the API's address meets no error meanwhile.
    """
    outages_s, took_s = [], []
    for number in range(ROUNDS):
        vips.settle()
        before = vips.holder(vip)
        with client_of(vips, f"{what}-{number}") as calls:
            calls.more()
            since_s = time.monotonic()
            if program:
                vips.kill(before, program)
                until("another holder", partial(moved, vips, vip, before), SETTLED_S, 0.005)
            else:
                vips.lose(before)
            outages_s.append(vips.outage_s(vip, since_s))
            calls.more()
        assert calls.errors == []
        took_s += calls.took_s
        after = next(host for host in vips.holders(vip) if host != before)
        past = len(vips.states(after, vip))
        if program:
            vips.start(before, program)
        else:
            vips.bring(before)
        vips.settle()
        # On a machine that is too busy the next holder may fail its checks as well.
        assert vips.holder(vip) == after or "FAULT" in vips.states(after, vip)[past:]
    print(f"\nVIP of the {vip}, {what} lost: {statistics.median(outages_s):.2f} s in the median, "
          f"{max(outages_s):.2f} s at worst of {ROUNDS}; {len(took_s)} writes and reads of a "
          f"client, 0 errors, the longest {max(took_s):.2f} s")


def test_a_dead_keepalived_leaves_no_second_holder(vips: VipHosts) -> None:
    """The address stays on its host until keepalived is back, which then takes it away."""
    vips.settle()
    before = vips.holder(API)
    vips.kill(before, KEEPALIVED)
    until("another holder beside the dead one", lambda: len(vips.holders(API)) == 2, SETTLED_S)
    until("an answer at the address", partial(vips.answers, API), SETTLED_S)
    vips.start(before, KEEPALIVED)
    vips.settle()
    assert vips.holder(API) != before


def test_a_split_heals_to_one_holder(vips: VipHosts) -> None:
    """Cut off, a host gives the API's address up; of two who hold the ingress's, one stays.

    The ingress serves without controllers, so on either side of a split it may be held.
    """
    vips.settle()
    alone = vips.holder(API)
    with vips.cut_off(alone):
        until("the API's address on the side of the majority",
              lambda: vips.holders(API) not in ([], [alone]) and alone not in vips.holders(API),
              SETTLED_S)
        until("two holders of the ingress's address", lambda: len(vips.holders(INGRESS)) == 2,
              SETTLED_S)
        until("an answer through the API's address", lambda: vips.answers(API), SETTLED_S)
    vips.settle()
    assert [len(vips.holders(vip)) for vip in (API, INGRESS)] == [1, 1]
