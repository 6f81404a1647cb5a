"""Figures of the benchmark: medians, ratios, a table."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure; `goal` is in words, `met` compares value and goal."""

    name: str
    value: float
    unit: str
    goal: str
    met: bool
    note: str = ""


def spread(values: list[float]) -> str:
    """min / median / max in words."""
    return (
        f"min {min(values):.2f}, median {statistics.median(values):.2f}, "
        f"max {max(values):.2f}, n={len(values)}"
    )


def show(figures: list[Figure], json_path: Path | None) -> None:
    """Print the table, and write it as JSON when asked."""
    width = max(len(figure.name) for figure in figures)
    for figure in figures:
        mark = "met" if figure.met else "MISSED"
        print(f"{figure.name:<{width}}  {figure.value:>9.2f} {figure.unit:<6} "
              f"goal {figure.goal:<24} {mark:<7} {figure.note}", flush=True)
    if json_path is not None:
        json_path.write_text(json.dumps([asdict(figure) for figure in figures], indent=2))
