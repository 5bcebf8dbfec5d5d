"""Every hospital's AUC with its interval, and their random-effects mean, method by method."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from federated.plots.comparison import draw_interval
from federated.plots.numbers import used_or_kept
from federated.plots.rows import name_rows
from federated.plots.style import DOUBLE, Look, label_lowest, method_looks, panels, short, styled
from federated.plots.tested import methods_of, tested
from federated.runs.reading import Run
from federated.statistics.hospitals import pooled
from federated.statistics.several import Pooled

POOLED = "all hospitals"


@styled
def forest(run: Run, model: str = "", *, width: float = DOUBLE) -> Figure:
    """Draw test AUCs: a panel per method, a row per site, and below them their pooled mean.

    Every dot is a mean over seeds with its 95 % interval over images and seeds. The diamond is the
    random-effects mean over the hospitals drawn with its interval; the grey bar is where the
    AUC of a further hospital would lie, which takes three hospitals.

    Raises:
        NothingToDrawError: no site's predictions are readable here.
    """
    models, sites, note = tested(run, model)
    looks = method_looks(methods_of(models))
    rows = [*sites, POOLED]
    figure, axes = panels(
        len(looks), width=width, height=0.4 + 0.15 * len(rows), least=min(2.2, width / 2)
    )
    for ax, (method, look) in zip(axes, looks.items(), strict=True):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        name_rows(ax, rows, 18)
        ax.axvline(0.5, color="#AAAAAA", linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
        of_method = [one for one in models if one.method == method]
        for one in of_method:
            row, area = rows.index(one.site), one.mean_auc
            draw_interval(ax, row, area, look)
            ax.plot([area.value], [row], color=look.colour, ls="", marker="s", ms=3.5)
        _draw_pooled(ax, len(sites), pooled(of_method), look)
        ax.set_title(short(method))
        label_lowest(ax, f"AUC (test), {model or used_or_kept(run)} model")
    if note:
        figure.suptitle(note)
    return figure


def _draw_pooled(ax: Axes, row: int, found: Pooled, look: Look) -> None:
    ax.axhline(row - 0.5, color="#BBBBBB", linewidth=0.5)
    ax.plot([found.new_low, found.new_high], [row + 0.38] * 2, color="#8A8A8A", linewidth=2.2)
    x = [found.low, found.mean, found.high, found.mean]
    ax.fill(x, [row, row - 0.28, row, row + 0.28], color=look.colour, linewidth=0)
