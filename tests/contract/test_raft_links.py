"""Connections between controllers come to stand, whatever became of the ones before."""

from __future__ import annotations

import errno
import os
import random
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest

from cluster import config
from cluster.clock import SystemClock
from cluster.consensus.names import Names
from cluster.consensus.secure import Mode, RaftTls
from cluster.consensus.transport import STRANGER_TIMEOUT_S
from cluster.tls.identity import Identity
from tests.certificates import TestCa
from tests.live import until
from tests.ports import free_ports
from tests.raft_links import TICK_S, End, Time, by_hand

SOON_S = 3.0
"""Twice the time-out of a connection: the first attempt may be in vain."""
PAIRS: tuple[tuple[Mode, Mode], ...] = (
    ("off", "off"), ("both", "off"), ("off", "both"), ("both", "both"), ("on", "both"),
    ("both", "on"), ("on", "on"))
"""The dialling one first."""
EVENTS = ("run",) * 12 + ("pause", "reset") * 2 + ("vanish", "restart")
WAIT_S = 10.0
LARGE_BYTES = 2 * 1024 * 1024


@pytest.fixture
def time() -> Iterator[Time]:
    """The library's."""
    with by_hand() as time:
        yield time


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """One that both show: of their host, and of a name that it has."""
    folder = tmp_path_factory.mktemp("ca")
    ca = TestCa(folder)
    pair = ca.issue("both", "127.0.0.1", "a-peer")
    return Identity(config.load({
        "ORCHESTRY_TLS_CERT": pair.cert, "ORCHESTRY_TLS_KEY": pair.key, "ORCHESTRY_TLS_CA": ca.file,
        "CLUSTER_TLS": "on"}), SystemClock())


@pytest.fixture
def addresses() -> dict[str, str]:
    """`high` dials `low`: who has the higher address does."""
    low, high = sorted(free_ports(2))
    return {"low": f"127.0.0.1:{low}", "high": f"127.0.0.1:{high}"}


class Ends:
    """Starts the two, and stops them at the end."""

    def __init__(
        self, stack: ExitStack, identity: Identity, addresses: dict[str, str],
        bind: str | None = None,
    ) -> None:
        self._bind = bind
        self._stack = stack
        self._identity = identity
        self._addresses = addresses

    def start(self, name: str, mode: Mode) -> End:
        """One of them."""
        tls = None if mode == "off" else RaftTls(mode, self._identity)
        end = End(name, self._addresses, tls, self._bind)
        self._stack.callback(end.stop)
        return end


@pytest.fixture
def ends(identity: Identity, addresses: dict[str, str]) -> Iterator[Ends]:
    """None yet."""
    with ExitStack() as stack:
        yield Ends(stack, identity, addresses)


@pytest.mark.parametrize(("dials", "accepts"), PAIRS)
@pytest.mark.parametrize("phase", range(0, 25, 4))
def test_two_find_each_other_whenever_one_hangs_up(
    phase: int, dials: Mode, accepts: Mode, ends: Ends, time: Time,
) -> None:
    """Who does not understand hangs up at a moment of its own: sooner or later than a retry."""
    low = ends.start("low", accepts)
    time.run([low], phase * TICK_S)
    high = ends.start("high", dials)
    assert time.talks_s(low, high, SOON_S) is not None
    assert not {*low.guard.peers.status(frozenset())["high"].refused}


def test_words_before_the_introduction_do_not_end_it(ends: Ends, time: Time) -> None:
    """Who asks for votes meanwhile, faster than the other answers, is connected all the same."""
    low, high = ends.start("low", "on"), ends.start("high", "on")
    for _ in range(12):
        for word in range(5):
            high.say("low", word)
            time.run([high], TICK_S)
        low.tick()
    assert time.talks_s(low, high, TICK_S * 2) is not None


def test_an_attempt_without_an_answer_is_given_up(
    addresses: dict[str, str], ends: Ends, time: Time,
) -> None:
    """Packets to a host that is gone are lost: what is dialled once it is back comes through."""
    host, _, port = addresses["low"].rpartition(":")
    with ExitStack() as crowd:
        full = crowd.enter_context(socket.socket())
        full.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        full.bind((host, int(port)))
        full.listen(0)
        for _ in range(3):  # the system drops what comes to a full queue
            waiting = crowd.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, int(port)))
        high = ends.start("high", "off")
        time.run([high], 1.0)
        assert high.dials("low") == "connecting"
    low = ends.start("low", "off")
    assert time.talks_s(low, high, SOON_S) is not None


@pytest.mark.parametrize("mode", ["off", "both", "on"])
def test_a_silent_peer_costs_nothing(
    mode: Mode, addresses: dict[str, str], ends: Ends, time: Time,
) -> None:
    """The Raft thread sleeps while one that it has dialled says nothing, and gives it up."""
    host, _, port = addresses["low"].rpartition(":")
    with socket.create_server((host, int(port))) as silent:
        high = ends.start("high", mode)
        time.run([high], 1.0)
        assert high.poller.events <= 3
        assert high.dials("low") == "connected"
        first, _ = silent.accept()
        with first:
            time.run([high], SOON_S)
            second, _ = silent.accept()
            second.close()


