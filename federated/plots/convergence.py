"""Metrics over rounds, site by site."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.plots.lines import draw_methods, finish, handles
from federated.plots.numbers import (
    defined,
    kept_rounds,
    label,
    names,
    rounds_apart,
    shown_sites,
)
from federated.plots.style import (
    DOUBLE,
    Look,
    legend_below,
    method_looks,
    panels,
    short,
    styled,
)
from federated.runs.reading import Run

RING: dict[str, Any] = {"marker": "o", "ls": "", "ms": 5.5, "mfc": "none", "mew": 0.8}


@styled
def convergence(
    run: Run, metric: str = "auc", split: str = "val", *, width: float = DOUBLE
) -> Figure:
    """Draw a metric over rounds, a panel per site and a line per method.

    With several seeds the line is their mean and, of up to 5 methods, the band runs from the
    lowest to the highest. Rings mark the rounds that the site's validation images chose, one a
    seed. Of more than 12 sites the 12 worst are drawn. A site that missed a round has a gap there.

    Raises:
        NothingToDrawError: the run has no such numbers.
    """
    frame = defined(run, metric, split)
    sites, note = shown_sites(frame, metric)
    looks = method_looks(names(frame, "method"))
    kept = kept_rounds(run)
    figure, axes = panels(len(sites), width=width)
    for ax, site in zip(axes, sites, strict=True):
        draw_methods(ax, frame[frame["site"] == site], looks, rounds_apart(run, split))
        _ring(ax, frame[frame["site"] == site], kept[kept["site"] == site], looks)
        ax.set_title(short(site))
    finish(figure, axes, label(metric, split), note)
    rings = [Line2D([], [], color="black", label="round kept", **RING)]
    legend_below(figure, handles(looks) + (rings if len(kept) else []))
    return figure


@styled
def training_loss(run: Run, metric: str = "cross_entropy", *, width: float = DOUBLE) -> Figure:
    """Draw a loss on the training images over rounds, a panel per site and a line per method.

    The default leaves the contrastive and proximal terms out, so that methods compare; ``loss``
    is what was minimised.

    Raises:
        NothingToDrawError: the run has no such numbers.
    """
    return convergence(run, metric, "train", width=width)


def _ring(ax: Axes, frame: pd.DataFrame, kept: pd.DataFrame, looks: Mapping[str, Look]) -> None:
    """Ring the kept rounds of one site on the lines drawn for its methods."""
    drawn = frame.groupby(["method", "round"])["value"].mean()
    for method, chosen in kept.groupby("method", sort=False):
        rounds = sorted(set(chosen["kept"]))
        values = [drawn.get((method, round), math.nan) for round in rounds]
        ax.plot(rounds, values, color=looks[str(method)].colour, **RING)
