"""What each hospital has over itself alone, over virtual time."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.plots.lines import draw_line, handles
from federated.plots.numbers import NothingToDrawError, by_site, names, rounds_apart
from federated.plots.style import (
    DOUBLE,
    SITE_COLOURS,
    legend_below,
    panels,
    short,
    site_looks,
    styled,
)
from federated.plots.time_axis import (
    by_week,
    finish_weeks,
    join_handles,
    joined,
    mark_joins,
    needs_timeline,
)
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.history import gains_over_time
from federated.runs.reading import Run

FAINT = "#C4C4C4"


@styled
def rollout_benefit(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw validation AUC together minus alone over virtual time, a panel per method.

    A line per hospital, its mean over seeds; the black line is the unweighted mean over the
    hospitals evaluated in a round, so a newcomer changes what it is a mean of. Above zero it pays
    to take part.

    Raises:
        NothingToDrawError: the run is no rollout, or has no method ``local`` beside another.
    """
    needs_timeline(run)
    frame = gains_over_time(run).dropna(subset=["gain"])
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has no AUC both together and alone (local).")
    methods, there = names(frame, "method"), joined(run)
    # Of the whole run, so that a hospital looks the same in every figure.
    sites = list(run.sites)
    figure, axes = panels(len(methods), width=width, height=2.2, least=2.3)
    for ax, method in zip(axes, methods, strict=True):
        _draw(ax, frame[frame["method"] == method], sites, rounds_apart(run, "val"))
        mark_joins(ax, there)
        ax.set_title(short(method))
    finish_weeks(run, figure, axes, "AUC over alone (validation)")
    mean = Line2D([], [], color="black", lw=1.6, label="unweighted mean")
    legend_below(figure, [*_site_handles(sites), mean, *join_handles(there, is_of_one=False)])
    return figure


def _draw(ax: Axes, frame: pd.DataFrame, sites: Sequence[str], every: int) -> None:
    looks = site_looks(sites) if len(sites) <= len(SITE_COLOURS) else {}
    ax.axhline(0.0, color="#555555", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    if looks:
        for site, rows in frame.groupby("site", sort=False):
            draw_line(ax, by_week(rows, "gain", every), looks[str(site)], str(site), band=False)
    else:
        weeks = by_site(frame, "hours", every).interpolate() / HOURS_PER_WEEK
        gains = by_site(frame, "gain", every)
        ax.plot(weeks.to_numpy(), gains.to_numpy(), color=FAINT, linewidth=0.4)
    mean = frame.groupby(["seed", "round"])[["gain", "hours"]].mean().reset_index()
    table = by_week(mean, "gain", every)
    ax.plot(table.index, table.mean(axis=1), color="black", linewidth=1.6, label="mean")


def _site_handles(sites: Sequence[str]) -> list[Line2D]:
    if len(sites) <= len(SITE_COLOURS):
        return handles(site_looks(sites))
    return [Line2D([], [], color=FAINT, lw=0.8, label=f"each of {len(sites)} hospitals")]
