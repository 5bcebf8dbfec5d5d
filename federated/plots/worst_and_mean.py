"""Metrics over rounds of the worst site, and of all sites on average."""

from matplotlib.figure import Figure

from federated.plots.lines import draw_methods, finish, handles
from federated.plots.numbers import (
    defined,
    label,
    lower_is_worse,
    names,
    over_sites,
    rounds_apart,
)
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, styled
from federated.runs.reading import Run


@styled
def worst_and_mean(
    run: Run, metric: str = "auc", split: str = "val", *, width: float = DOUBLE
) -> Figure:
    """Draw the worst site of each round and the unweighted mean over sites, a line per method.

    Both are over the sites that reported a defined value in that round, seed by seed; then the
    line is the mean over seeds and, of up to 5 methods, the band their range.

    Raises:
        NothingToDrawError: the run has no such numbers.
    """
    frame = defined(run, metric, split)
    looks = method_looks(names(frame, "method"))
    worst = "min" if lower_is_worse(metric) else "max"
    figure, axes = panels(2, width=width)
    for ax, how, title in zip(
        axes, (worst, "mean"), ("worst site", "unweighted mean of sites"), strict=True
    ):
        draw_methods(ax, over_sites(frame, how), looks, rounds_apart(run, split))
        ax.set_title(title)
    finish(figure, axes, label(metric, split))
    legend_below(figure, handles(looks))
    return figure
