"""What hospitals told of their data: how bright their images are, and how many of each class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.exchange.statistics import CLASSES, GREYS
from federated.plots.rows import MOST_ROWS, name_rows
from federated.plots.style import DOUBLE, SITE_COLOURS, legend_below, panels, site_looks, styled
from federated.statistics.of_data import EVERYONE, Told

MOST_LINES = 8
"""Hospitals with a line of their own; of more, the range is a band."""


@styled
def figure(told: Told, classes: Sequence[str]) -> Figure:
    """Draw the grey levels of each hospital's images, and its images by class.

    Args:
        told: The answers. Of more than 30 hospitals those with the most images have bars.
        classes: What the classes are called, from 0.
    """
    rows = told.numbers.sort_values("images", ascending=False).iloc[:MOST_ROWS]
    figure, (left, right) = panels(
        2, width=DOUBLE, height=max(1.8, 0.35 + 0.2 * len(rows)), least=2.5, sharex=False,
        sharey=False,
    )  # fmt: skip
    lines = _greys(left, told)
    bars = _classes(right, told.numbers.loc[sorted(rows.index)], classes)
    legend_below(figure, [*lines, *bars])
    return figure


def _greys(ax: Axes, told: Told) -> list[Line2D]:
    shares = told.greys()
    middles = (np.arange(GREYS) + 0.5) * 256 / GREYS
    sites = shares.drop(index=EVERYONE, errors="ignore")
    handles = []
    if len(sites) > MOST_LINES:
        values = sites.to_numpy()
        ax.fill_between(middles, values.min(axis=0), values.max(axis=0), color="#DDDDDD", lw=0)
        drawn = shares.loc[[EVERYONE]]
    else:
        drawn = sites
    for name, look in site_looks(drawn.index).items():
        line = ax.plot(middles, drawn.loc[name], look.marker + "-", color=look.colour, ms=2.5, lw=1)
        line[0].set_label(str(name))
        handles.append(line[0])
    ax.set(xlabel="grey, from black to white", ylabel="share of pixels", ylim=(0, None))
    ax.set_title("intensity")
    return handles


def _classes(ax: Axes, numbers: pd.DataFrame, classes: Sequence[str]) -> list[BarContainer]:
    handles, start = [], np.zeros(len(numbers))
    for k, word in enumerate(classes):
        values = numbers.reindex(columns=[CLASSES[k]]).fillna(0.0).to_numpy().ravel()
        handles.append(
            ax.barh(
                range(len(numbers)), values, left=start, height=0.6, label=word,
                color=SITE_COLOURS[(5 + 2 * k) % len(SITE_COLOURS)],
            )
        )  # fmt: skip
        start = start + values
    name_rows(ax, [str(name) for name in numbers.index])
    ax.set_xlabel("images; a withheld count has no bar")
    ax.set_title("images by class")
    return handles
