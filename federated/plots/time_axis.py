"""The axis of virtual time: weeks, dates or hours, and who joined when."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from federated.plots.numbers import NothingToDrawError, with_gaps
from federated.plots.style import label_lowest, label_rows
from federated.rollout.scenario import HOURS_PER_WEEK, Hospital, date_of
from federated.runs.history import hospitals
from federated.runs.reading import Run

JOIN = "#555555"

INCHES_A_DATE = 0.8


def needs_timeline(run: Run) -> None:
    """Do nothing if the run is a rollout.

    Raises:
        NothingToDrawError: it is none.
    """
    if run.timeline.empty:
        raise NothingToDrawError(f"{run.folder} has no timeline: it is no rollout.")


def joined(run: Run) -> dict[str, Hospital]:
    """Return the hospitals that go live before the run ends, by name."""
    end = run.last_hour / HOURS_PER_WEEK
    return {name: hospital for name, hospital in hospitals(run).items() if hospital.go_live <= end}


def weeks_axis(run: Run, axes: Sequence[Axes], *, ticks: int = 5) -> None:
    """Label the x axes of the lowest panels in weeks, or as dates if week 0 has one.

    A rollout of less than a week is labelled in hours; what is drawn is in weeks all the same.
    """
    rollout = run.study.common.rollout
    title, locator = "week", MaxNLocator(nbins=ticks, integer=True)
    shown = FuncFormatter(lambda week, _: f"{week:g}")
    if is_short(run):
        title, locator = "hours", _HourLocator(nbins=ticks)
        shown = FuncFormatter(lambda week, _: f"{round(week * HOURS_PER_WEEK, 6):g}")
    elif rollout.start:
        title, locator = "date", MaxNLocator(nbins=_dates_beside(axes[0]), integer=True)
        shown = FuncFormatter(lambda week, _: date_of(week, rollout))
    for ax in axes:
        ax.xaxis.set_major_locator(copy(locator))
        ax.xaxis.set_major_formatter(shown)
        label_lowest(ax, title)


def finish_weeks(
    run: Run, figure: Figure, axes: Sequence[Axes], ylabel: str, note: str = ""
) -> None:
    """Label the axes of lines over virtual time, and say over the panels what is left out."""
    weeks_axis(run, axes)
    label_rows(axes, ylabel)
    if note:
        figure.suptitle(note)


def _dates_beside(ax: Axes) -> int:
    """Return how many intervals between dates an axis has room for."""
    columns = ax.get_gridspec().ncols  # type: ignore[union-attr]
    return max(1, int(ax.figure.get_figwidth() / columns / INCHES_A_DATE) - 1)  # type: ignore[union-attr]


def when(run: Run, week: float) -> str:
    """Return a week as a date, if the scenario has dates; in a short rollout as an hour."""
    if pd.isna(week):
        return "–"
    if is_short(run):
        return f"hour {week * HOURS_PER_WEEK:.1f}"
    return date_of(round(week, 1), run.study.common.rollout)


def is_short(run: Run) -> bool:
    """Return whether a rollout takes less than a week, so that weeks are no unit for it."""
    return run.last_hour < HOURS_PER_WEEK


def unit_of(run: Run) -> tuple[str, float]:
    """Return the unit of time of a rollout's tables, and its hours."""
    return ("hours", 1.0) if is_short(run) else ("weeks", HOURS_PER_WEEK)


class _HourLocator(MaxNLocator):
    """Ticks at round numbers of hours on an axis of weeks."""

    def tick_values(self, vmin: float, vmax: float) -> Any:
        ticks = super().tick_values(vmin * HOURS_PER_WEEK, vmax * HOURS_PER_WEEK)
        return [tick / HOURS_PER_WEEK for tick in ticks]


def by_week(frame: pd.DataFrame, value: str, every: int = 1) -> pd.DataFrame:
    """Return ``value`` of one line as weeks x seeds; a round's week is the mean over the rest.

    Args:
        frame: Columns round, seed, hours and ``value``, one row per round and seed.
        value: The column drawn; a missed round leaves a gap.
        every: As for ``with_gaps``.
    """
    table = with_gaps(frame.pivot(index="round", columns="seed", values=value), every)
    weeks = frame.groupby("round")["hours"].mean() / HOURS_PER_WEEK
    # A gap has no hour of its own; anywhere between its neighbours will do.
    return table.set_axis(weeks.reindex(table.index).interpolate())


def mark_joins(ax: Axes, hospitals: Mapping[str, Hospital], here: str = "") -> None:
    """Mark every hospital's go-live with a tick at the lower edge, that of ``here`` with a line."""
    first = min((h.go_live for h in hospitals.values()), default=0.0)
    weeks = [h.go_live for name, h in hospitals.items() if h.go_live > first and name != here]
    across = ax.get_xaxis_transform()
    ax.vlines(weeks, 0, 0.05, color=JOIN, linewidth=0.7, transform=across, zorder=3)
    if here in hospitals and hospitals[here].go_live > first:
        ax.axvline(hospitals[here].go_live, color=JOIN, linewidth=0.8, linestyle=(0, (1, 1.5)))


def join_handles(hospitals: Mapping[str, Hospital], *, is_of_one: bool) -> list[Line2D]:
    """Return a legend's entries for ``mark_joins``; none if all were there from the start."""
    if len({hospital.go_live for hospital in hospitals.values()}) < 2:
        return []
    tick = Line2D([], [], ls="", marker="|", ms=6, mew=0.7, color=JOIN)
    tick.set_label("another hospital joins" if is_of_one else "a hospital joins")
    line = Line2D([], [], color=JOIN, lw=0.8, ls=(0, (1, 1.5)), label="this hospital joins")
    return [line, tick] if is_of_one else [tick]
