"""Lines over rounds, and what goes around them."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.plots.numbers import by_seed, by_site, lower_is_worse, over_sites
from federated.plots.style import (
    MARKERS,
    SITE_COLOURS,
    Look,
    label_rows,
    rounds_axis,
    short,
    site_looks,
)

MOST_BANDS = 5
"""More bands than this on top of one another are mud."""


def draw_methods(ax: Axes, frame: pd.DataFrame, looks: Mapping[str, Look], every: int = 1) -> None:
    """Draw a line per method of one site, or of what stands for all of them.

    ``every`` is as for ``with_gaps``.
    """
    for method, rows in frame.groupby("method", sort=False):
        look = looks[str(method)]
        draw_line(ax, by_seed(rows, every), look, str(method), band=len(looks) <= MOST_BANDS)


def draw_sites(
    ax: Axes, frame: pd.DataFrame, sites: Sequence[str], metric: str = "", *, every: int = 1
) -> list[Line2D]:
    """Draw a line per site of one method, and return what the legend needs.

    ``every`` is as for ``with_gaps``.
    """
    if len(sites) <= len(SITE_COLOURS):
        looks = site_looks(sites)
        for site, rows in frame.groupby("site", sort=False):
            draw_line(ax, by_seed(rows, every), looks[str(site)], str(site))
        return handles(looks)
    table = by_site(frame, every=every)
    ax.plot(table.index, table.to_numpy(), color="#C4C4C4", linewidth=0.4)
    worst = "min" if lower_is_worse(metric) else "max"
    summaries = {"unweighted mean of sites": "mean", f"{worst} over sites": worst}
    looks = site_looks(summaries)
    for name, how in summaries.items():
        draw_line(ax, by_seed(over_sites(frame, how), every), looks[name], name)
    return [Line2D([], [], color="#C4C4C4", lw=0.8, label="each site"), *handles(looks)]


def draw_line(ax: Axes, table: pd.DataFrame, look: Look, name: str, *, band: bool = True) -> None:
    """Draw the mean over seeds of a table of rounds x seeds, and the range of the seeds."""
    rounds, mean = table.index.to_numpy(), table.mean(axis=1).to_numpy()
    # Few rounds: a marker on each, so that one between two gaps is seen. Many: in turns.
    step = max(1, len(rounds) // 8)
    start = MARKERS.index(look.marker) % step
    ax.plot(
        rounds,
        mean,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markevery=(start, step),
        label=name,
    )
    if band and table.shape[1] > 1:
        low, high = table.min(axis=1).to_numpy(), table.max(axis=1).to_numpy()
        ax.fill_between(rounds, low, high, color=look.colour, alpha=0.15, linewidth=0)


def handles(looks: Mapping[str, Look]) -> list[Line2D]:
    """Return a legend's lines."""
    return [
        Line2D([], [], color=c, linestyle=line, marker=marker, label=short(name))
        for name, (c, line, marker) in looks.items()
    ]


def finish(figure: Figure, axes: Sequence[Axes], ylabel: str, note: str = "") -> None:
    """Label the axes, and say over the panels which sites are left out."""
    rounds_axis(axes)
    label_rows(axes, ylabel)
    if note:
        figure.suptitle(note)
