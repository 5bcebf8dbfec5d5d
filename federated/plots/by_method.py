"""Metrics over rounds, method by method."""

from matplotlib.figure import Figure

from federated.plots.lines import draw_sites, finish
from federated.plots.numbers import defined, label, names, rounds_apart
from federated.plots.style import DOUBLE, legend_below, panels, short, styled
from federated.runs.reading import Run


@styled
def methods_side_by_side(
    run: Run, metric: str = "auc", split: str = "val", *, width: float = DOUBLE
) -> Figure:
    """Draw a metric over rounds, a panel per method and a line per site.

    More sites than there are colours are all grey, with their mean and the worst of each round.

    Raises:
        NothingToDrawError: the run has no such numbers.
    """
    frame = defined(run, metric, split)
    methods = names(frame, "method")
    figure, axes = panels(len(methods), width=width)
    shown = []
    for ax, method in zip(axes, methods, strict=True):
        rows, sites = frame[frame["method"] == method], names(frame, "site")
        shown = draw_sites(ax, rows, sites, metric, every=rounds_apart(run, split))
        ax.set_title(short(method))
    finish(figure, axes, label(metric, split))
    legend_below(figure, shown)
    return figure