def test_without_a_descriptor_the_thread_goes_on(
    ends: Ends, time: Time, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is connected needs it. It dials, and listens, once there is one again."""
    def none_left(*ignored: object) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    high = ends.start("high", "off")
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", none_left)
        time.run([high], 1.0)
    low = ends.start("low", "off")
    time.run([low], TICK_S)
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", none_left)
        time.run([high], 1.0)
        assert high.dials("low") == "connected"
        patch.setattr(socket, "socket", none_left)
        time.run([low], 1.0)
        assert low.transport.ready
    assert time.talks_s(low, high, SOON_S) is not None


def test_a_host_is_looked_up_beside_the_thread(
    identity: Identity, addresses: dict[str, str], time: Time, monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name server that hangs delays the connection alone; once it answers, that is made."""
    answers = threading.Event()

    def ask(host: str) -> Sequence[str]:
        answers.wait(WAIT_S)
        return ["127.0.0.1"]

    names = Names(ask)
    monkeypatch.setattr("cluster.consensus.names.NAMES", names)
    named = {name: at.replace("127.0.0.1", "a-peer") for name, at in addresses.items()}
    with ExitStack() as stack:
        ends = Ends(stack, identity, named, bind="127.0.0.1")
        low, high = ends.start("low", "on"), ends.start("high", "on")
        time.run((low, high), 1.0)
        assert high.dials("low") == "disconnected"
        answers.set()
        until("its address is known", lambda: names.address("a-peer"), WAIT_S)
        assert time.talks_s(low, high, 1.0) is not None


@pytest.mark.parametrize("mode", ["off", "on"])
def test_a_large_message_waits_for_nothing_but_room(mode: Mode, ends: Ends, time: Time) -> None:
    """Not for the next message: heartbeats wait behind it, and nobody may miss them for long."""
    low, high = ends.start("low", mode), ends.start("high", mode)
    assert time.talks_s(low, high, SOON_S) is not None
    large = os.urandom(LARGE_BYTES)
    high.say("low", large)
    time.run((low, high), 1.0)
    assert low.heard[-1][1] == large
    high.poller.events = 0
    time.run((low, high), 1.0)
    assert high.poller.events < 10


@pytest.mark.parametrize("mode", ["off", "both", "on"])
def test_a_stranger_of_few_bytes_costs_nothing(
    mode: Mode, addresses: dict[str, str], ends: Ends, time: Time,
) -> None:
    """One byte wakes the Raft thread once at most; the end of its connection does as well."""
    host, _, port = addresses["low"].rpartition(":")
    low = ends.start("low", mode)
    time.run([low], TICK_S)
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(b"\x16")
        time.run([low], 1.0)
        assert low.poller.events <= 4
        stranger.shutdown(socket.SHUT_WR)
        time.run([low], 1.0)
        assert low.poller.events <= 5
        assert not low.transport._unknownConnections


def other_mode(mode: Mode, rng: random.Random) -> Mode:
    """One that understands this mode, and is understood."""
    found: tuple[Mode, ...] = ("off", "both", "on") if mode == "both" else (mode, "both")
    return rng.choice(found)


@pytest.mark.parametrize("seed", range(40))
def test_a_link_stands_soon_after_whatever_happened(
    seed: int, ends: Ends, time: Time,
) -> None:
    """Restarts, hosts that vanish, pauses, and connections reset at any point of a handshake."""
    rng = random.Random(seed)
    modes: dict[str, Mode] = {"low": rng.choice(("off", "both", "on"))}
    modes["high"] = other_mode(modes["low"], rng)
    pair = {name: ends.start(name, mode) for name, mode in modes.items()}
    for _ in range(60):
        name = rng.choice(("low", "high"))
        peer = "high" if name == "low" else "low"
        event = rng.choice(EVENTS)
        if event == "run":
            pair[name].say(peer, "hello")
            time.run(rng.choice((pair.values(), pair.values(), [pair[name]])),
                     rng.choice((1, 2, 3, 10, 40)) * TICK_S)
        elif event == "pause":
            time.run([pair[peer]], rng.choice((0.1, 1.0, 2.0)))
        elif event == "reset":
            pair[name].reset(rng)
        else:
            if event == "vanish":
                pair[name].vanish()
            else:
                pair[name].stop()
            time.run([pair[peer]], rng.choice((0.0, 0.1, 1.0, 3.0)))
            modes[name] = other_mode(modes[peer], rng)
            pair[name] = ends.start(name, modes[name])
    took_s = time.talks_s(pair["low"], pair["high"], STRANGER_TIMEOUT_S)
    assert took_s is not None, f"seed {seed}: no link between {modes}"
    assert all(end.transport._admitted for end in pair.values())
