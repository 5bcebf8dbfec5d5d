"""Convergence that answers the pointer: values under it, hospitals hidden by a click.

Drawn by Bokeh (bokeh.org), which is put into the page whole, a megabyte. It is an extra,
``pip install 'consilium[report]'``; without it the page has the still figure alone.
"""

from collections.abc import Sequence
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from federated.plots.numbers import by_seed, names, shown_sites, values
from federated.plots.style import Look, site_looks
from federated.plots.text import number as text
from federated.report.markup import sentence
from federated.runs.reading import Run
from federated.statistics.interval import mean_of_seeds

if TYPE_CHECKING:
    from bokeh.models import Range1d
    from bokeh.plotting import figure as Panel

HEIGHT = 300
FEWEST_SEEDS = 3
"""Fewer have no band: Student's interval of two seeds is wider than the figure is high."""
TIPS = [("hospital", "@site"), ("round", "@round"), ("AUC", "@auc{0.000}"), ("95 %", "@interval")]


def library(parts: Sequence[str]) -> str:
    """Return Bokeh and what hides hospitals, if any of these parts of a page needs it."""
    if not any('class="curves"' in part for part in parts):
        return ""
    from bokeh.resources import Resources

    return str(Resources(mode="inline", components=["bokeh"]).render())


def curves(run: Run) -> str:
    """Return panels of validation AUC over rounds, one a method, with a line per hospital.

    Empty without Bokeh, or where the run has no such numbers.
    """
    frame = values(run, "auc", "val").dropna(subset=["value"])
    if frame.empty or find_spec("bokeh") is None:
        return ""
    from bokeh.embed import components

    sites, note = shown_sites(frame, "auc")
    looks = site_looks(sites)
    methods = names(frame, "method")
    script, parts = components(tuple(_panel(run, frame, method, looks) for method in methods))
    shown = "".join(
        f'<div><h4>{escape(method)}</h4><div class="curve" role="img" aria-label="validation AUC '
        f'over rounds under {escape(method)}; the table below has the numbers">{part}</div></div>'
        for method, part in zip(methods, parts, strict=True)
    )
    return (
        '<div class="interactive"><h3>Validation AUC over rounds, hospital by hospital</h3>'
        f'<p class="note">{_note(run, note)}</p>{_buttons(run, looks)}'
        f'<div class="curves">{shown}</div>'
        f"{_numbers(frame, sites, methods)}{script}</div>"
    )


def _note(run: Run, note: str) -> str:
    seeds = len(run.study.common.seeds)
    bands = (
        "bands are Student's 95 % interval over them"
        if seeds >= FEWEST_SEEDS
        else f"a band needs {FEWEST_SEEDS} seeds"
    )
    return escape(
        "Point at a line for its values; the buttons hide and show a hospital. Lines are means "
        f"over {seeds} seed{'s' if seeds > 1 else ''}; {bands}. {sentence(note)}"
    )


def _buttons(run: Run, looks: dict[str, Look]) -> str:
    buttons = "".join(
        f'<button type="button" aria-pressed="true" value="{escape(_name(run, place))}" '
        f'style="--site: {look.colour}">{escape(site)}</button>'
        for place, (site, look) in enumerate(looks.items())
    )
    return f'<div class="sites" role="group" aria-label="hospitals shown">{buttons}</div>'


def _name(run: Run, place: int) -> str:
    """Return the name by which a button finds its lines, also on a page of several runs."""
    return f"{run.folder.name}/{place}"


def _panel(run: Run, frame: pd.DataFrame, method: str, looks: dict[str, Look]) -> "Panel":
    from bokeh.models import ColumnDataSource, HoverTool
    from bokeh.plotting import figure

    panel = figure(
        height=HEIGHT, sizing_mode="stretch_width", tools="", toolbar_location=None,
        x_axis_label="round", y_axis_label="AUC (validation)",
        background_fill_color=None, border_fill_color=None, outline_line_color=None,
    )  # fmt: skip
    lines: list[Any] = []
    for place, (site, look) in enumerate(looks.items()):
        rows = frame[(frame["method"] == method) & (frame["site"] == site)]
        if rows.empty:
            continue
        source = ColumnDataSource(data=_course(rows, site))
        style: dict[str, Any] = {"color": look.colour, "name": _name(run, place), "source": source}
        if len(run.study.common.seeds) >= FEWEST_SEEDS:
            panel.varea("round", "low", "high", fill_alpha=0.13, **style)
        lines.append(panel.line("round", "auc", line_width=2, **style))
        panel.scatter("round", "auc", size=4, **style)
    panel.add_tools(HoverTool(tooltips=TIPS, renderers=lines, mode="mouse"))
    panel.y_range = _heights(frame)
    return panel


def _heights(frame: pd.DataFrame) -> "Range1d":
    """Return the range of all panels: that of the means, so that wide bands do not flatten it."""
    from bokeh.models import Range1d

    means = frame.groupby(["method", "round", "site"])["value"].mean()
    room = 0.1 * max(0.05, means.max() - means.min())
    return Range1d(start=float(means.min() - room), end=float(means.max() + room))


def _course(rows: pd.DataFrame, site: str) -> dict[str, Any]:
    """Return one hospital's course as columns; a missed round is a gap."""
    table = by_seed(rows)
    told = [mean_of_seeds(row) for row in table.to_numpy(dtype=np.float64)]
    return {
        "round": [int(round) for round in table.index],
        "auc": [one.value for one in told],
        "low": [max(0.0, one.low) for one in told],
        "high": [min(1.0, one.high) for one in told],
        "interval": ["–" if np.isnan(o.low) else f"{o.low:.3f} to {o.high:.3f}" for o in told],
        "site": [site] * len(told),
    }


def _numbers(frame: pd.DataFrame, sites: list[str], methods: list[str]) -> str:
    """Return the same numbers as a folded table, for who cannot point."""
    means = frame.groupby(["method", "round", "site"])["value"].mean().unstack("site")
    names_of = ["method", "round", *sites]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names_of)
    lines = [
        f'<tr><th scope="row">{escape(method)}</th><td>{number}</td>'
        + "".join(f"<td>{text(row[site], '{:.3f}')}</td>" for site in sites)
        for method in methods
        for number, row in means.loc[method].iterrows()
    ]
    return (
        "<details><summary>The means as a table</summary>"
        '<div class="wide" tabindex="0" role="region" aria-label="validation AUC over rounds">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
        "</details>"
    )
