"""What newcomers gained, and how the others moved when they came."""

from functools import partial
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.answers.answer import Answer, TextTable
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.plot import Plot
from federated.plots.rows import LINE, MOST_ROWS, heights, over_seeds, rows_axis, shifts
from federated.plots.style import DOUBLE, Look, legend_below, method_looks, panels, short, styled
from federated.plots.text import TextColumns, text_table
from federated.plots.time_axis import needs_timeline, weeks_axis, when
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.columns import CELL, ROUND, SITE
from federated.runs.history import evaluations, events, gains, sharing_methods
from federated.runs.once import once
from federated.runs.reading import Run

ROUNDS_AFTER_JOIN = 3

DRAWN = {
    "own_gain": ("What the newcomer gained", "AUC over alone (test)"),
    "others_change": ("How the others moved meanwhile", "change of their AUC (validation)"),
}
ZERO: dict[str, Any] = {"color": LINE, "linewidth": 0.8, "linestyle": (0, (4, 2)), "zorder": 1}


@once
def numbers(run: Run) -> pd.DataFrame:
    """Return what each newcomer gained, and how the others fared while it joined.

    Newcomers joined in a later round than the first hospitals of their method and seed.
    ``others_change`` is an observed difference, not the newcomer's doing: the others go on
    training all the while, and others may join or leave. What it caused, ``consilium
    contribution`` tells, by running the same rollout without it.

    Returns:
        One row per method, seed and joiner: ``week`` in which it joined, ``own_gain`` (test AUC of
        its kept model over alone), ``others`` (how many hospitals the change is a mean over) and
        ``others_change`` (their validation AUC, from each one's last evaluation before the joining
        round to its last within 3 rounds after, or ``eval.every`` if these are more).
    """
    joined = events(run, "hospital-joined", [*ROUND, "site", "hours"])
    joined = joined[joined["method"].isin(sharing_methods(run))]
    # Where a hospital was unlearned, others have to join again.
    joined = joined.drop_duplicates(SITE)
    joined = joined[joined["round"] > joined.groupby(CELL)["round"].transform("min")]
    aucs = evaluations(run).dropna(subset=["val"])
    after = max(ROUNDS_AFTER_JOIN, run.study.common.eval.every)
    of_cell = {cell: Aucs(rows, after) for cell, rows in aucs.groupby(CELL)}
    rows = []
    for method, seed, round, joiner, hours in joined.itertuples(index=False, name=None):
        change = pd.Series(dtype=float)
        if cell := of_cell.get((method, seed)):
            change = cell.change_around(round).drop(joiner, errors="ignore").dropna()
        rows.append((method, seed, joiner, hours / HOURS_PER_WEEK, len(change), change.mean()))
    columns = [*CELL, "joiner", "week", "others", "others_change"]
    table = pd.DataFrame(rows, columns=columns)
    gained = gains(run).rename(columns={"site": "joiner", "gain": "own_gain"})
    return table.merge(gained[[*CELL, "joiner", "own_gain"]], on=[*CELL, "joiner"], how="left")


class Aucs:
    """The validation AUCs of a cell as rounds x sites.

    Args:
        rows: Rows of ``evaluations``.
        after: Rounds after a joining that are looked at.
    """

    def __init__(self, rows: pd.DataFrame, after: int) -> None:
        self._after = after
        self._aucs = rows.pivot(index="round", columns="site", values="val")
        # Once for all newcomers: to go through all rounds again for each would be quadratic.
        self._latest = self._aucs.ffill()

    def change_around(self, round: int) -> pd.Series:
        """Return each site's last AUC in the rounds since ``round`` minus its last before."""
        after = self._aucs.loc[round : round + self._after].ffill()
        return self._last(after) - self._last(self._latest.loc[: round - 1])

    def _last(self, aucs: pd.DataFrame) -> pd.Series:
        nothing = pd.Series(float("nan"), index=self._aucs.columns)
        return nothing if aucs.empty else aucs.iloc[-1]


def table(run: Run) -> pd.DataFrame:
    """Return each newcomer's gain and how the others fared."""
    columns: TextColumns = {
        "week": ("joined", partial(when, run)),
        "own_gain": ("its AUC over alone (test)", "{:+z.3f}"),
        "others_change": ("change of the others' AUC", "{:+z.3f}"),
        "others": ("others", "{:.0f}"),
    }
    return text_table(numbers(run), ["joiner", "method"], columns)


@styled
def figure(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw each newcomer's gain over alone and, beside it, the change of the others' AUC.

    A row per newcomer in the order of joining, a mark per method: the mean over seeds, with their
    range. Of more than 30 newcomers a dot each over the week in which it joined. The change of the
    others is observed, not caused by the newcomer. A panel without a number is left out.

    Raises:
        NothingToDrawError: the run is no rollout, or nobody has joined late.
    """
    needs_timeline(run)
    frame = numbers(run)
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


ANSWER = Answer(
    "joining",
    numbers,
    (
        TextTable(
            "Newcomers",
            table,
            "change of the others: validation AUC from their last evaluation before to 3 rounds "
            "after (or eval.every, if more), an observed difference and not the newcomer's doing; "
            "for that: consilium contribution",
        ),
    ),
    (
        Plot(
            "rollout-joining",
            "What newcomers gained over alone, and how the others' AUC moved from before to 3 "
            "rounds after: observed, not the newcomer's doing. Lines: range of the seeds.",
            figure,
            is_of_rollout=True,
        ),
    ),
    "nobody has joined others that were there before.",
)
