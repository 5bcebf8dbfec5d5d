"""What newcomers gained, and how the others moved when they came."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.answers.rollout_answers import joining
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.rollout_axis import needs_timeline, weeks_axis, when
from federated.plots.rows import LINE, MOST_ROWS, heights, over_seeds, rows_axis, shifts
from federated.plots.style import DOUBLE, Look, legend_below, method_looks, panels, short, styled
from federated.runs.reading import Run

DRAWN = {
    "own_gain": ("What the newcomer gained", "AUC over alone (test)"),
    "others_change": ("How the others moved meanwhile", "change of their AUC (validation)"),
}
ZERO: dict[str, Any] = {"color": LINE, "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 1}


@styled
def rollout_joining(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw each newcomer's gain over alone and, beside it, the change of the others' AUC.

    A row per newcomer in the order of joining, a mark per method: the mean over seeds, with their
    range. Of more than 30 newcomers a dot each over the week in which it joined. The change of the
    others is observed, not caused by the newcomer. A panel without a number is left out.

    Raises:
        NothingToDrawError: the run is no rollout, or nobody has joined late.
    """
    needs_timeline(run)
    frame = joining(run)
    drawn = [column for column in DRAWN if frame[column].notna().any()]
    if not drawn:
        raise NothingToDrawError(f"{run.folder} has no newcomer whose AUC is known.")
    # Of the whole run, so that a method looks the same in every figure.
    every = method_looks(run.study.common.methods)
    looks = {name: every[name] for name in names(frame, "method")}
    weeks = frame.groupby("joiner")["week"].mean().sort_values(kind="stable")
    is_few = len(weeks) <= MOST_ROWS
    figure, axes = panels(
        len(drawn),
        width=width,
        height=heights(len(weeks)) if is_few else 2.4,
        least=2.6,
        sharex=True if not is_few else "col",
        sharey=is_few,
    )
    for ax, column in zip(axes, drawn, strict=True):
        title, label = DRAWN[column]
        ax.set_title(title)
        if is_few:
            _draw_rows(ax, frame, column, list(weeks.index), looks)
            rows_axis(ax, [f"{short(str(n), 18)}, {when(run, w)}" for n, w in weeks.items()], 40)
            ax.set_xlabel(label)
        else:
            _draw_weeks(ax, frame, column, looks)
            ax.set_ylabel(label)
    if not is_few:
        weeks_axis(run, axes)
    legend_below(
        figure,
        [
            Line2D([], [], ls="", color=look.colour, marker=look.marker, ms=4, label=short(name))
            for name, look in looks.items()
        ],
    )
    return figure


def _draw_rows(
    ax: Axes, frame: pd.DataFrame, column: str, joiners: list[str], looks: dict[str, Look]
) -> None:
    ax.axvline(0.0, **ZERO)
    table = over_seeds(frame, ["method", "joiner"], column)
    for (method, look), shift in zip(looks.items(), shifts(len(looks)), strict=True):
        rows = table[table["method"] == method]
        places = [joiners.index(name) + shift for name in rows["joiner"]]
        ax.hlines(places, rows["low"], rows["high"], color=look.colour, linewidth=1.0)
        ax.plot(rows["mean"], places, ls="", color=look.colour, marker=look.marker, ms=4)


def _draw_weeks(ax: Axes, frame: pd.DataFrame, column: str, looks: dict[str, Look]) -> None:
    ax.axhline(0.0, **ZERO)
    means = frame.groupby(["method", "joiner"])[["week", column]].mean()
    for method, look in looks.items():
        rows = means.loc[method]
        style: dict[str, Any] = {"marker": look.marker, "ms": 3, "mew": 0, "alpha": 0.6}
        ax.plot(rows["week"], rows[column], ls="", color=look.colour, label=method, **style)
