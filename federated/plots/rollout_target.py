"""When each hospital reached its target AUC, a lane each."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from federated.config.presets import ALONE
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.reached import (
    Course,
    alone,
    draw_lanes,
    draw_shares,
    lane_handles,
    share_handles,
    together,
)
from federated.plots.rows import MOST_ROWS, heights
from federated.plots.style import DOUBLE, legend_below, method_looks, panels, short, styled
from federated.plots.time_axis import joined, needs_timeline, weeks_axis
from federated.rollout.scenario import HOURS_PER_WEEK
from federated.runs.reading import Run
from federated.statistics.reaching import numbers


@styled
def rollout_target(run: Run, target: float | None = None, *, width: float = DOUBLE) -> Figure:
    """Draw when each hospital reached its target AUC together and alone, a panel per method.

    A lane per hospital, those that join first on top. With several seeds a mark is their median,
    for which a seed that never reached it counts as later than all others; small dots are the
    seeds. What was not reached in the run is an arrow at the right edge. Of more than 30 hospitals
    the share that has reached it is drawn over time.

    Args:
        run: The run.
        target: As in ``numbers``.
        width: Of the figure in inches.

    Raises:
        NothingToDrawError: the run is no rollout, or no hospital has a target.
    """
    frame, there = _weeks(run, target), joined(run)
    methods, frame = names(frame, "method"), frame[frame["site"].isin(there)]
    lanes = sorted((there[name] for name in names(frame, "site")), key=lambda h: h.go_live)
    is_few, end = len(lanes) <= MOST_ROWS, run.last_hour / HOURS_PER_WEEK
    height = heights(len(lanes)) if is_few else 2.4
    figure, axes = panels(len(methods), width=width, height=height, least=2.6)
    figure.set_figwidth(width)
    draw = draw_lanes if is_few else draw_shares
    for ax, method in zip(axes, methods, strict=True):
        draw(ax, frame[frame["method"] == method], _courses(run, [method]), lanes, end=end)
        ax.set_title(short(method))
    weeks_axis(run, axes, ticks=10 if len(axes) == 1 else 5)
    courses = _courses(run, methods)
    if not is_few:
        axes[0].set_ylabel("share of hospitals and seeds")
    legend_below(figure, lane_handles(frame, courses) if is_few else share_handles(courses))
    return figure


def _weeks(run: Run, target: float | None) -> pd.DataFrame:
    """Return the weeks together and alone of every method but ``local``."""
    needs_timeline(run)
    frame = numbers(run, target).dropna(subset=["target"])
    frame = frame[frame["method"] != ALONE]
    if frame.empty:
        raise NothingToDrawError(
            f"{run.folder} has no target AUC to reach together: the scenario states none, or no "
            "hospital has been evaluated both together and alone (local)."
        )
    return frame.assign(alone_week=frame["alone_hours"] / HOURS_PER_WEEK)


def _courses(run: Run, methods: Sequence[str]) -> list[Course]:
    """Return alone, if the run has it, and together, in the order of drawing."""
    # Of the whole run, so that a method looks the same in every figure.
    looks = method_looks(run.study.common.methods)
    by_itself = [alone(looks[ALONE])] if ALONE in looks else []
    return [*by_itself, *(together(looks[method], method) for method in methods)]
