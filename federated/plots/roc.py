"""ROC curves of the chosen models on the sites' test images."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from federated.learning.metrics import auc
from federated.learning.metrics import roc as roc_points
from federated.plots.numbers import (
    NothingToDrawError,
    of_two_classes,
    shown_sites,
    used_or_kept,
    values,
)
from federated.plots.style import (
    DOUBLE,
    Look,
    label_lowest,
    label_rows,
    method_looks,
    panels,
    short,
    styled,
)
from federated.runs.reading import Run

Curves = Mapping[tuple[str, str, int], pd.DataFrame]
"""Predictions on test images by site, method and seed."""

TICKS = (0, 0.25, 0.5, 0.75, 1)


@styled
def roc(run: Run, which: str = "", *, width: float = DOUBLE) -> Figure:
    """Draw the ROC of a chosen model on test images, a panel per site and a line per method.

    Every seed has its own thin curve. The legend gives the mean of the seeds' AUCs and, in
    brackets, the lowest and the highest; curves of several seeds or sites are never pooled. Reads
    the sites' predictions, which is possible only in a simulation, where all sites share a disk.

    Args:
        run: the run.
        which: ``kept`` or ``final``; empty: what the hospitals use by now.
        width: of the figure in inches.

    Raises:
        NothingToDrawError: no site's predictions are readable here.
    """
    of_two_classes(run, "the ROC")
    which = which or used_or_kept(run)
    sites, note = shown_sites(values(run, "auc", "test", "kept"), "auc")
    curves = _predictions(run, sites, which)
    if not curves:
        raise NothingToDrawError(f"{run.folder} holds no predictions-{which}.csv with test images.")
    sites = [site for site in sites if any(site == key[0] for key in curves)]
    looks = method_looks(method for method in run.study.common.methods
                         if any(method == key[1] for key in curves))  # fmt: skip
    figure, axes = panels(len(sites), width=width, least=min(2.2, width / 2), square=True)
    for ax, site in zip(axes, sites, strict=True):
        _draw_site(ax, {key: table for key, table in curves.items() if key[0] == site}, looks)
        ax.set_title(short(site))
        label_lowest(ax, "1 − specificity")
    label_rows(axes, "sensitivity")
    if note:
        figure.suptitle(note)
    return figure


def _predictions(run: Run, sites: list[str], which: str) -> Curves:
    curves = {}
    for site in sites:
        for method, seed in run.study.cells():
            try:
                table = run.predictions(site, method, seed, which)
            except FileNotFoundError:
                continue
            test = table[table["split"] == "test"]
            if len(test):
                curves[site, method, seed] = test
    return curves


def _draw_site(ax: Axes, curves: Curves, looks: Mapping[str, Look]) -> None:
    ax.plot([0, 1], [0, 1], color="#999999", linewidth=0.7, linestyle=(0, (2, 2)), zorder=1)
    ax.set_aspect("equal")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=TICKS, yticks=TICKS)
    for method, look in looks.items():
        tables = [table for key, table in curves.items() if key[1] == method]
        areas = []
        for table in tables:
            scores, labels = table["probability"].to_numpy(), table["label"].to_numpy()
            fpr, tpr, _ = roc_points(scores, labels)
            areas.append(auc(scores, labels))
            ax.plot(
                fpr, tpr, color=look.colour, linestyle=look.line,
                linewidth=1.2 if len(tables) == 1 else 0.6,
                label=_legend(method, areas) if len(areas) == len(tables) else None,
            )  # fmt: skip
    ax.legend(loc="lower right", title="AUC", title_fontsize=6, fontsize=6, labelspacing=0.25,
              handlelength=2.2, borderaxespad=0.2, alignment="left", frameon=True,
              framealpha=0.9, edgecolor="none", facecolor="white")  # fmt: skip


def _legend(method: str, areas: list[float]) -> str:
    name = short(method, 16)
    known = [area for area in areas if np.isfinite(area)]
    if not known:
        return f"{name} undefined"
    mean = f"{name} {np.mean(known):.3f}"
    return mean + (f" ({min(known):.3f}–{max(known):.3f})" if len(known) > 1 else "")
