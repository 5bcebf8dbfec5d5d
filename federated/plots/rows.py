"""Figures with a row per hospital: how high a row is, what it is called, and its seeds."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from federated.plots.style import short

MOST_ROWS = 30
"""More rows than this are not read."""

ROW = 0.17
"""Height of a row in inches."""

LINE = "#555555"


def name_rows(ax: Axes, labels: Sequence[str], length: int = 24) -> None:
    """Name the rows, the first on top, and lay a grid across them; arguments of ``rows_axis``."""
    ax.set_yticks(range(len(labels)), [short(label, length) for label in labels])
    ax.set_ylim(len(labels) - 0.4, -0.6)
    ax.grid(axis="x", color="#E4E4E4", linewidth=0.5)


def rows_axis(ax: Axes, labels: Sequence[str], length: int = 24) -> None:
    """Name the rows, the first on top, and lay no grid but across them.

    Args:
        ax: One of the axes that share the rows.
        labels: A row's name.
        length: Letters that fit before an axis; of a longer name a part is left out.
    """
    name_rows(ax, labels, length)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")


def heights(count: int) -> float:
    """Return the height in inches of a panel with so many rows and an axis under them."""
    return 0.45 + ROW * count


def shifts(count: int) -> list[float]:
    """Return where so many marks of one row lie, in rows off its middle."""
    step = min(0.24, 0.72 / count)
    return [step * (place - (count - 1) / 2) for place in range(count)]


def over_seeds(frame: pd.DataFrame, by: list[str], value: str) -> pd.DataFrame:
    """Return mean, least and most of ``value`` over seeds as columns mean, low, high.

    The first column of ``by`` is in the order of the frame; groups without a number are left out.
    """
    table = frame.groupby(by, sort=False)[value].agg(["mean", "min", "max"]).reset_index()
    return table.rename(columns={"min": "low", "max": "high"}).dropna(subset=["mean"])
