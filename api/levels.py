"""The level that a log line shows; pure, and bounded in time whatever the line is."""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import orjson

Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]
LEVELS: Final[tuple[Level, ...]] = ("DEBUG", "INFO", "WARN", "ERROR")

JSON_CHARS_MAX = 128 * 1024
"""A longer document is not parsed: its level is searched at its beginning."""
_KEYS_REACH = 2_000
_WORDS_REACH = 80

_PLAIN: Final[dict[str, Level]] = {
    "TRACE": "DEBUG", "DEBUG": "DEBUG", "DBG": "DEBUG",
    "INFO": "INFO", "NOTICE": "INFO",
    "WARN": "WARN", "WARNING": "WARN", "WRN": "WARN",
    "ERR": "ERROR", "ERROR": "ERROR", "FATAL": "ERROR", "CRITICAL": "ERROR", "CRIT": "ERROR",
    "PANIC": "ERROR",
}
# Too common as words to mean a level where nothing says that they are one.
_NAMED: Final[dict[str, Level]] = {
    **_PLAIN, "T": "DEBUG", "D": "DEBUG", "VERBOSE": "DEBUG", "FINE": "DEBUG",
    "I": "INFO", "INF": "INFO", "INFORMATION": "INFO", "INFORMATIONAL": "INFO",
    "W": "WARN", "E": "ERROR", "F": "ERROR", "SEVERE": "ERROR", "ALERT": "ERROR",
    "EMERG": "ERROR", "EMERGENCY": "ERROR",
}
_KEYS = ("level", "severity", "lvl", "log.level", "levelname")
_KEY = r"(?:level|severity|lvl|log\.level|levelname)"
_WORD = "|".join(_PLAIN)
_KLOG: Final[dict[str, Level]] = {"I": "INFO", "W": "WARN", "E": "ERROR", "F": "ERROR"}

_KLOG_LINE = re.compile(r"([IWEF])\d{4} \d\d:\d\d:\d\d")
_IN_JSON = re.compile(rf'"{_KEY}"\s{{0,8}}:\s{{0,8}}"?([A-Za-z]{{1,16}}|\d{{1,3}})\b')
_LOGFMT = re.compile(rf'(?:^|\s){_KEY}="?([A-Za-z]{{1,16}}|\d{{1,3}})\b')
_BRACKETED = re.compile(rf"[\[(<|]\s{{0,8}}({_WORD})\s{{0,8}}[\])>|]", re.IGNORECASE)
_CAPITALS = re.compile(rf"\b({_WORD})\b")
# Times and numbers may stand before the word.
_FIRST_WORD = re.compile(rf"[^A-Za-z]*(?:T[\d:.,]+Z?[^A-Za-z]*)?({_WORD})\b", re.IGNORECASE)


def level_of(text: str) -> Level:
    """The level from JSON, logfmt, klog, or a word at the beginning; else INFO."""
    whole = len(text) <= JSON_CHARS_MAX
    text = (text if whole else text[:_KEYS_REACH]).lstrip()
    if whole and text.startswith("{"):
        try:
            return _of_document(orjson.loads(text)) or "INFO"
        except ValueError:
            pass
    klog = _KLOG_LINE.match(text)
    if klog is not None:
        return _KLOG[klog[1]]
    for pattern in (_IN_JSON, _LOGFMT):
        named = pattern.search(text, 0, _KEYS_REACH)
        if named is not None:
            level = _of_value(named[1])
            if level is not None:
                return level
    start = text[:_WORDS_REACH]
    word = _BRACKETED.search(start) or _CAPITALS.search(start) or _FIRST_WORD.match(start)
    return _PLAIN[word[1].upper()] if word is not None else "INFO"


def at_least(level: Level, least: Level) -> bool:
    """Is a line of this level wanted?"""
    return LEVELS.index(level) >= LEVELS.index(least)


def _of_document(document: Any) -> Level | None:
    if not isinstance(document, dict):
        return None
    for key in _KEYS:
        level = _of_value(document.get(key))
        if level is not None:
            return level
    nested = document.get("log")
    return _of_value(nested.get("level")) if isinstance(nested, dict) else None


def _of_value(value: Any) -> Level | None:
    """A name, or a number as pino and bunyan write it: 10 trace, 20 debug, ... 60 fatal."""
    if isinstance(value, str) and not value.isdecimal():
        return _NAMED.get(value.upper()) if len(value) <= 16 else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = float(value) if not isinstance(value, str) or len(value) <= 3 else 0
    if not 10 <= number <= 69:
        return None
    return "DEBUG" if number < 30 else "INFO" if number < 40 else "WARN" if number < 50 else "ERROR"
