"""What the API needs of a controller."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from cluster.clock import Clock
from cluster.config import Settings
from cluster.config.effective import Configured
from cluster.consensus.log import ReplicatedLog
from cluster.control.actions import ActionFile
from cluster.control.checks import Check
from cluster.control.driver import Timing
from cluster.control.images import PullCounts
from cluster.control.judge import Record
from cluster.control.telemetry import Telemetry
from cluster.engine.base import Engine, EngineInfo
from cluster.history.history import History
from cluster.live.bus import Bus
from cluster.live.sharing import Limits
from cluster.sealing import Keyring
from cluster.tls.identity import Identity


class Component(Protocol):
    """One part of this controller, as last measured."""

    @property
    def status(self) -> str:
        """healthy, degraded, unavailable or disabled."""

    @property
    def detail(self) -> str:
        """Why it is not healthy, else empty."""

    @property
    def response_time_ms(self) -> float | None:
        """How long its last answer took."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """Further values for `GET /health`."""


class Controller(Protocol):
    """The part of cluster.controller.Controller that serves HTTP."""

    @property
    def id(self) -> str:
        """The id of this controller."""

    @property
    def settings(self) -> Settings:
        """Its settings."""

    @property
    def configured(self) -> Configured:
        """What holds of the configuration, from what its users changed."""

    @property
    def identity(self) -> Identity:
        """Its certificate, and whom it believes."""

    @property
    def keyring(self) -> Keyring:
        """The keys for secrets of applications."""

    @property
    def log(self) -> ReplicatedLog:
        """The replicated log and state."""

    @property
    def engine(self) -> Engine:
        """The container engine; the API reads logs from it, and runs commands of users."""

    @property
    def actions(self) -> ActionFile:
        """The record of its side effects."""

    @property
    def pulls(self) -> PullCounts:
        """Pulls of images by this controller."""

    @property
    def telemetry(self) -> Telemetry:
        """What this controller measured and decided while it led."""

    @property
    def history(self) -> History:
        """Events and measurements of the past."""

    @property
    def limits(self) -> Limits:
        """How often a client may ask."""

    @property
    def bus(self) -> Bus | None:
        """Messages to the other controllers by way of Redis, where there is one."""

    @property
    def clock(self) -> Clock:
        """The source of time."""

    @property
    def started_at_ms(self) -> int:
        """When it started, Unix time."""

    def components(self) -> Mapping[str, Component]:
        """How database, docker, nginx, raft and redis do; never waits."""

    def lease_valid(self) -> bool:
        """True while this controller may act."""

    def check_health(self, app: str) -> Check | None:
        """Check the replicas of an app now; None when too many checks are open already."""

    def health_records(self) -> Mapping[str, Record]:
        """What the checks said, by container id; empty unless this controller may act."""

    def loop_timings(self) -> Mapping[str, Timing]:
        """How long the steps of each control loop took."""

    def hand_over(self) -> None:
        """Stop acting and let another controller lead; bounded in time."""

    def transfer(self, to: str | None = None) -> str | None:
        """Let `to` lead, or who is best prepared; the new leader's id, None when none is."""

    def cut_off(self, fault: Literal["partition", "db-down"], seconds: float) -> None:
        """Do for so long as if the other controllers, or PostgreSQL, could not be reached."""

    def capacity(self) -> EngineInfo | None:
        """The size of the host; None while the engine has never answered."""
