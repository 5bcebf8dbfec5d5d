"""The chosen models side by side, every seed a dot."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from federated.config.presets import ALONE
from federated.plots.numbers import defined, label, names, shown_sites
from federated.plots.style import DOUBLE, Look, label_lowest, method_looks, panels, short, styled
from federated.runs.reading import Run


@styled
def comparison(
    run: Run,
    metric: str = "auc",
    split: str = "test",
    model: str = "kept",
    *,
    width: float = DOUBLE,
) -> Figure:
    """Draw a metric of the chosen models: a panel per site, a row per method, a dot per seed.

    A bar marks the mean over seeds. The dashed line is the mean of ``local`` at that site: a
    method on its wrong side is of no use to that hospital.

    Raises:
        NothingToDrawError: the run has no such numbers.
    """
    frame = defined(run, metric, split, model)
    sites, note = shown_sites(frame, metric)
    looks = method_looks(names(frame, "method"))
    figure, axes = panels(
        len(sites), width=width, height=0.5 + 0.15 * len(looks), least=min(2.2, width / 2)
    )
    for ax, site in zip(axes, sites, strict=True):
        _draw(ax, frame[frame["site"] == site], looks)
        ax.set_title(short(site))
        label_lowest(ax, f"{label(metric, split)}, {model} model")
    if note:
        figure.suptitle(note)
    return figure


def _draw(ax: Axes, frame: pd.DataFrame, looks: dict[str, Look]) -> None:
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
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
