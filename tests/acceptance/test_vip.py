"""Virtual addresses with real keepalived: hosts, controllers and nginx die, the addresses move.

Everything that runs was configured by what the chart renders. VIP_ROUNDS=20 --timeout 0
measures.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.faults.clusters import Hosts
from tests.live import until
from tests.vip_hosts import (
    API,
    BALANCER,
    CONTROLLER,
    INGRESS,
    INGRESS_PROCESS,
    KEEPALIVED,
    SETTLED_S,
    VipHosts,
)

pytestmark = [pytest.mark.acceptance, pytest.mark.nginx, pytest.mark.long]

ROUNDS = int(os.environ.get("VIP_ROUNDS", "1"))


@pytest.fixture(scope="module")
def vips(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VipHosts]:
    """Three hosts that work."""
    with Hosts(3) as hosts, VipHosts(tmp_path_factory.mktemp("vip"), hosts) as vips:
        yield vips


def moved(vips: VipHosts, vip: str, before: int) -> bool:
    """Whether another host has the address."""
    return vips.holders(vip) not in ([], [before])


@pytest.mark.parametrize(("what", "vip", "program"), [
    ("host", API, ""), ("controller", API, CONTROLLER),
    ("balancer", API, BALANCER), ("ingress", INGRESS, INGRESS_PROCESS)])
def test_the_address_moves_when_its_holder_fails(
    vips: VipHosts, what: str, vip: str, program: str
) -> None:
    """Another host answers on the address, which stays there when the first one is back."""
    outages_s = []
    for _ in range(ROUNDS):
        vips.settle()
        before = vips.holder(vip)
        since_s = time.monotonic()
        if program:
            vips.kill(before, program)
            until("another holder", partial(moved, vips, vip, before), SETTLED_S, 0.005)
        else:
            vips.lose(before)
        outages_s.append(vips.outage_s(vip, since_s))
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
          f"{max(outages_s):.2f} s at worst of {ROUNDS}")


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
