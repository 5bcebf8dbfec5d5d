"""What the sites' contrastive memories hold."""

from matplotlib.figure import Figure

from federated.plots.lines import draw_sites
from federated.plots.numbers import defined, label, names, values
from federated.plots.style import DOUBLE, legend_below, panels, rounds_axis, short, styled
from federated.runs.reading import Run


@styled
def memory_occupancy(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw entries and their mean age in rounds when training ended, a line per site.

    A row of two panels for each method that has a memory.

    Raises:
        NothingToDrawError: no method of the run has a memory.
    """
    entries = defined(run, "memory_entries", "train")
    ages = values(run, "memory_age", "train")
    methods, sites = names(entries, "method"), names(entries, "site")
    figure, axes = panels(2 * len(methods), width=width, least=width / 2, sharey=False)
    shown = []
    for row, method in enumerate(methods):
        for ax, (metric, frame) in zip(
            axes[2 * row : 2 * row + 2],
            {"memory_entries": entries, "memory_age": ages}.items(),
            strict=True,
        ):
            shown = draw_sites(ax, frame[frame["method"] == method], sites, metric)
            ax.set_title(short(method))
            ax.set_ylabel(label(metric))
            ax.set_ylim(bottom=0)
    rounds_axis(axes)
    legend_below(figure, shown)
    return figure
