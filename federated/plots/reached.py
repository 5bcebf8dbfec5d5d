"""When each hospital reached something together and alone: a lane each, or the share of many."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from federated.plots.rows import rows_axis
from federated.plots.style import Look, short
from federated.plots.time_axis import JOIN
from federated.rollout.scenario import Hospital
from federated.statistics.targets import middle

EDGE = 1.05
"""Where what was not reached is marked, as a share of the run's length."""

TICK: dict[str, Any] = {"ls": "", "marker": "|", "ms": 8, "mew": 0.8, "color": JOIN}
LIVE: dict[str, Any] = {"color": JOIN, "lw": 0.8, "ls": (0, (1, 1.5))}
SEED: dict[str, Any] = {"ls": "", "marker": "o", "ms": 1.7, "mew": 0}
LATE: dict[str, Any] = {"ls": "", "marker": ">", "ms": 4, "mew": 0, "color": JOIN}


class Course(NamedTuple):
    """To learn together or alone: the column of the weeks, and how they are drawn."""

    column: str
    label: str
    colour: str
    mark: Mapping[str, Any]
    line: Any


def together(look: Look, method: str) -> Course:
    """Return the course of a method, its weeks in the column ``reached_week``."""
    mark = {"marker": "o", "ms": 4.0, "mew": 0, "color": look.colour}
    return Course("reached_week", f"together: {short(method)}", look.colour, mark, "-")


def alone(look: Look) -> Course:
    """Return the course of each hospital alone, its weeks in the column ``alone_week``."""
    ring = {"marker": "o", "ms": 6.5, "mew": 1.0, "mfc": "white", "mec": look.colour}
    return Course("alone_week", "alone", look.colour, ring, (0, (4, 1.5)))


def draw_lanes(
    ax: Axes,
    frame: pd.DataFrame,
    courses: Sequence[Course],
    hospitals: Sequence[Hospital],
    *,
    end: float,
) -> None:
    """Draw a lane per hospital with a mark per course, the median over seeds.

    Args:
        ax: Where.
        frame: One row per seed and site, a column of weeks per course; NaN: never.
        courses: In the order of drawing.
        hospitals: A lane each, the first on top.
        end: Of the run, weeks; what was not reached by then is an arrow behind it.
    """
    late = EDGE * end
    for lane, hospital in enumerate(hospitals):
        rows = frame[frame["site"] == hospital.name]
        medians = [middle(rows[course.column]) for course in courses if len(rows)]
        weeks = [late if isnan(week) else week for week in medians]
        ax.plot(weeks, [lane] * len(weeks), color="#BBBBBB", linewidth=1.2, zorder=1.5)
        for course, week in zip(courses, weeks, strict=False):
            arrow = {"marker": ">"} if week > end else {}
            ax.plot([week], [lane], ls="", label=course.column, **{**course.mark, **arrow})
            if len(rows) > 1:
                seeds = rows[course.column].fillna(late)
                ax.plot(seeds, [lane + 0.34] * len(rows), color=course.colour, **SEED)
    ax.plot([hospital.go_live for hospital in hospitals], range(len(hospitals)), **TICK)
    rows_axis(ax, [hospital.name for hospital in hospitals], 20)
    ax.axvline(end, color="#AAAAAA", linewidth=0.6, linestyle=(0, (4, 2)), zorder=1)
    ax.set_xlim(-0.02 * end, (2 * EDGE - 1) * end)


def draw_shares(
    ax: Axes,
    frame: pd.DataFrame,
    courses: Sequence[Course],
    hospitals: Sequence[Hospital],
    *,
    end: float,
) -> None:
    """Draw which share of hospitals has gone live, and has reached it, by each week."""
    live = frame["site"].map({hospital.name: hospital.go_live for hospital in hospitals})
    _steps(ax, live, end, label="live", **LIVE)
    for course in courses:
        _steps(
            ax, frame[course.column], end, color=course.colour, ls=course.line, label=course.column
        )
    ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    ax.set_ylim(0, 1.03)
    ax.set_xlim(0, end)


def _steps(ax: Axes, weeks: pd.Series, end: float, **look: Any) -> None:
    known = weeks.dropna().sort_values().to_list()
    shares = [place / len(weeks) for place in range(len(known) + 1)]
    ax.step([0.0, *known, end], [*shares, shares[-1]], where="post", **look)


def share_handles(courses: Sequence[Course]) -> list[Line2D]:
    """Return a legend's entries for ``draw_shares``."""
    lines = [
        Line2D([], [], color=course.colour, ls=course.line, label=course.label)
        for course in courses
    ]
    return [*lines, Line2D([], [], **LIVE, label="gone live")]


def lane_handles(frame: pd.DataFrame, courses: Sequence[Course]) -> list[Line2D]:
    """Return a legend's entries for ``draw_lanes``."""
    marks = [
        Line2D([], [], **{**course.mark, "ls": "", "label": course.label}) for course in courses
    ]
    marks.append(Line2D([], [], **TICK, label="goes live"))
    if frame["seed"].nunique() > 1:
        marks.append(Line2D([], [], **{**SEED, "color": JOIN, "label": "a seed"}))
    if frame[[course.column for course in courses]].isna().any(axis=None):
        marks.append(Line2D([], [], **LATE, label="not reached in this run"))
    return marks
