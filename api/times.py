"""Times on the wire: RFC 3339 in UTC, and the `since` filter."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from orchestry import units

SECONDS_CACHED = 4096

_DIGITS = re.compile(r"T[\d:]+\.(\d{1,9})")


def rfc3339(at_ms: int) -> str | None:
    """`2026-01-15T10:30:00.123Z`; None for 0, which stands for never."""
    if not at_ms:
        return None
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_ns(at_ns: int) -> str:
    """`2026-01-15T10:30:00.123456789Z`: always nine digits, so that texts sort as times do."""
    return f"{_second(at_ns // 10**9)}.{at_ns % 10**9:09d}Z"


@lru_cache(SECONDS_CACHED)
def _second(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def since_ns(text: str, now_ms: int) -> int:
    """As `since_ms`, to the nanosecond.

    Raises:
        ValueError: with what is right.
    """
    at_ns = since_ms(text, now_ms) * 1_000_000
    digits = _DIGITS.search(text)
    if digits is None:
        return at_ns
    return at_ns // 10**9 * 10**9 + int(f"{digits[1]:0<9}")


def since_ms(text: str, now_ms: int) -> int:
    """The Unix time that `1h`, `30m`, `1d` or an RFC 3339 time stands for.

    Raises:
        ValueError: with what is right.
    """
    try:
        return max(0, now_ms - units.parse_duration(text) * 1000)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return max(0, int(at.timestamp() * 1000))
    except (ValueError, OverflowError):
        pass
    raise ValueError("must be a duration such as 30m, 1h or 1d, or an RFC 3339 time")
