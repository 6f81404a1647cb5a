"""Quantities: what is read, what is refused, and printing back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestry import units


@pytest.mark.parametrize(
    ("value", "millicores"),
    [("500m", 500), ("1", 1000), ("2.5", 2500), (1, 1000), (2.5, 2500), (0.1, 100), ("0.001", 1)],
)
def test_cpu_is_read_in_millicores(value: object, millicores: int) -> None:
    """Every documented way to write processors gives the same unit."""
    assert units.parse_cpu(value) == millicores


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        ("128Mi", 128 * 1024**2), ("1Gi", 1024**3), ("512M", 512 * 1000**2), ("1.5Gi", 3 * 2**29),
        ("4K", 4000), ("4Ki", 4096), ("2T", 2 * 1000**4), ("4096", 4096), ("0", 0),
    ],
)
def test_memory_is_read_in_bytes(value: str, size_bytes: int) -> None:
    """A binary suffix counts in 1024, a decimal one in 1000, none in bytes."""
    assert units.parse_memory(value) == size_bytes


@pytest.mark.parametrize(
    ("value", "duration_s"), [("30s", 30), ("5m", 300), ("1h", 3600), ("1d", 86_400), ("0s", 0)]
)
def test_durations_are_read_in_seconds(value: str, duration_s: int) -> None:
    """Seconds, minutes, hours and days."""
    assert units.parse_duration(value) == duration_s


_NEVER: list[object] = [
    "", " ", "-1", "+1", "1e3", "1E3m", "nan", "inf", "0x10", "1_000", "½", "١٢٣", "1 ", " 1",
    "1\n", ".5", "1.", "9" * 5000, None, True, [], {}, float("nan"), float("inf"), -1, -0.5,
    10**400,
]


@pytest.mark.parametrize(
    ("parse", "example"),
    [(units.parse_cpu, "500m"), (units.parse_memory, "128Mi"), (units.parse_duration, "30s")],
)
@pytest.mark.parametrize("value", _NEVER, ids=lambda value: repr(value)[:20])
def test_nonsense_is_refused_with_an_example(
    parse: Callable[[object], int], example: str, value: object
) -> None:
    """A refused quantity raises ValueError that shows a right one."""
    with pytest.raises(ValueError, match=example):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "value"),
    [
        (units.parse_cpu, "0.0001"), (units.parse_cpu, 1e-9), (units.parse_cpu, "1.5m"),
        (units.parse_memory, "0.3Ki"), (units.parse_memory, "1mi"), (units.parse_memory, "512m"),
        (units.parse_memory, 128), (units.parse_memory, "1Pi"), (units.parse_duration, 30),
        (units.parse_duration, "30"), (units.parse_duration, "1.5h"),
    ],
)
def test_what_cannot_be_exact_is_refused(parse: Callable[[object], int], value: object) -> None:
    """Fractions of the smallest unit, wrong case and missing units are not guessed."""
    with pytest.raises(ValueError, match="must be"):
        parse(value)


@given(st.integers(0, 10**12))
def test_printing_back_loses_nothing(value: int) -> None:
    """Each quantity is printed so that it reads as the same number."""
    assert units.parse_cpu(units.format_cpu(value)) == value
    assert units.parse_memory(units.format_memory(value)) == value


def test_printing_chooses_the_usual_form() -> None:
    """Round values are printed as a user would write them."""
    assert units.format_cpu(1000) == "1"
    assert units.format_cpu(2500) == "2500m"
    assert units.format_memory(128 * 1024**2) == "128Mi"
    assert units.format_memory(64 * 1024**3) == "64Gi"
    assert units.format_memory(512 * 1000**2) == "512M"
