"""Charts: folders of templates that become files; see docs/charts.md.

`load_chart` reads a folder, `merged` lays values over its defaults, `render_guarded` checks
them and renders in a process of its own. All of them raise ChartError.
"""

from orchestry.chart.apps import check_output
from orchestry.chart.guard import render_guarded
from orchestry.chart.load import load_chart
from orchestry.chart.model import Chart, ChartError
from orchestry.chart.values import merged, parse_set, read_values

__all__ = [
    "Chart", "ChartError", "check_output", "load_chart", "merged", "parse_set", "read_values",
    "render_guarded",
]
