"""When each hospital reaches its target AUC, together and alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from federated.answers.rollout_answers import time_to_target
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.rollout_axis import JOIN, joined, needs_timeline, weeks_axis
from federated.plots.rows import MOST_ROWS, heights, rows_axis
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, short, styled
from federated.rollout.scenario import HOURS_PER_WEEK, Hospital
from federated.runs.history import ALONE
from federated.runs.reading import Run

EDGE = 1.05
"""Where what was not reached is marked, as a share of the run's length."""

TICK: dict[str, Any] = {"ls": "", "marker": "|", "ms": 8, "mew": 0.8, "color": JOIN}
LIVE: dict[str, Any] = {"color": JOIN, "lw": 0.8, "ls": (0, (1, 1.5))}
SEED: dict[str, Any] = {"ls": "", "marker": "o", "ms": 1.7, "mew": 0}
LATE: dict[str, Any] = {"ls": "", "marker": ">", "ms": 4, "mew": 0, "color": JOIN}


class Way(NamedTuple):
    """One of the two ways to the target: the column of its weeks, and how it is drawn."""

    column: str
    label: str
    colour: str
    mark: Mapping[str, Any]
    line: Any


@styled
def rollout_target(run: Run, target: float | None = None, *, width: float = DOUBLE) -> Figure:
    """Draw when each hospital reached its target AUC together and alone, a panel per method.

    A lane per hospital, those that join first on top. With several seeds a mark is their median,
    for which a seed that never reached it counts as later than all others; small dots are the
    seeds. What was not reached in the run is an arrow at the right edge. Of more than 30 hospitals
    the share that has reached it is drawn over time.

    Args:
        run: The run.
        target: As in ``time_to_target``.
        width: Of the figure in inches.

    Raises:
        NothingToDrawError: the run is no rollout, or no hospital has a target.
    """
    frame = _weeks(run, target)
    of, methods = joined(run), names(frame, "method")
    frame = frame[frame["site"].isin(of)]
    lanes = sorted(names(frame, "site"), key=lambda name: of[name].go_live)
    is_few, end = len(lanes) <= MOST_ROWS, run.timeline["end"].max() / HOURS_PER_WEEK
    height = heights(len(lanes)) if is_few else 2.4
    figure, axes = panels(len(methods), width=width, height=height, least=2.6)
    figure.set_figwidth(width)
    for ax, method in zip(axes, methods, strict=True):
        rows, ways = frame[frame["method"] == method], _ways(run, method)
        if is_few:
            _draw_lanes(ax, rows, ways, lanes, end=end)
            ax.plot([of[name].go_live for name in lanes], range(len(lanes)), **TICK)
        else:
            _draw_shares(ax, rows, ways, of, end=end)
        ax.set_title(short(method))
    weeks_axis(run, axes, ticks=10 if len(axes) == 1 else 5)
    if is_few:
        legend_below(figure, _mark_handles(run, frame))
    else:
        axes[0].set_ylabel("share of hospitals and seeds")
        legend_below(figure, _line_handles(run, methods))
    return figure


def _weeks(run: Run, target: float | None) -> pd.DataFrame:
    """Return the weeks together and alone of every method but ``local``."""
    needs_timeline(run)
    frame = time_to_target(run, target).dropna(subset=["target"])
    frame = frame[frame["method"] != ALONE]
    if frame.empty:
        raise NothingToDrawError(
            f"{run.folder} has no target AUC to reach together: the scenario states none, or no "
            "hospital has been evaluated both together and alone (local)."
        )
    return frame.assign(alone_week=frame["alone_hours"] / HOURS_PER_WEEK)


def _ways(run: Run, method: str) -> list[Way]:
    """Return alone, if the run has it, and together, in the order of drawing."""
    # Of the whole run, so that a method looks the same in every figure.
    looks = method_looks(run.study.common.methods)
    colour = looks[method].colour
    mark = {"marker": "o", "ms": 4.0, "mew": 0, "color": colour}
    together = Way("reached_week", f"together: {short(method)}", colour, mark, "-")
    if ALONE not in looks:
        return [together]
    grey = looks[ALONE].colour
    ring = {"marker": "o", "ms": 6.5, "mew": 1.0, "mfc": "white", "mec": grey}
    return [Way("alone_week", "alone", grey, ring, (0, (4, 1.5))), together]


def _draw_lanes(
    ax: Axes, frame: pd.DataFrame, ways: Sequence[Way], lanes: Sequence[str], *, end: float
) -> None:
    late = EDGE * end
    for lane, site in enumerate(lanes):
        rows = frame[frame["site"] == site]
        weeks = [rows[way.column].fillna(late).median() for way in ways if len(rows)]
        ax.plot(weeks, [lane] * len(weeks), color="#BBBBBB", linewidth=1.2, zorder=1.5)
        for way, week in zip(ways, weeks, strict=False):
            arrow = {"marker": ">"} if week > end else {}
            ax.plot([week], [lane], ls="", label=way.column, **{**way.mark, **arrow})
            if len(rows) > 1:
                seeds = rows[way.column].fillna(late)
                ax.plot(seeds, [lane + 0.34] * len(rows), color=way.colour, **SEED)
    rows_axis(ax, lanes, 20)
    ax.axvline(end, color="#AAAAAA", linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
    ax.set_xlim(-0.02 * end, (2 * EDGE - 1) * end)


def _draw_shares(
    ax: Axes, frame: pd.DataFrame, ways: Sequence[Way], of: Mapping[str, Hospital], *, end: float
) -> None:
    """Draw which share of hospitals has gone live, and has reached its target, by each week."""
    live = frame["site"].map({name: hospital.go_live for name, hospital in of.items()})
    _steps(ax, live, end, label="live", **LIVE)
    for way in ways:
        _steps(ax, frame[way.column], end, color=way.colour, ls=way.line, label=way.column)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylim(0, 1.03)
    ax.set_xlim(0, end)


def _steps(ax: Axes, weeks: pd.Series, end: float, **look: Any) -> None:
    known = weeks.dropna().sort_values().to_list()
    shares = [place / len(weeks) for place in range(len(known) + 1)]
    ax.step([0.0, *known, end], [*shares, shares[-1]], where="post", **look)


def _all_ways(run: Run, methods: Sequence[str]) -> list[Way]:
    return [*_ways(run, methods[0])[:-1], *(_ways(run, method)[-1] for method in methods)]


def _line_handles(run: Run, methods: Sequence[str]) -> list[Line2D]:
    lines = [
        Line2D([], [], color=way.colour, ls=way.line, label=way.label)
        for way in _all_ways(run, methods)
    ]
    return [*lines, Line2D([], [], **LIVE, label="gone live")]


def _mark_handles(run: Run, frame: pd.DataFrame) -> list[Line2D]:
    ways = _all_ways(run, names(frame, "method"))
    marks = [Line2D([], [], **{**way.mark, "ls": "", "label": way.label}) for way in ways]
    marks.append(Line2D([], [], **TICK, label="goes live"))
    if frame["seed"].nunique() > 1:
        marks.append(Line2D([], [], **{**SEED, "color": JOIN, "label": "a seed"}))
    if frame[[way.column for way in ways]].isna().any(axis=None):
        marks.append(Line2D([], [], **LATE, label="not reached in this run"))
    return marks
