"""KEYS: every key of the cluster's configuration, once; pure.

What a user changes with `PUT /api/v1/config` is kept in the replicated state, by the path of
the key, as JSON values. What nobody changed is as each controller's own settings say.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from cluster.config import readers
from orchestry import admission
from orchestry.errors import Code, OrchestryError
from orchestry.spec.model import Defaults
from orchestry.spec.parse import DEFAULTS
from orchestry.spec.shapes import (
    BAD,
    Faults,
    ListOf,
    Shape,
    boolean,
    choice,
    did_you_mean,
    integer,
    join,
    number,
    text,
)

RATE_MAX: Final = 1_000_000_000
SCALES_MAX: Final = 1_000
PULLS_MAX: Final = 8
REVISIONS_MAX: Final = 10
SESSIONS_MAX: Final = 64
DOMAIN: Final = "ingress.domain"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its `path`, what a value must look like, and when a change of it takes effect.

    `when` is live, restart (a controller takes it when it starts the next time) or node: that
    is each controller's own, and cannot be changed for all; `shape` is then None. `attribute`
    is where `Settings` has its value, read from the variable `setting`; without, `default` holds.
    """

    path: str
    shape: Shape | None
    when: Literal["live", "restart", "node"]
    doc: str
    unit: str = ""
    attribute: str = ""
    setting: str = ""
    default: Any = None
    secret: bool = False
    remedy: str = ""


def _domain(value: str) -> str:
    try:
        return readers.domain(value)
    except ValueError:
        raise ValueError("must be a lower-case domain such as apps.example.org") from None


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        raise ValueError(
            "must be an IP address or a range such as 10.0.0.0/8, without host bits") from None


def _own(path: str, setting: str, attribute: str, doc: str, **more: Any) -> Key:
    remedy = f"is each controller's own: set {setting} in its environment and start it again"
    return Key(path, None, "node", doc, setting=setting, attribute=attribute, remedy=remedy, **more)


def _database(path: str, setting: str, doc: str, **more: Any) -> Key:
    return _own(path, f"DATABASE_URL or {setting}", "database_url", doc, **more)


KEYS: Final[tuple[Key, ...]] = (
    _own("controller.host", "ORCHESTRY_HOST", "host", "Address that the HTTP API listens on."),
    _own("controller.port", "ORCHESTRY_PORT", "port", "Port of the HTTP API."),
    Key("controller.workers", None, "node", "Always 1: that process holds the Raft node.",
        default=1, remedy="is always 1, since one process holds the Raft node: "
        "see docs/adr/0005-one-gunicorn-worker.md"),
    Key("controller.log_level", choice("debug", "info", "warning", "error"), "live",
        "What is logged.", attribute="log_level", setting="ORCHESTRY_LOG_LEVEL"),
    _database("database.host", "POSTGRES_HOST", "Host of PostgreSQL; null without."),
    _database("database.port", "POSTGRES_PORT", "Its port."),
    _database("database.name", "POSTGRES_DB", "Its database."),
    _database("database.password", "POSTGRES_PASSWORD", "Its password, masked.", secret=True),
    Key("database.pool_size", integer(1, 100), "restart",
        "Connections of one controller to PostgreSQL at most.",
        attribute="postgres_pool_size", setting="POSTGRES_POOL_SIZE"),
    Key("scaling.default_check_interval", number(0.5, 60), "live",
        "Between two measurements of all applications, each with a decision.", "s",
        attribute="scaling_interval_s", setting="SCALING_INTERVAL"),
    Key("scaling.default_cooldown", integer(0, 86_400), "live",
        "`scaling.cooldownSeconds` of specs and policies that do not name it.", "s",
        default=DEFAULTS.cooldown_s),
    Key("scaling.max_concurrent_scales", integer(0, SCALES_MAX), "live",
        "Applications whose containers are started at once; the starts of others wait. "
        "A replica that failed is replaced at once all the same. 0 is no limit.", default=0),
    Key("health.default_check_interval", integer(1, 3_600), "live",
        "`healthCheck.periodSeconds` of specs that do not name it.", "s",
        default=DEFAULTS.period_s),
    Key("health.default_timeout", integer(1, 3_600), "live",
        "`healthCheck.timeoutSeconds` of specs that do not name it.", "s",
        default=DEFAULTS.timeout_s),
    Key("health.default_failure_threshold", integer(1, 100), "live",
        "`healthCheck.failureThreshold` of specs that do not name it.",
        default=DEFAULTS.failure_threshold),
    Key(DOMAIN, text(_domain), "live",
        "An application without hosts is reachable as its name under this domain.",
        attribute="ingress_domain", setting="INGRESS_DOMAIN"),
    _own("ingress.port", "INGRESS_PORT", "ingress_port",
         "Port on which the ingress serves the applications."),
    Key("limits.per_hour", integer(0, RATE_MAX), "live",
        "Requests of one client in an hour; 0 is no limit.",
        attribute="rate_limit_per_hour", setting="RATE_LIMIT_PER_HOUR"),
    Key("limits.per_minute", integer(0, RATE_MAX), "live",
        "Requests of one client in a minute; 0 is no limit.",
        attribute="rate_limit_per_minute", setting="RATE_LIMIT_PER_MINUTE"),
    Key("limits.trusted_proxies", ListOf(text(_network), most=readers.PROXIES_MAX), "live",
        "Addresses and ranges whose `X-Forwarded-For` is believed.",
        attribute="rate_limit_trusted_proxies", setting="RATE_LIMIT_TRUSTED_PROXIES"),
    Key("limits.images", ListOf(text(admission.image_pattern), most=admission.PATTERNS_MAX), "live",
        "Images that applications may have, such as `registry.example/team/*`; "
        "every image while it is empty. Asked when one is registered and when it is started.",
        default=()),
    Key("limits.reserved_hosts",
        ListOf(text(admission.host_pattern), most=admission.PATTERNS_MAX), "live",
        "Hosts that no application may have, such as `admin.example.org` or `*.example.org`.",
        default=()),
    Key("images.max_pulls", integer(1, PULLS_MAX), "live",
        "Images that are pulled at once; others wait.", default=3),
    Key("images.pull_idle_timeout", integer(5, 3_600), "live",
        "A pull that makes no progress for so long is given up, and tried again later.", "s",
        default=60),
    Key("images.pull_timeout", integer(10, 86_400), "live",
        "A pull that takes longer is given up, and tried again later.", "s", default=1_800),
    Key("images.keep_revisions", integer(0, REVISIONS_MAX), "live",
        "Of so many revisions of an app before the present one, the images that were pulled stay "
        "on the host; the last healthy one always does.", default=3),
    Key("exec.enabled", boolean(), "live",
        "Whether commands may be run in the containers of applications, with `orchestry exec`. "
        "While it is off, none is, and what runs is cut off.", default=False),
    Key("exec.max_sessions", integer(1, SESSIONS_MAX), "live",
        "Commands in containers that one controller carries at once.", default=8),
    Key("exec.idle_timeout", integer(10, 86_400), "live",
        "A command that neither writes nor is written to for so long is cut off.", "s",
        default=1_800),
    Key("retention.raw_hours", integer(1, 24 * 31), "live",
        "How long single measurements are kept.", "hours", default=24),
    Key("retention.minute_days", integer(1, 366), "live",
        "How long means over a minute are kept.", "days", default=7),
    Key("retention.hour_days", integer(1, 3_660), "live",
        "How long means over an hour are kept.", "days", default=90),
    Key("retention.events_days", integer(1, 3_660), "live",
        "How long events are kept.", "days", default=90),
)
BY_PATH: Final[Mapping[str, Key]] = {key.path: key for key in KEYS}
GROUPS: Final[tuple[str, ...]] = tuple(dict.fromkeys(key.path.split(".")[0] for key in KEYS))

