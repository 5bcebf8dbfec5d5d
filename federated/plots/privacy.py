"""What privacy costs: AUC against epsilon, every seed a dot."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from federated.plots.numbers import NothingToDrawError, used_or_kept, values
from federated.plots.style import (
    DOUBLE,
    Look,
    label_lowest,
    label_rows,
    legend_below,
    method_looks,
    panels,
    short,
    styled,
)
from federated.plots.tested import methods_of, tested
from federated.runs.reading import Run
from federated.statistics.scored import Scored

Spent = Mapping[tuple[str, int, str], float]
"""Epsilon at the end by method, seed and site."""


@styled
def privacy(run: Run, model: str = "", *, width: float = DOUBLE) -> Figure:
    """Draw test AUCs against what each hospital has spent in the end: a panel per site.

    A method with noise has a dot per seed, and at their mean the AUC's 95 % interval over images
    and seeds. A method without noise promises no epsilon: it is a line across, its interval a band.

    Raises:
        NothingToDrawError: no method has noise, or no site's predictions are readable here.
    """
    spent = spent_of(run)
    models, sites, note = tested(run, model)
    looks = method_looks(methods_of(models))
    figure, axes = panels(len(sites), width=width, least=min(2.2, width / 2))
    for ax, site in zip(axes, sites, strict=True):
        for one in (one for one in models if one.site == site):
            _draw(ax, one, spent, looks[one.method])
        ax.set_title(short(site))
        label_lowest(ax, "ε, spent by the last round")
    _scale(axes[0], list(spent.values()))
    label_rows(axes, f"AUC (test), {model or used_or_kept(run)} model")
    if note:
        figure.suptitle(note)
    noisy = {method for method, _, _ in spent}
    legend_below(figure, [_handle(name, looks[name], name in noisy) for name in looks])
    return figure


def spent_of(run: Run) -> Spent:
    """Return the largest epsilon that each site told, which is the last.

    Raises:
        NothingToDrawError: no site told any.
    """
    told = values(run, "epsilon", "train").dropna(subset=["value"])
    if told.empty:
        raise NothingToDrawError("no method of the run has noise with an epsilon")
    keys = ["method", "seed", "site"]
    most = told.groupby(keys)["value"].max().reset_index()
    rows = zip(*(most[column] for column in [*keys, "value"]), strict=True)
    return {(str(method), int(seed), str(site)): float(e) for method, seed, site, e in rows}


def _draw(ax: Axes, one: Scored, spent: Spent, look: Look) -> None:
    """Draw a method's models of a site: dots of seeds and their mean, or a line with a band."""
    area = one.mean_auc
    told = [spent.get((one.method, seed, one.site)) for seed in one.seeds]
    epsilons = [epsilon for epsilon in told if epsilon is not None]
    if len(epsilons) < len(told):
        ax.axhspan(area.low, area.high, color=look.colour, alpha=0.12, linewidth=0)
        ax.axhline(area.value, color=look.colour, ls=look.line, label=one.method)
        return
    place = sum(epsilons) / len(epsilons)
    dots: dict[str, Any] = {"ls": "", "marker": ".", "ms": 4, "mew": 0, "alpha": 0.6}
    ax.plot(epsilons, one.aucs, color=look.colour, **dots)
    ax.plot([place] * 2, [area.low, area.high], color=look.colour, marker="_", ms=4, lw=0.9)
    marks: dict[str, Any] = {"ls": "", "marker": look.marker, "ms": 4}
    ax.plot([place], [area.value], color=look.colour, label=one.method, **marks)


def _scale(ax: Axes, epsilons: list[float]) -> None:
    """Let the panels' common axis grow by factors, if all of it is above 0."""
    if min(epsilons) <= 0:
        return
    ax.set_xscale("log")
    ax.set_xlim(min(epsilons) / 1.5, max(epsilons) * 1.5)
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _handle(name: str, look: Look, is_noisy: bool) -> Line2D:
    if is_noisy:
        return Line2D([], [], color=look.colour, marker=look.marker, ls="", label=short(name))
    return Line2D([], [], color=look.colour, ls=look.line, label=short(name))
