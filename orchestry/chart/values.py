"""Values: read from YAML, changed by --set, laid over one another; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from orchestry.chart.model import ChartError
from orchestry.manifest import ManifestError, load_documents

DEPTH_MAX: Final = 16
VALUES_MAX: Final = 10_000
CHARACTERS_MAX: Final = 256 * 1024
INDEX_MAX: Final = 1000
Problems = list[tuple[str, str]]

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}|[0-9]{1,4}")
# Between the files of one template's output; see `render`.
NUL = "\0"
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


def mapping_of(text: str, place: str) -> dict[str, Any]:
    """The one mapping of a YAML text; nothing at all counts as an empty one."""
    if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
        return {}
    try:
        documents = load_documents(text)
    except ManifestError as error:
        raise ChartError.at(place, str(error)) from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise ChartError.at(place, "must hold one mapping of keys to values")
    return documents[0]


def read_values(text: str, place: str) -> dict[str, Any]:
    """The values of a file given with -f."""
    return mapping_of(text, place)


def parse_set(text: str) -> dict[str, Any]:
    """`a.b=c` as values; c is JSON (`3`, `true`, `["x"]`, `"3"`) or else plain text."""
    path, equals, raw = text.partition("=")
    keys = path.split(".")
    if not equals or not all(_KEY.fullmatch(key) for key in keys) or len(keys) > DEPTH_MAX:
        raise ChartError.at("--set", f"{text[:80]!r} must look like hosts.0.name=a or a.b=c")
    try:
        value = json.loads(raw, parse_constant=_refuse)
    except (ValueError, RecursionError):
        value = raw
    for key in reversed(keys):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def _refuse(constant: str) -> object:
    raise ValueError(constant)


def merged(defaults: Mapping[str, Any], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults with each layer over the ones before.

    Mappings are merged key by key. Into a list, a mapping of numbers writes at these places,
    as `--set hosts.0.name=a` asks; anything else replaces what was there.
    """
    result = dict(defaults)
    for layer in layers:
        result = _over(result, layer, "")
    check_values(result)
    return result


def _over(below: Any, above: Any, path: str) -> Any:
    if isinstance(above, Mapping) and isinstance(below, list) and above and all(
            isinstance(key, str) and key.isascii() and key.isdigit() for key in above):
        return _at_places(below, above, path)
    if not isinstance(above, Mapping) or not isinstance(below, Mapping):
        return above
    result = dict(below)
    for key, value in above.items():
        place = f"{path}.{key}" if path else str(key)
        result[key] = _over(result[key], value, place) if key in result else value
    return result


def _at_places(below: list[Any], above: Mapping[str, Any], path: str) -> list[Any]:
    result = list(below)
    for key, value in sorted(above.items(), key=lambda item: int(item[0])):
        index = int(key)
        if index > len(result) or index >= INDEX_MAX:
            raise ChartError.at(f"{path}.{key}", f"must be at most {len(result)}: the list has "
                               f"{len(result)} items")
        if index == len(result):
            result.append(value)
        else:
            result[index] = _over(result[index], value, f"{path}.{key}")
    return result


def check_values(values: object) -> None:
    """ChartError unless these are plain values of a bounded number, depth and length."""
    waiting: list[tuple[object, str, int]] = [(values, "", 0)]
    count = characters = 0
    problems: Problems = []
    while waiting:
        value, path, depth = waiting.pop()
        count += 1
        if count > VALUES_MAX or characters > CHARACTERS_MAX or depth > DEPTH_MAX:
            raise ChartError.at(path or "values", f"is too much: at most {VALUES_MAX} values, "
                               f"{DEPTH_MAX} levels and {CHARACTERS_MAX} characters")
        if isinstance(value, str):
            characters += len(value)
            if _NO_TEXT.search(value):
                problems.append((path, "must be valid text without the character NUL"))
        elif isinstance(value, Mapping):
            for key, item in value.items():
                place = f"{path}.{key}" if path else str(key)
                waiting += [(key, place, depth + 1), (item, place, depth + 1)]
        elif isinstance(value, list):
            waiting += [(item, f"{path}.{n}", depth + 1) for n, item in enumerate(value)]
        elif value is not None and not isinstance(value, bool | int | float):
            problems.append((path, f"must be plain, not {type(value).__name__}"))
    if problems:
        raise ChartError(problems)
