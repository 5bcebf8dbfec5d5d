"""AUC over virtual time, hospital by hospital."""

from matplotlib.figure import Figure

from federated.plots.lines import MOST_BANDS, draw_line, handles
from federated.plots.numbers import NothingToDrawError, label, names, rounds_apart, shown_sites
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, short, styled
from federated.plots.target_marks import (
    draw_target,
    mark_reached,
    reached_handles,
    target_handles,
    weeks_reached,
)
from federated.plots.time_axis import (
    by_week,
    finish_weeks,
    join_handles,
    joined,
    mark_joins,
    mark_troubles,
    needs_timeline,
    trouble_handles,
)
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.history import evaluations
from federated.runs.reading import Run
from federated.statistics.targets import targets_of


@styled
def rollout_convergence(run: Run, split: str = "val", *, width: float = DOUBLE) -> Figure:
    """Draw AUC over virtual time, a panel per hospital and a line per method.

    A dotted line marks when the hospital joined, ticks at the lower edge when others did; grey is
    an outage of the hospital, hatched the weeks in which it sent garbage. On
    validation images the target is a level with its interval, and a diamond there marks when a
    method reached it. Of more than 12 hospitals the 12 worst are drawn.
    Seeds as in ``convergence``.

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
    targets, reached = targets_of(run), weeks_reached(run)
    if split != "val":  # A target is a validation AUC.
        targets, reached = targets[:0], reached[:0]
    figure, axes = panels(len(sites), width=width)
    troubles: list[str] = []
    for ax, site in zip(axes, sites, strict=True):
        here = frame[frame["site"] == site]
        for method, rows in here.groupby("method", sort=False):
            band, table = len(looks) <= MOST_BANDS, by_week(rows, "value", every)
            draw_line(ax, table, looks[str(method)], str(method), band=band)
        draw_target(ax, targets[targets["site"] == site])
        mark_reached(ax, reached[reached["site"] == site], looks, "target")
        mark_joins(ax, there, site)
        if site in there:
            troubles += mark_troubles(ax, there[site], run.last_hour / HOURS_PER_WEEK)
        ax.set_title(short(site))
    finish_weeks(run, figure, axes, label("auc", split), note)
    joins = join_handles(there, is_of_one=True)
    marks = [*target_handles(targets), *reached_handles(reached, looks), *joins]
    legend_below(figure, [*handles(looks), *marks, *trouble_handles(troubles)])
    return figure