Change = tuple[str, Any]
"""The path of a key and its new value; None: as if nobody had ever changed it."""


def changes_of(body: Mapping[str, Any]) -> tuple[Change, ...]:
    """What a partial update asks for: groups of keys, each with its new value or null.

    Raises:
        OrchestryError: VALIDATION_ERROR with every fault by its path.
    """
    faults, found = Faults(), []
    for group, part in body.items():
        if group not in GROUPS:
            faults.add(join("", group), f"is not a known group{_hint(group, GROUPS)}")
        elif not isinstance(part, dict):
            faults.add(group, "must be a mapping of keys to values")
        else:
            found += [_read(group, name, value, faults) for name, value in part.items()]
    if not found and not faults.problems:
        faults.add("", "must name at least one key, such as scaling.default_cooldown")
    if faults.problems:
        raise invalid(faults)
    return tuple(found)


def _read(group: str, name: str, value: Any, faults: Faults) -> Change:
    path = f"{group}.{name}"
    key = BY_PATH.get(path)
    if key is None:
        known = tuple(p.split(".")[1] for p in BY_PATH if p.startswith(f"{group}."))
        return path, faults.add(join(group, name), f"is not a known key{_hint(name, known)}")
    if key.shape is None:
        return path, faults.add(path, key.remedy)
    return path, None if value is None else key.shape.read(value, path, faults)


def _hint(name: str, known: tuple[str, ...]) -> str:
    return did_you_mean(name, known) or f"; known here: {', '.join(known)}"


def invalid(faults: Faults) -> OrchestryError:
    """VALIDATION_ERROR with these faults."""
    return OrchestryError(Code.VALIDATION_ERROR, [
        {"field": problem.field, "message": problem.message} for problem in faults.problems])


def read_value(path: str, value: Any) -> Any:
    """A stored value of this key; BAD when this version cannot use it."""
    key = BY_PATH.get(path)
    if key is None or key.shape is None or value is None:
        return BAD
    return key.shape.read(list(value) if isinstance(value, tuple) else value, path, Faults())


def spec_defaults(overrides: Mapping[str, Any]) -> Defaults:
    """What is filled in where a spec does not say; the same on every controller."""
    if not overrides:
        return DEFAULTS
    found = {}
    for attribute, path in _OF_SPECS.items():
        value = read_value(path, overrides.get(path))
        if value is not BAD:
            found[attribute] = value
    return Defaults(**found) if found else DEFAULTS


_OF_SPECS: Final = {
    "cooldown_s": "scaling.default_cooldown",
    "period_s": "health.default_check_interval",
    "timeout_s": "health.default_timeout",
    "failure_threshold": "health.default_failure_threshold",
}
