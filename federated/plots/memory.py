"""What the sites' contrastive memories hold, site by site."""

from matplotlib.figure import Figure

from federated.plots.lines import draw_methods, finish, handles
from federated.plots.numbers import defined, label, names, shown_sites
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, short, styled
from federated.runs.reading import Run


@styled
def memory_occupancy(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw how many embeddings each site's memory holds when a round's training has ended.

    A panel per site and a line per method that has a memory; of several seeds as in
    ``convergence``. Of more than 12 sites the 12 with the fullest memories are drawn.

    Raises:
        NothingToDrawError: no method of the run has a memory.
    """
    return _panels(run, "memory_entries", width)


@styled
def memory_age(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw the mean age in rounds of what each site's memory holds, as ``memory_occupancy``.

    An entry is as old as the rounds since the weights that made it were current.

    Raises:
        NothingToDrawError: no method of the run has a memory.
    """
    return _panels(run, "memory_age", width)


def _panels(run: Run, metric: str, width: float) -> Figure:
    frame = defined(run, metric, "train")
    sites, note = shown_sites(frame, metric)
    looks = method_looks(names(frame, "method"))
    figure, axes = panels(len(sites), width=width)
    for ax, site in zip(axes, sites, strict=True):
        draw_methods(ax, frame[frame["site"] == site], looks)
        ax.set_title(short(site))
    # Of all panels: they share the axis. With room for the marks of a full memory.
    axes[0].set_ylim(0, 1.05 * axes[0].get_ylim()[1])
    finish(figure, axes, label(metric), note)
    legend_below(figure, handles(looks))
    return figure
