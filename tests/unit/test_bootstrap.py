"""Bootstrap: the first token, whatever happens between file, log and leaders."""

from __future__ import annotations

import contextlib
import os
import pty
import stat
import sys
from pathlib import Path

import pytest

from cluster import config
from cluster.consensus.lease import Lease
from cluster.consensus.local_log import LocalLog, Settled
from cluster.control import bootstrap
from cluster.control.bootstrap import FILE, Bootstrap
from cluster.live.tokens import new_token, token_hash
from cluster.state.commands import BeginEpoch, Command, CreateToken, RevokeToken, Stamp
from cluster.state.model import Token
from tests.unit.hand_clock import HandClock


class World:
    """A log of one, and controllers that each have a folder."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.log = LocalLog("one")
        self.clock = HandClock()
        self.leader = "one"
        self.lost = False
        self.shown: list[str] = []
        self.terminal = True
        self.begin("one")

    def begin(self, node: str) -> None:
        """`node` leads."""
        self.leader = node
        self.submit(BeginEpoch(node, 1500, "c" * 32), Stamp(self.clock.wall_ms(), node))

    def submit(self, command: Command, stamp: Stamp) -> Settled:
        assert not self.lost, "this leader died before"
        return self.log.submit(command, stamp)

    def controller(self, node: str, **environ: str) -> Bootstrap:
        """The part of a controller that is tested."""
        folder = self.tmp_path / node
        folder.mkdir(exist_ok=True)
        settings = config.load({
            "CONTROLLER_NODE_ID": node, "ORCHESTRY_AUTH": "on", "ORCHESTRY_DATA_DIR": str(folder),
            **environ})

        def acting() -> Lease | None:
            epoch = self.log.state().leadership.epoch
            return Lease(epoch, self.clock.now_s, 1.5) if self.leader == node else None

        return Bootstrap(
            settings, self.clock, acting=acting, submit=self.submit, show=self.show)

    def show(self, text: str) -> bool:
        """A terminal, if there is one."""
        self.shown += [text] if self.terminal else []
        return self.terminal

    def step(self, *parts: Bootstrap) -> None:
        """Some seconds in the life of controllers."""
        for _ in range(3):
            self.clock.now_s += bootstrap.PERIOD_S
            for part in parts:
                part.step(self.log.state())

    def file(self, node: str) -> str:
        """The token in a controller's folder."""
        return bootstrap.read(self.tmp_path / node / FILE)

    def tokens(self) -> set[str]:
        """Hashes of all tokens."""
        return set(self.log.state().tokens)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One leader, no token."""
    return World(tmp_path)


def test_the_leader_alone_makes_one(world: World) -> None:
    """It is in the leader's file, which only its user reads, and the log has the hash only."""
    one, two = world.controller("one"), world.controller("two")
    world.step(two, one)
    token = world.file("one")
    assert world.tokens() == {token_hash(token)}
    assert token not in repr(world.log.state())
    assert world.file("two") == ""
    assert stat.S_IMODE((world.tmp_path / "one" / FILE).stat().st_mode) == 0o600
    world.begin("two")
    world.step(one, two)
    assert world.tokens() == {token_hash(token)}
    assert world.file("one") == token


def test_none_is_made_while_nobody_is_asked_for_one(world: World) -> None:
    """On loopback there is no file, and no token."""
    world.step(world.controller("one", ORCHESTRY_AUTH="auto"))
    assert (world.tokens(), world.file("one")) == (set(), "")


def test_a_leader_that_dies_after_writing_its_file_uses_it_later(world: World) -> None:
    """The token was on disk before anybody was told: it is the one that is made."""
    world.lost = True
    with pytest.raises(AssertionError, match="died before"):
        world.step(world.controller("one"))
    token = world.file("one")
    assert token
    world.lost = False
    world.step(world.controller("one"))
    assert (world.tokens(), world.file("one")) == ({token_hash(token)}, token)


