"""plot: a number over time as blocks in a terminal; pure.

The plotting packages for terminals weigh more than all other parts of the command line.
"""

from __future__ import annotations

from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
NOTHING = "·"


def plot(
    title: str, values: Sequence[float | None], *, width: int = 72, height: int = 6,
    first: str = "", last: str = "",
) -> str:
    """Lines of text: a scale from 0, the values as columns, and the times of both ends.

    Many values are drawn together, each column as high as the highest of its own. None is
    drawn as a dot on the ground: it was not measured.
    """
    columns = squeezed(values, width)
    top = max((value for value in columns if value is not None), default=0.0) or 1.0
    labels = [f"{top:.4g}", *[""] * (height - 2), "0"]
    margin = max(len(label) for label in labels)
    lines = [title]
    for row in range(height):
        floor = height - 1 - row
        cells = "".join(_cell(value, top, floor, height) for value in columns)
        lines.append(f"{labels[row]:>{margin}} ┤{cells}")
    if first or last:
        room = max(len(columns) - len(first), len(last) + 1)
        lines.append(" " * (margin + 2) + first + f"{last:>{room}}")
    return "\n".join(lines)


def squeezed(values: Sequence[float | None], width: int) -> list[float | None]:
    """At most `width` values: the highest of each equal part."""
    if len(values) <= width:
        return list(values)
    found: list[float | None] = []
    for column in range(width):
        part = values[column * len(values) // width:(column + 1) * len(values) // width]
        known = [value for value in part if value is not None]
        found.append(max(known) if known else None)
    return found


def _cell(value: float | None, top: float, floor: int, height: int) -> str:
    if value is None:
        return NOTHING if floor == 0 else " "
    eighths = round(max(value, 0.0) / top * height * 8) - floor * 8
    return BLOCKS[min(max(eighths, 0), 8)]
