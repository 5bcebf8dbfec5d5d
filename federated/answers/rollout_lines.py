"""AUC over virtual time: each hospital's, and what it has over itself alone."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.plots.lines import MOST_BANDS, draw_line, handles
from federated.plots.numbers import NothingToDrawError, label, names, shown_sites
from federated.plots.rollout_axis import (
    by_week,
    join_handles,
    joined,
    mark_joins,
    needs_timeline,
    weeks_axis,
)
from federated.plots.style import (
    DOUBLE,
    SITE_COLOURS,
    legend_below,
    method_looks,
    panels,
    short,
    site_looks,
    styled,
)
from federated.runs.history import benefit, evaluations
from federated.runs.reading import Run

FAINT = "#C4C4C4"


@styled
def rollout_convergence(run: Run, split: str = "val", *, width: float = DOUBLE) -> Figure:
    """Draw AUC over virtual time, a panel per hospital and a line per method.

    A dotted line marks when the hospital joined, ticks at the lower edge when others did. Of more
    than 12 hospitals the 12 worst are drawn. Seeds as in ``convergence``.

    Raises:
        NothingToDrawError: the run is no rollout or has no such numbers.
    """
    needs_timeline(run)
    frame = evaluations(run).rename(columns={split: "value"}).dropna(subset=["hours"])
    if frame["value"].isna().all():
        raise NothingToDrawError(f"{run.folder} has no {label('auc', split)} over virtual time.")
    sites, note = shown_sites(frame, "auc")
    of, looks = joined(run), method_looks(names(frame, "method"))
    figure, axes = panels(len(sites), width=width)
    for ax, site in zip(axes, sites, strict=True):
        here = frame[frame["site"] == site]
        for method, rows in here.groupby("method", sort=False):
            band = len(looks) <= MOST_BANDS
            draw_line(ax, by_week(rows, "value"), looks[str(method)], str(method), band=band)
        mark_joins(ax, of, site)
        ax.set_title(short(site))
    _finish(run, figure, axes, label("auc", split), note)
    legend_below(figure, handles(looks) + join_handles(of, own=True))
    return figure


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
    frame = benefit(run).dropna(subset=["gain"])
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has no AUC both together and alone (local).")
    methods, of = names(frame, "method"), joined(run)
    # Of the whole run, so that a hospital looks the same in every figure.
    sites = names(run.metrics, "site")
    figure, axes = panels(len(methods), width=width, height=2.2, least=2.3)
    for ax, method in zip(axes, methods, strict=True):
        _draw_benefit(ax, frame[frame["method"] == method], sites)
        mark_joins(ax, of)
        ax.set_title(short(method))
    _finish(run, figure, axes, "AUC over alone (validation)")
    mean = Line2D([], [], color="black", lw=1.6, label="unweighted mean")
    legend_below(figure, [*_site_handles(sites), mean, *join_handles(of, own=False)])
    return figure


def _draw_benefit(ax: Axes, frame: pd.DataFrame, sites: list[str]) -> None:
    looks = site_looks(sites) if len(sites) <= len(SITE_COLOURS) else {}
    ax.axhline(0.0, color="#555555", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    for site, rows in frame.groupby("site", sort=False):
        table = by_week(rows, "gain")
        if looks:
            draw_line(ax, table, looks[str(site)], str(site), band=False)
        else:
            ax.plot(table.index, table.mean(axis=1), color=FAINT, linewidth=0.4)
    mean = frame.groupby(["seed", "round"])[["gain", "hours"]].mean().reset_index()
    table = by_week(mean, "gain")
    ax.plot(table.index, table.mean(axis=1), color="black", linewidth=1.6, label="mean")


def _site_handles(sites: list[str]) -> list[Line2D]:
    if len(sites) <= len(SITE_COLOURS):
        return handles(site_looks(sites))
    return [Line2D([], [], color=FAINT, lw=0.8, label=f"each of {len(sites)} hospitals")]


def _finish(run: Run, figure: Figure, axes: list[Axes], ylabel: str, note: str = "") -> None:
    weeks_axis(run, axes)
    for ax in axes:
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(ylabel)
    if note:
        figure.suptitle(note)
