"""Quantities as users write them: "500m", "256Mi", "30s"; parsed strictly, printed exactly.

Every parser raises ValueError with a text that says what would be right.
"""

from __future__ import annotations

import re
from decimal import Decimal

QUANTITY_CHARACTERS_MAX = 24
CPU_NUMBER_LIMIT = 1e9

_CPU = re.compile(r"(?:([0-9]+)m|([0-9]+(?:\.[0-9]+)?))")
_CPU_REMEDY = 'must be processors like "500m", "1" or "2.5", in whole thousandths'
_MEMORY = re.compile(r"([0-9]+(?:\.[0-9]+)?)([KMGT]i?|)")
_MEMORY_REMEDY = 'must be a size like "128Mi", "1Gi" or "512M", in whole bytes'
_MEMORY_UNITS = {
    "Ti": 1024**4, "T": 1000**4, "Gi": 1024**3, "G": 1000**3,
    "Mi": 1024**2, "M": 1000**2, "Ki": 1024, "K": 1000, "": 1,
}
_DURATION = re.compile(r"([0-9]+)([smhd])")
_DURATION_REMEDY = 'must be a duration like "30s", "5m", "1h" or "1d"'
_DURATION_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def parse_cpu(value: object) -> int:
    """Millicores of "500m", "1", "2.5", or the number 1 or 2.5.

    Raises:
        ValueError: anything else, or a fraction of a millicore.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not 0 <= value < CPU_NUMBER_LIMIT:
            raise ValueError(_CPU_REMEDY)
        return _whole(Decimal(repr(value)) * 1000, _CPU_REMEDY)
    match = _match(_CPU, value, _CPU_REMEDY)
    if match[1]:
        return int(match[1])
    return _whole(Decimal(match[2]) * 1000, _CPU_REMEDY)


def format_cpu(millicores: int) -> str:
    """The shortest text that `parse_cpu` reads as `millicores`."""
    return f"{millicores}m" if millicores % 1000 else str(millicores // 1000)


def parse_memory(value: object) -> int:
    """Bytes of "128Mi" (powers of 1024), "512M" (powers of 1000) or "4096" (bytes).

    Raises:
        ValueError: anything else, also a bare number, or a fraction of a byte.
    """
    match = _match(_MEMORY, value, _MEMORY_REMEDY)
    return _whole(Decimal(match[1]) * _MEMORY_UNITS[match[2]], _MEMORY_REMEDY)


def format_memory(size_bytes: int) -> str:
    """The shortest text with a whole number that `parse_memory` reads as `size_bytes`."""
    texts = (
        f"{size_bytes // factor}{unit}"
        for unit, factor in _MEMORY_UNITS.items() if size_bytes % factor == 0
    )
    return min(texts, key=len) if size_bytes else "0"


def parse_duration(value: object) -> int:
    """Seconds of "30s", "5m", "1h" or "1d".

    Raises:
        ValueError: anything else.
    """
    match = _match(_DURATION, value, _DURATION_REMEDY)
    return int(match[1]) * _DURATION_UNITS[match[2]]


def _match(pattern: re.Pattern[str], value: object, remedy: str) -> re.Match[str]:
    match = None
    if isinstance(value, str) and len(value) <= QUANTITY_CHARACTERS_MAX:
        match = pattern.fullmatch(value)
    if match is None:
        raise ValueError(remedy)
    return match


def _whole(value: Decimal, remedy: str) -> int:
    if value != value.to_integral_value():
        raise ValueError(remedy)
    return int(value)
