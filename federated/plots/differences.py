"""How much better or worse each method is than the reference, and how sure that is."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from federated.plots.comparison import draw_interval
from federated.plots.numbers import NothingToDrawError
from federated.plots.rows import name_rows
from federated.plots.style import DOUBLE, label_lowest, method_looks, panels, short, styled
from federated.plots.tested import methods_of, tested
from federated.runs.reading import Run
from federated.statistics.methods import mean_difference, pairs, reference_of


@styled
def differences(run: Run, model: str = "", *, width: float = DOUBLE) -> Figure:
    """Draw test AUC less that of ``compare.reference``: a panel per site, a row per method.

    The dot is the mean over seeds, the line its 95 % interval over images and seeds. Solid: no
    difference; dotted: the margin of non-inferiority.

    Raises:
        NothingToDrawError: there is nothing to compare, or predictions are not readable here.
    """
    models, sites, note = tested(run, model)
    methods = methods_of(models)
    if len(methods) < 2:
        raise NothingToDrawError(f"{run.folder} has one method only; there is nothing to compare.")
    compare = run.study.common.compare
    reference = reference_of(models, compare.reference)
    looks = method_looks(methods)
    rows = [method for method in methods if method != reference]
    figure, axes = panels(
        len(sites), width=width, height=0.5 + 0.15 * len(rows), least=min(2.2, width / 2)
    )
    for ax, site in zip(axes, sites, strict=True):
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        name_rows(ax, rows, 18)
        ax.axvline(0, color="#555555", linewidth=0.8, zorder=1)
        for one, other in pairs([m for m in models if m.site == site], reference):
            look, row = looks[one.method], rows.index(one.method)
            difference = mean_difference(one, other)
            draw_interval(ax, row, difference, look)
            dot: dict[str, Any] = {"ls": "", "marker": look.marker, "ms": 4, "label": one.method}
            ax.plot([difference.value], [row], color=look.colour, **dot)
            margin = compare.margin_of(len(one.labels))
            ax.axvline(-margin, color="#555555", linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1)
        ax.set_title(short(site))
        label_lowest(ax, f"AUC − that of {short(reference, 14)}")
    if note:
        figure.suptitle(note)
    return figure