def test_a_file_that_another_leader_overtook_goes(world: World) -> None:
    """Only files with a token that is good for something stay."""
    world.lost = True
    with pytest.raises(AssertionError, match="died before"):
        world.step(world.controller("one"))
    world.lost = False
    world.begin("two")
    world.step(world.controller("two"), world.controller("one"))
    assert world.tokens() == {token_hash(world.file("two"))}
    assert world.file("one") == ""


def test_an_old_leader_is_refused(world: World) -> None:
    """A command of an epoch that is over makes nothing, so no token is in nobody's hands."""
    epoch = world.log.state().leadership.epoch
    world.begin("two")
    late = world.submit(
        CreateToken(Token("x", "x", "admin", "a" * 64), first=True),
        Stamp(world.clock.wall_ms(), "one", epoch=epoch)).applied
    assert late.rejected is not None
    assert world.tokens() == set()


def test_there_is_always_a_way_in(world: World) -> None:
    """When the last admin token is revoked or expires there is a first one again."""
    one = world.controller("one")
    world.step(one)
    first = world.file("one")
    now_ms = world.clock.wall_ms()
    other = new_token()
    world.submit(
        CreateToken(Token("me", "me", "admin", token_hash(other), expires_at_ms=now_ms + 60_000)),
        Stamp(now_ms, "one"))
    (old,) = [t.id for t in world.log.state().tokens.values() if t.name == bootstrap.NAME]
    world.submit(RevokeToken(old), Stamp(now_ms, "one"))
    world.step(one)
    assert world.tokens() == {token_hash(other)}
    assert world.file("one") == ""
    world.clock.now_s += 60
    world.step(one)
    assert world.file("one") not in ("", first)
    assert token_hash(world.file("one")) in world.tokens()


def test_the_operators_own_token_needs_no_file(world: World) -> None:
    """It is let in, once, and taken from the setting alone."""
    token = new_token()
    one = world.controller("one", ORCHESTRY_BOOTSTRAP_TOKEN=token)
    world.step(one, one)
    assert (world.tokens(), world.file("one")) == ({token_hash(token)}, "")


def test_a_folder_that_takes_no_file_is_told(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Without its file no token is made: nobody would know it."""
    one = world.controller("one")
    (world.tmp_path / "one").rmdir()
    world.step(one)
    assert world.tokens() == set()
    assert "cannot be kept" in caplog.text


def test_it_is_shown_once_where_somebody_looks(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """By the controller that made it, when it is good; never again, and never in the log."""
    one, two = world.controller("one"), world.controller("two")
    world.step(one, two)
    world.step(one, two, world.controller("one"))
    token = world.file("one")
    assert world.shown == [token]
    assert "it was shown on the terminal" in caplog.text
    assert token not in caplog.text


def test_without_a_terminal_the_log_tells_of_the_file(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """And of a token that was given, of which the user knows, nothing is shown."""
    world.terminal = False
    world.step(world.controller("one"))
    assert FILE in caplog.text
    assert "shown on the terminal" not in caplog.text
    assert world.file("one") not in caplog.text


def test_a_token_that_was_given_is_not_shown(world: World) -> None:
    """Who set it knows it."""
    world.step(world.controller("one", ORCHESTRY_BOOTSTRAP_TOKEN="0123456789abcdef" * 2))
    assert world.tokens()
    assert world.shown == []


@pytest.mark.parametrize(("terminal", "console", "shown"), [
    (True, False, True), (False, False, False), (True, True, False)])
def test_what_counts_as_a_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, console: bool, shown: bool
) -> None:
    """No file, and no console, which in a container is a log file of Docker."""
    ours, theirs = pty.openpty()
    try:
        with open(os.ttyname(theirs) if terminal else tmp_path / "out", "w") as out:
            monkeypatch.setattr(sys, "stdout", out)
            place = Path(os.ttyname(theirs)) if console else tmp_path / "console"
            monkeypatch.setattr(bootstrap, "CONSOLE", place)
            assert bootstrap.on_terminal("s3cr3t") is shown
        os.set_blocking(ours, False)
        with contextlib.suppress(BlockingIOError):
            assert (b"s3cr3t" in os.read(ours, 4096)) is shown
        assert terminal or (tmp_path / "out").read_bytes() == b""
    finally:
        os.close(ours)
        os.close(theirs)
