"""Levels of log lines: every common form, and any text within bounded time."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.levels import LEVELS, at_least, level_of


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("plain", "INFO"), ("", "INFO"), ("terror", "INFO"), ("x" * 100 + " ERROR", "INFO"),
        ("2026-01-01 WARN disk", "WARN"), ("[error] x", "ERROR"), ("INFO: up", "INFO"),
        ("error: no such file", "ERROR"), ("Warning: old", "WARN"), ("debug it", "DEBUG"),
        ("2026-01-01T10:00:00.123Z warn disk", "WARN"), ("10:00:00,12 - fatal - x", "ERROR"),
        ("2026/01/01 10:00:00 [crit] 7#7: open()", "ERROR"), ("<notice> x", "INFO"),
        ("| Warn | x", "WARN"), ("no error was found", "INFO"), ("INFORMAL", "INFO"),
        ("\t ERROR in", "ERROR"), ("ERROR_CODE=0", "INFO"), ("10.0.0.1 - GET /error", "INFO"),
        ('{"level":"debug"}', "DEBUG"), ('{"severity":"CRITICAL"}', "ERROR"),
        ('{"lvl":"warn"}', "WARN"), ('{"log.level":"error"}', "ERROR"),
        ('{"log":{"level":"warning"}}', "WARN"), ('{"levelname":"ERROR"}', "ERROR"),
        ('{"level":10}', "DEBUG"), ('{"level":20}', "DEBUG"), ('{"level":30}', "INFO"),
        ('{"level":40}', "WARN"), ('{"level":50}', "ERROR"), ('{"level":60}', "ERROR"),
        ('{"level":"40"}', "WARN"), ('{"level":7}', "INFO"), ('{"level":true}', "INFO"),
        ('{"level":null,"severity":"E"}', "ERROR"), ('{"level":1e999}', "INFO"),
        ('{"level":["error"]}', "INFO"), ('{"msg":"ERROR"}', "INFO"), ("{broken", "INFO"),
        ('{"level": "warn", "msg": "cut in the mid', "WARN"), ("[1, 2]", "INFO"),
        ('{"level":40,"msg":"cu', "WARN"), ('prefix {"level":"error"}', "ERROR"),
        ("level=warn msg=x", "WARN"), ('ts=1 level="error" x=1', "ERROR"), ("lvl=30 m=x", "INFO"),
        ("time=x severity=FATAL", "ERROR"), ("sublevel=error", "INFO"), ("level=odd", "INFO"),
        ("level=odd ERROR", "ERROR"), ("log.level=w", "WARN"),
        ("W1126 12:00:00.012345 1 a.go:1] x", "WARN"), ("E1126 12:00:00.0 x", "ERROR"),
        ("I1126 12:00:00.0 ERROR", "INFO"), ("F1126 12:00:00.0 x", "ERROR"), ("W112 x", "INFO"),
    ],
)
def test_levels(text: str, level: str) -> None:
    """JSON, logfmt, klog, brackets, capitals and first words; else INFO."""
    assert level_of(text) == level


@given(st.text() | st.recursive(
    st.sampled_from(
        ['{"level":', "[", "{", "level=", '"error"', "W1126 12:00:00", "\x1b", "40", " "]),
    lambda inner: st.lists(inner, max_size=6).map("".join), max_leaves=40,
))
def test_no_text_raises(text: str) -> None:
    """Whatever a container writes has one of the four levels."""
    assert level_of(text) in LEVELS


@pytest.mark.parametrize("text", [
    "x" * 8_000_000, '{"level":"warn","a":"' + "x" * 8_000_000 + '"}', "[" * 8_000_000,
    '{"a":' * 2_000_000, " " * 8_000_000, "level=" * 1_000_000, '"level" ' * 1_000_000,
    "1" * 8_000_000, "[ " * 4_000_000, '{"level":' + "9" * 8_000_000, "\u2028" * 4_000_000,
    '{"a":' * 20_000, '{"level":"' + "e" * 100_000 + '"}', "T1" * 4_000_000,
])
def test_large_lines_cost_little(text: str) -> None:
    """Megabytes and deep nesting are looked at only at their beginning."""
    began_s = time.thread_time()
    for _ in range(10):
        assert level_of(text) in LEVELS
    assert time.thread_time() - began_s < 5


def test_levels_are_ordered() -> None:
    """DEBUG lets all through, ERROR only itself."""
    for place, level in enumerate(LEVELS):
        assert [at_least(level, least) for least in LEVELS] == [
            place >= other for other in range(len(LEVELS))]
