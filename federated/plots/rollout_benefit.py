"""What each hospital has over itself alone, over virtual time."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.plots.lines import draw_line, handles
from federated.plots.numbers import NothingToDrawError, names, rounds_apart, shown_sites
from federated.plots.style import DOUBLE, Look, legend_below, method_looks, panels, short, styled
from federated.plots.target_marks import mark_reached, reached_handles, weeks_reached
from federated.plots.time_axis import (
    by_week,
    finish_weeks,
    join_handles,
    joined,
    mark_joins,
    needs_timeline,
)
from federated.runs.columns import SITE
from federated.runs.history import gains_over_time
from federated.runs.reading import Run
from federated.statistics.targets import smoothed

MEAN = "mean of hospitals"
RAW: dict[str, Any] = {"ls": "", "marker": "o", "ms": 1.6, "mew": 0, "alpha": 0.35}


@styled
def rollout_benefit(run: Run, target: float | None = None, *, width: float = DOUBLE) -> Figure:
    """Draw validation AUC together minus alone over virtual time, a panel per hospital.

    Dots are means over seeds at each evaluation, the line of a method the mean of three in a row.
    The last panel is the unweighted mean over the hospitals evaluated in a round, so a newcomer
    changes what it is a mean of. Above zero it pays to take part. Of more than 12 hospitals the 12
    that gain least are drawn. A diamond marks when the target was reached.

    Args:
        run: The run.
        target: An AUC that all hospitals should reach instead of their own targets.
        width: Of the figure in inches.

    Raises:
        NothingToDrawError: the run is no rollout, or has no method ``local`` beside another.
    """
    needs_timeline(run)
    frame = gains_over_time(run).dropna(subset=["gain"])
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has no AUC both together and alone (local).")
    sites, note = shown_sites(frame.rename(columns={"gain": "value"}), "auc")
    there, looks = joined(run), method_looks(run.study.common.methods)
    every = rounds_apart(run, "val")
    reached = weeks_reached(run, target)
    figure, axes = panels(len(sites) + 1, width=width)
    for ax, site in zip(axes, sites, strict=False):
        _draw(ax, frame[frame["site"] == site], looks, every)
        mark_reached(ax, reached[reached["site"] == site], looks)
        mark_joins(ax, there, site)
        ax.set_title(short(site))
    mean = frame.groupby(["method", "seed", "round"])[["gain", "hours"]].mean().reset_index()
    _draw(axes[-1], mean.assign(site=MEAN), looks, every)
    mark_joins(axes[-1], there)
    axes[-1].set_title(MEAN)
    finish_weeks(run, figure, axes, "AUC over alone", note)
    drawn = {name: looks[name] for name in names(frame, "method")}
    dot = Line2D([], [], color="black", **{**RAW, "ms": 2.5}, label="each evaluation")
    marks = [*reached_handles(reached, looks), *join_handles(there, is_of_one=True)]
    legend_below(figure, [*handles(drawn), dot, *marks])
    return figure


def _draw(ax: Axes, frame: pd.DataFrame, looks: dict[str, Look], every: int) -> None:
    ax.axhline(0.0, color="#555555", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    for method, rows in frame.groupby("method", sort=False):
        look = looks[str(method)]
        raw = by_week(rows, "gain", every)
        ax.plot(raw.index, raw.mean(axis=1), color=look.colour, label=f"{method}, raw", **RAW)
        in_order = rows.sort_values("round").groupby(SITE)["gain"]
        line = rows.assign(gain=in_order.transform(smoothed))
        draw_line(ax, by_week(line, "gain", every), look, str(method), band=False)
