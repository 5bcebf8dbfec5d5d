"""The target AUC as a level in a figure over virtual time, and where it was reached."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from federated.config.presets import ALONE
from federated.plots.style import Look
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.history import evaluations
from federated.runs.reading import Run
from federated.statistics.targets import first_held, middle, targets_of

LEVEL: dict[str, Any] = {"color": "#222222", "lw": 0.8, "ls": (0, (5, 1.5, 1, 1.5)), "zorder": 1.5}
SPREAD: dict[str, Any] = {"facecolor": "#222222", "alpha": 0.08, "linewidth": 0, "zorder": 0.4}
REACHED: dict[str, Any] = {"ls": "", "marker": "D", "ms": 5, "mew": 0.6, "mec": "white"}


def weeks_reached(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when a rollout's targets were reached, those that were.

    Args:
        run: The run.
        target: As for ``targets_of``.

    Returns:
        Columns method, site, ``week`` (the median over seeds, never being later than all) and
        ``target`` (AUC).
    """
    targets = targets_of(run, target)
    held = first_held(evaluations(run), targets)
    weeks = held.groupby(["method", "site"], sort=False)["reached_hours"].agg(middle)
    table = (weeks / HOURS_PER_WEEK).rename("week").reset_index().dropna(subset=["week"])
    return table.merge(targets[["site", "target"]], on="site", how="left")


def draw_target(ax: Axes, target: pd.DataFrame) -> None:
    """Draw the target of one hospital, a row of ``targets_of`` or none, and its interval.

    The interval does not stretch the axis.
    """
    for row in target.dropna(subset=["target"]).to_dict("records"):
        ax.axhline(row["target"], label="target", **LEVEL)
        if pd.notna(row["target_low"]):
            height, across = row["target_high"] - row["target_low"], ax.get_yaxis_transform()
            band = Rectangle((0, row["target_low"]), 1, height, transform=across, **SPREAD)
            ax.add_artist(band)


def mark_reached(
    ax: Axes, reached: pd.DataFrame, looks: Mapping[str, Look], level: str | None = None
) -> None:
    """Mark when one hospital's target was reached, in the colour of each method.

    Args:
        ax: Where.
        reached: Rows of ``weeks_reached`` of the hospital.
        looks: Of each method.
        level: The column of the height of a mark; none: at zero.
    """
    for row in reached.to_dict("records"):
        height = row[level] if level else 0.0
        ax.plot(
            [row["week"]],
            [height],
            color=looks[str(row["method"])].colour,
            label=f"{row['method']}, reached",
            zorder=4,
            **REACHED,
        )


def target_handles(targets: pd.DataFrame) -> list[Line2D | Patch]:
    """Return a legend's entries for ``draw_target``."""
    if targets["target"].isna().all():
        return []
    level = Line2D([], [], label="target AUC", **LEVEL)
    if targets["target_low"].isna().all():
        return [level]
    return [level, Rectangle((0, 0), 1, 1, label="its 95 % interval", **SPREAD)]


def reached_handles(reached: pd.DataFrame, looks: Mapping[str, Look]) -> list[Line2D]:
    """Return a legend's entries for ``mark_reached``: together in black, alone in its colour."""
    marks = []
    if (reached["method"] != ALONE).any():
        marks.append(Line2D([], [], color="black", label="target reached", **REACHED))
    if (reached["method"] == ALONE).any():
        alone = looks[ALONE].colour
        marks.append(Line2D([], [], color=alone, label="target reached alone", **REACHED))
    return marks
