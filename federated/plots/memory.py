"""What the sites' contrastive memories hold."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federated.plots.lines import draw_line, draw_sites
from federated.plots.numbers import by_seed, defined, label, names, values
from federated.plots.style import (
    DOUBLE,
    SITE_COLOURS,
    panels,
    rounds_axis,
    short,
    site_looks,
    styled,
)
from federated.runs.reading import Run

MOST_NAMED = 3
"""Sites named of those that share a line."""


@styled
def memory_occupancy(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw entries and their mean age in rounds when training ended, a line per site.

    Sites whose memories went the same way, as those of one size do, share a line that names them.
    A row of two panels for each method that has a memory.

    Raises:
        NothingToDrawError: no method of the run has a memory.
    """
    entries = defined(run, "memory_entries", "train")
    ages = values(run, "memory_age", "train")
    methods, sites = names(entries, "method"), names(entries, "site")
    figure, axes = panels(2 * len(methods), width=width, least=width / 2, sharey=False)
    for row, method in enumerate(methods):
        for ax, (metric, frame) in zip(
            axes[2 * row : 2 * row + 2],
            {"memory_entries": entries, "memory_age": ages}.items(),
            strict=True,
        ):
            _draw(ax, frame[frame["method"] == method], sites, metric)
            ax.set_title(short(method))
            ax.set_ylabel(label(metric))
            ax.set_ylim(bottom=0)
    rounds_axis(axes)
    return figure


def _draw(ax: Axes, frame: pd.DataFrame, sites: Sequence[str], metric: str) -> None:
    if len(sites) > len(SITE_COLOURS):
        ax.legend(handles=draw_sites(ax, frame, sites, metric))
        return
    looks = site_looks(sites)
    for alike in _alike(frame):
        rows = frame[frame["site"] == alike[0]]
        draw_line(ax, by_seed(rows), looks[alike[0]], _named(alike, len(sites)), band=False)
    ax.legend(loc="best")


def _alike(frame: pd.DataFrame) -> list[list[str]]:
    """Return the sites, those together whose numbers are all the same."""
    groups: dict[tuple[object, ...], list[str]] = {}
    for site, rows in frame.groupby("site"):
        told = rows[["seed", "round", "value"]].itertuples(index=False, name=None)
        groups.setdefault(tuple(told), []).append(str(site))
    return list(groups.values())


def _named(sites: Sequence[str], every: int) -> str:
    if len(sites) == every > 1:
        return f"all {every} sites alike"
    more = f" and {len(sites) - MOST_NAMED} more" if len(sites) > MOST_NAMED else ""
    return ", ".join(short(site, 14) for site in sites[:MOST_NAMED]) + more
