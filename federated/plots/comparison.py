"""The chosen models side by side, every seed a dot, with what is sure of their mean."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from federated.config.presets import ALONE
from federated.plots.numbers import defined, label, names, shown_sites, used_or_kept, values
from federated.plots.style import (
    DOUBLE,
    Look,
    label_lowest,
    legend_below,
    method_looks,
    panels,
    short,
    styled,
)
from federated.runs.reading import Run
from federated.statistics.images import scored_once
from federated.statistics.interval import Interval

HOLLOW: dict[str, Any] = {"ls": "", "marker": "D", "ms": 3, "mfc": "none", "mew": 0.7}


@styled
def comparison(
    run: Run,
    metric: str = "auc",
    split: str = "test",
    model: str = "",
    *,
    width: float = DOUBLE,
) -> Figure:
    """Draw a metric of the chosen models: a panel per site, a row per method, a dot per seed.

    A bar marks the mean over seeds, and of test AUCs a line its 95 % interval over images and
    seeds, where the sites' predictions can be read. The dashed line is the mean of ``local`` at
    that site: a method on its wrong side is of no use to that hospital. Of the model that the
    hospital uses in the end; beside its row, hollow, the mean of the kept model where that is
    another.

    Raises:
        NothingToDrawError: the run has no such numbers.
    """
    model = model or used_or_kept(run)
    frame = defined(run, metric, split, model)
    sites, note = shown_sites(frame, metric)
    looks = method_looks(names(frame, "method"))
    figure, axes = panels(
        len(sites), width=width, height=0.5 + 0.15 * len(looks), least=min(2.2, width / 2)
    )
    is_tested = metric == "auc" and split == "test" and model in ("kept", "final")
    sure = {(m.site, m.method): m.mean_auc for m in scored_once(run, model)} if is_tested else {}
    kept = values(run, metric, split, "kept").groupby(["site", "method"])["value"].mean()
    for ax, site in zip(axes, sites, strict=True):
        _draw(ax, frame[frame["site"] == site], looks)
        for row, (method, look) in enumerate(looks.items()):
            if (site, method) in sure:
                draw_interval(ax, row, sure[site, method], look)
            if (site, method) in kept.index and model == "final":
                place = [kept[site, method]]
                ax.plot(place, [row + 0.3], color=look.colour, **HOLLOW)
        ax.set_title(short(site))
        label_lowest(ax, f"{label(metric, split)}, {model} model")
    if note:
        figure.suptitle(note)
    if model == "final":
        legend_below(figure, [Line2D([], [], color="black", label="mean of kept models", **HOLLOW)])
    return figure


def draw_interval(ax: Axes, row: float, interval: Interval, look: Look) -> None:
    """Draw from where to where a number may be, as a line with ends in a row of its own."""
    whiskers: dict[str, Any] = {"marker": "|", "ms": 4, "mew": 0.8, "lw": 0.9, "zorder": 1.8}
    ax.plot([interval.low, interval.high], [row] * 2, color=look.colour, **whiskers)


def _draw(ax: Axes, frame: pd.DataFrame, looks: dict[str, Look]) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], min_n_ticks=3))
    ax.grid(axis="x", color="#E4E4E4", linewidth=0.5)
    ax.set_yticks(range(len(looks)), [short(name, 18) for name in looks])
    ax.set_ylim(len(looks) - 0.4, -0.6)
    alone = frame.loc[frame["method"] == ALONE, "value"].mean()
    ax.axvline(alone, color="#555555", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
    for row, (method, look) in enumerate(looks.items()):
        seeds = frame.loc[frame["method"] == method, "value"]
        dots: dict[str, Any] = {"ls": "", "marker": "o", "ms": 3.5, "mew": 0, "alpha": 0.75}
        ax.plot(seeds, [row] * len(seeds), color=look.colour, label=method, **dots)
        if seeds.count() > 1:
            ax.plot([seeds.mean()] * 2, [row - 0.35, row + 0.35], color=look.colour, linewidth=1.6)
