"""What an app chart renders has to be app specs; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestry.chart.model import APP, Chart, ChartError
from orchestry.chart.values import Problems
from orchestry.manifest import ManifestError, load_documents
from orchestry.spec.parse import SpecError, parse_app

SUFFIXES = (".yaml", ".yml", ".json")


def check_output(chart: Chart, files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The specs by name of app; none of a chart that renders files. ChartError tells every fault.

    Files that are neither YAML nor JSON, such as notes, may say what they like.
    """
    if chart.kind != APP:
        return {}
    found: dict[str, dict[str, Any]] = {}
    problems: Problems = []
    for path, text in files.items():
        if not path.endswith(SUFFIXES) or not text.strip():
            continue
        try:
            documents = load_documents(text)
        except ManifestError as error:
            problems.append((path, str(error)))
            continue
        for number, document in enumerate(documents, 1):
            place = f"{path}, document {number}" if len(documents) > 1 else path
            try:
                name = parse_app(document).name
            except SpecError as error:
                problems += [(f"{place}: {p.field or 'document'}", p.message)
                             for p in error.problems]
                continue
            if name in found:
                problems.append((place, f"is a second app named {name}"))
            assert isinstance(document, dict)  # else it had been refused
            found[name] = document
    if not found and not problems:
        problems.append(("templates", "render no app at all"))
    if problems:
        raise ChartError(problems)
    return found
