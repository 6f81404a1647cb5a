"""Times on the wire: RFC 3339 in UTC, and the `since` filter."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestry import units


def rfc3339(at_ms: int) -> str | None:
    """`2026-01-15T10:30:00.123Z`; None for 0, which stands for never."""
    if not at_ms:
        return None
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
