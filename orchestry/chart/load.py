"""From a folder to a Chart; the only module of this package that reads files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from orchestry.chart.model import APP, FILE_BYTES_MAX, FILES, TEMPLATES_MAX, Chart, ChartError
from orchestry.chart.values import Problems, mapping_of

CHART_FILE = "Chart.yaml"
VALUES_FILE = "values.yaml"
SCHEMA_FILE = "values.schema.json"
TEMPLATES = "templates"
ENTRIES_MAX = 1000

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}(-[0-9A-Za-z.-]{1,64})?")
_KEYS = {"apiVersion", "name", "version", "kind", "description"}


def load_chart(folder: Path) -> Chart:
    """The chart in a folder. ChartError names every fault of its files."""
    if not folder.is_dir():
        raise ChartError.at(str(folder), "must be a folder that holds Chart.yaml")
    problems: Problems = []
    head = _mapping(folder, CHART_FILE, problems, required=True)
    if head is not None:
        problems += _head_problems(head)
    values = _mapping(folder, VALUES_FILE, problems) or {}
    schema = _schema(folder, problems)
    templates = _templates(folder / TEMPLATES, problems)
    if problems:
        raise ChartError(problems)
    assert head is not None
    return Chart(
        name=head["name"], version=head["version"], kind=head["kind"], templates=templates,
        values=values, schema=schema, description=head.get("description", ""))


def _head_problems(head: dict[str, Any]) -> Problems:
    """What is wrong with Chart.yaml."""
    problems: Problems = [
        (f"{CHART_FILE}: {key[:64]}", f"is unknown; the keys are {', '.join(sorted(_KEYS))}")
        for key in head if key not in _KEYS
    ]
    rules = (
        ("apiVersion", lambda text: text == "v1", "must be v1"),
        ("name", _NAME.fullmatch,
         "must be 1-63 of a-z, 0-9 and -, beginning and ending with a letter or digit"),
        ("version", _VERSION.fullmatch, 'must look like "1.0.0"'),
        ("kind", (APP, FILES).__contains__,
         f"must be {APP} (it renders app specs) or {FILES} (it renders files)"),
    )
    for key, good, rule in rules:
        if not isinstance(head.get(key), str) or not good(head[key]):
            problems.append((f"{CHART_FILE}: {key}", rule))
    if not isinstance(head.get("description", ""), str):
        problems.append((f"{CHART_FILE}: description", "must be text"))
    return problems


def _mapping(
    folder: Path, name: str, problems: Problems, *, required: bool = False
) -> dict[str, Any] | None:
    if not required and not (folder / name).exists():
        return None
    text = _text(folder / name, name, problems)
    if text is None:
        return None
    try:
        return mapping_of(text, name)
    except ChartError as error:
        problems += error.problems
        return None


def _schema(folder: Path, problems: Problems) -> dict[str, Any] | None:
    if not (folder / SCHEMA_FILE).exists():
        return None
    text = _text(folder / SCHEMA_FILE, SCHEMA_FILE, problems)
    if text is None:
        return None
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.append((SCHEMA_FILE, f"must be JSON: {error}"))
        return None
    if not isinstance(schema, dict):
        problems.append((SCHEMA_FILE, "must be an object"))
        return None
    return schema


def _templates(folder: Path, problems: Problems) -> dict[str, str]:
    """All files below templates/; a link could lead out of it and is refused."""
    templates: dict[str, str] = {}
    for number, path in enumerate(sorted(folder.rglob("*"))):
        name = path.relative_to(folder).as_posix()
        place = f"{TEMPLATES}/{name}"
        if number >= ENTRIES_MAX:
            problems.append((TEMPLATES, f"must hold at most {ENTRIES_MAX} files and folders"))
            break
        if path.is_symlink():
            problems.append((place, "is a symbolic link; put the file itself there"))
        elif path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            text = _text(path, place, problems)
            if text is not None:
                templates[name] = text
    if len(templates) > TEMPLATES_MAX:
        problems.append((TEMPLATES, f"must hold at most {TEMPLATES_MAX} templates"))
    if not templates and not problems:
        problems.append((TEMPLATES, "must hold at least one template"))
    return templates


def _text(path: Path, place: str, problems: Problems) -> str | None:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            problems.append((place, f"must have at most {FILE_BYTES_MAX} bytes"))
            return None
        return raw.decode().replace("\r\n", "\n")
    except OSError as error:
        problems.append((place, f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        problems.append((place, f"must be UTF-8 text (byte {error.start} is not)"))
    return None
