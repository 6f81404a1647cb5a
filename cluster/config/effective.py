"""Effective: the configuration that holds on one controller, from its settings and from what
the cluster's users changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from cluster.config import Settings
from cluster.config.keys import DOMAIN, KEYS, Key, read_value
from orchestry.spec.shapes import BAD

MASK = "********"
POSTGRES_PORT = 5432
_DATABASE: Mapping[str, Callable[[SplitResult], Any]] = {
    "database.host": lambda url: url.hostname,
    "database.port": lambda url: url.port or (POSTGRES_PORT if url.scheme else None),
    "database.name": lambda url: unquote(url.path.removeprefix("/")) or None,
    "database.password": lambda url: url.password,
}
"""Parts of the URL of PostgreSQL, which may be given whole; None without one."""
_NO_OVERRIDES: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Config:
    """Every key's value, and where it came from: cluster, environment, file or default."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]

    @property
    def log_level(self) -> str:
        """debug, info, warning or error."""
        return str(self.values["controller.log_level"])

    @property
    def pool_size(self) -> int:
        """Connections to PostgreSQL."""
        return int(self.values["database.pool_size"])

    @property
    def scaling_interval_s(self) -> float:
        """Between two measurements."""
        return float(self.values["scaling.default_check_interval"])

    @property
    def max_concurrent_scales(self) -> int:
        """Apps that start containers at once; 0 is no limit."""
        return int(self.values["scaling.max_concurrent_scales"])

    @property
    def domain(self) -> str:
        """Apps without hosts are under it."""
        return str(self.values[DOMAIN])

    @property
    def limits(self) -> tuple[int, int, tuple[str, ...]]:
        """Requests of one client in an hour and in a minute, and the proxies to believe."""
        return (self.values["limits.per_hour"], self.values["limits.per_minute"],
                self.values["limits.trusted_proxies"])

    @property
    def images(self) -> tuple[str, ...]:
        """Patterns of the images that are allowed; every image without one."""
        return tuple(self.values["limits.images"])

    @property
    def max_pulls(self) -> int:
        """Images that are pulled at once."""
        return int(self.values["images.max_pulls"])

    @property
    def pull_idle_timeout_s(self) -> float:
        """A pull without progress for so long is given up."""
        return float(self.values["images.pull_idle_timeout"])

    @property
    def pull_timeout_s(self) -> float:
        """A pull that takes longer is given up."""
        return float(self.values["images.pull_timeout"])

    @property
    def keep_images(self) -> int:
        """Revisions before the present one whose images stay."""
        return int(self.values["images.keep_revisions"])

    @property
    def exec_on(self) -> bool:
        """Whether commands may be run in containers."""
        return bool(self.values["exec.enabled"])

    @property
    def exec_sessions(self) -> int:
        """Commands in containers that one controller carries at once."""
        return int(self.values["exec.max_sessions"])

    @property
    def exec_idle_s(self) -> float:
        """A command that is silent for so long is cut off."""
        return float(self.values["exec.idle_timeout"])

    @property
    def reserved_hosts(self) -> tuple[str, ...]:
        """Patterns of the hosts that no app may have."""
        return tuple(self.values["limits.reserved_hosts"])


Configured = Callable[[Mapping[str, Any]], Config]
"""From the overrides in the replicated state to what holds."""


def default_of(key: Key, settings: Settings) -> tuple[Any, str]:
    """A key's value without an override, and its source."""
    if not key.attribute:
        return key.default, "default"
    sources = {settings.sources.get(name, "default") for name in key.setting.split(" or ")}
    sources.discard("default")
    read = _DATABASE.get(key.path)
    value = read(urlsplit(settings.database_url)) if read else getattr(settings, key.attribute)
    if not sources or value is None:
        return value, "default"
    return value, "environment" if "environment" in sources else "file"


def effective(overrides: Mapping[str, Any], settings: Settings) -> Config:
    """What holds. An override that this version cannot read counts as none."""
    values, sources = {}, {}
    for key in KEYS:
        value = read_value(key.path, overrides.get(key.path))
        if value is BAD:
            value, source = default_of(key, settings)
        else:
            source = "cluster"
        values[key.path], sources[key.path] = value, source
    return Config(values, sources)


class Effective:
    """`effective` for one controller, made anew only when the overrides changed. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made = (_NO_OVERRIDES, effective(_NO_OVERRIDES, settings))

    def __call__(self, overrides: Mapping[str, Any]) -> Config:
        """What holds with these overrides."""
        of, config = self._made
        if of is not overrides:
            config = effective(overrides, self._settings)
            self._made = (overrides, config)
        return config


def shown(path_values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Values by path as groups of plain JSON; secrets are masked."""
    secret = {key.path for key in KEYS if key.secret}
    groups: dict[str, dict[str, Any]] = {}
    for path, value in path_values.items():
        group, _, name = path.partition(".")
        plain = MASK if path in secret and value else _plain(value)
        groups.setdefault(group, {})[name] = plain
    return groups


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return list(value) if isinstance(value, tuple) else value
