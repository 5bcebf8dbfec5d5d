"""AUC over virtual time, hospital by hospital."""

from matplotlib.figure import Figure

from federated.plots.lines import MOST_BANDS, draw_line, handles
from federated.plots.numbers import NothingToDrawError, label, names, rounds_apart, shown_sites
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, short, styled
from federated.plots.time_axis import (
    by_week,
    finish_weeks,
    join_handles,
    joined,
    mark_joins,
    needs_timeline,
)
from federated.runs.history import evaluations
from federated.runs.reading import Run


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
    there, looks = joined(run), method_looks(names(frame, "method"))
    every = rounds_apart(run, split)
    figure, axes = panels(len(sites), width=width)
    for ax, site in zip(axes, sites, strict=True):
        here = frame[frame["site"] == site]
        for method, rows in here.groupby("method", sort=False):
            band, table = len(looks) <= MOST_BANDS, by_week(rows, "value", every)
            draw_line(ax, table, looks[str(method)], str(method), band=band)
        mark_joins(ax, there, site)
        ax.set_title(short(site))
    finish_weeks(run, figure, axes, label("auc", split), note)
    legend_below(figure, handles(looks) + join_handles(there, is_of_one=True))
    return figure
