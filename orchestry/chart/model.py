"""What a chart is, and the one error of this package; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestry.errors import Code, OrchestryError

PROBLEMS_MAX: Final = 100
TEMPLATES_MAX: Final = 64
FILES_MAX: Final = 256
FILE_BYTES_MAX: Final = 256 * 1024
OUTPUT_BYTES_MAX: Final = 4 * 1024**2

APP: Final = "app"
FILES: Final = "files"


class ChartError(OrchestryError):
    """A chart, its values or what it renders is faulty; `problems` are (place, what is wrong)."""

    def __init__(self, problems: Iterable[tuple[str, str]]) -> None:
        self.problems = tuple(problems)[:PROBLEMS_MAX]
        super().__init__(
            Code.INVALID_CHART,
            [{"field": place, "message": message} for place, message in self.problems],
        )

    @classmethod
    def at(cls, place: str, message: str) -> ChartError:
        """The one fault of a place."""
        return cls([(place, message)])

    def __str__(self) -> str:
        return "; ".join(f"{place}: {message}" for place, message in self.problems)


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart; `kind` says what it renders: specs of apps, or files of any sort.

    `templates` maps names below templates/, with `/`, to texts. A name whose last part begins
    with `_` is there to be imported and becomes no file.
    """

    name: str
    version: str
    kind: str
    templates: Mapping[str, str]
    values: Mapping[str, Any] = field(default_factory=dict)
    schema: Mapping[str, Any] | None = None
    description: str = ""
