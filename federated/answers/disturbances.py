"""What became of AUC after an outage, garbage, a new scanner or a departure."""

from collections.abc import Iterator, Mapping
from operator import itemgetter

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.answers.answer import Answer, TextTable
from federated.plots.numbers import MOST_PANELS, NothingToDrawError, label, names
from federated.plots.plot import Plot
from federated.plots.rows import LINE
from federated.plots.style import (
    DOUBLE,
    Look,
    label_rows,
    legend_below,
    method_looks,
    panels,
    short,
    styled,
)
from federated.plots.text import text_table
from federated.plots.time_axis import needs_timeline, when
from federated.rollout.scenario import Hospital
from federated.runs.columns import CELL, SITE
from federated.runs.history import evaluations, hospitals
from federated.runs.once import once
from federated.runs.reading import Run

EVALUATIONS_AROUND = 2

SLACK = 1e-9
"""Weeks: a round's week was divided and multiplied since the scenario was asked about it."""

MOMENTS = ("before", "after", "last")
OF_OTHERS = tuple(f"others_{moment}" for moment in MOMENTS)

Event = tuple[str, str, float, float]
"""Hospital, kind, first week and end of a disturbance; NaN if it is for good."""

EVENT = ["site", "kind", "week", "until"]
DASHES = (0, (3, 1.2))


@once
def numbers(run: Run) -> pd.DataFrame:
    """Return validation AUC around each outage, garbage window, new scanner and leave.

    ``before`` is the mean of the last 2 evaluations in rounds that began before it, ``after`` of
    the first 2 in rounds that began since, ``last`` the very last one; ``others_…`` are the same of
    the other hospitals that have both, hospital by hospital and then averaged. A hospital in an
    outage is not evaluated, so its ``after`` is its return. What the run never came to is left out.

    Returns:
        One row per method, seed, site and disturbance: ``kind`` (outage, garbage, new scanner,
        left), ``week`` and ``until`` (NaN: for good), ``before``, ``after``, ``last``,
        ``others_before``, ``others_after``, ``others_last``.
    """
    aucs = evaluations(run).dropna(subset=["val"])
    planned, rows = list(_disturbances_of(hospitals(run))), []
    for (method, seed), cell in aucs.groupby(CELL, sort=False):
        weeks, course = {week for _, _, week, _ in planned}, Course(cell)
        last = cell["week"].max() + SLACK
        around_week = {week: course.around(week) for week in weeks if week <= last}
        # A newcomer's first AUC is no fall of the others': the same hospitals before and after.
        same_week = {
            week: around.dropna(subset=["before", "after"]) for week, around in around_week.items()
        }
        for name, kind, week, until in planned:
            if week > last:
                continue
            around, same = around_week[week], same_week[week]
            others = same[same.index != name].mean()
            itself = around.reindex([name]).iloc[0]
            rows.append((method, seed, name, kind, week, until, *itself, *others))
    columns = [*SITE, "kind", "week", "until", *MOMENTS, *OF_OTHERS]
    return pd.DataFrame(rows, columns=columns)


def _disturbances_of(hospitals: Mapping[str, Hospital]) -> Iterator[Event]:
    """Yield hospital, kind, first week and end of every disturbance; NaN if it is for good."""
    for name, hospital in hospitals.items():
        windows = [("outage", *window) for window in hospital.outages]
        windows += [("garbage", *window) for window in hospital.garbage]
        for kind, week in (("new scanner", hospital.new_scanner), ("left", hospital.leave)):
            if week != float("inf"):
                windows.append((kind, week, float("nan")))
        for kind, week, until in sorted(windows, key=itemgetter(1)):
            yield name, kind, week, until


class Course:
    """What each site's validation AUC was around any week of a cell.

    Each of a thousand hospitals may have outages of its own: what was last and what comes next is
    worked out once for all weeks, so that one more costs a look at one row.

    Args:
        rows: Rows of ``evaluations``, none of them undefined.
    """

    def __init__(self, rows: pd.DataFrame) -> None:
        aucs = rows.pivot(index="round", columns="site", values="val")
        self._weeks = rows.groupby("round")["week"].first()
        self._past, self._future = _two_latest(aucs), _two_latest(aucs[::-1])
        self._nothing = aucs.iloc[0] * float("nan")

    def around(self, week: float) -> pd.DataFrame:
        """Return each site's mean of 2 AUCs before ``week``, of 2 since, and its last."""
        is_before = self._weeks < week - SLACK
        before, after = is_before[is_before].index[-1:], is_before[~is_before].index[:1]
        return pd.DataFrame(
            {
                "before": self._mean_in(self._past, before),
                "after": self._mean_in(self._future, after),
                "last": self._past[0].iloc[-1],
            }
        )

    def _mean_in(self, two: tuple[pd.DataFrame, pd.DataFrame], round: pd.Index) -> pd.Series:
        """Return the mean of two AUCs known in a round, of one where there is no other."""
        if round.empty:
            return self._nothing
        newest, older = (table.loc[round[0]] for table in two)
        mean: pd.Series = ((newest + older) / EVALUATIONS_AROUND).fillna(newest)
        return mean


def _two_latest(aucs: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return for each row and site the last value known by then, and the one before that."""
    latest = aucs.ffill()
    return latest, latest.shift().where(aucs.notna()).ffill()


def table(run: Run) -> pd.DataFrame:
    """Return AUC around every disturbance of the scenario that the run came to."""
    frame = numbers(run).rename(columns={"kind": "what", "week": "from"})
    for moment in ("from", "until"):
        frame[moment] = [when(run, week) for week in frame[moment]]
    columns = {name: (name.replace("_", " "), "{:.3f}") for name in (*MOMENTS, *OF_OTHERS)}
    return text_table(frame, ["site", "what", "from", "until", "method"], columns)


@styled
def figure(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw validation AUC before, after and at the end, a panel per disturbance.

    Solid and filled: the hospital itself; dashed and hollow: the mean of the others. A line per
    method, the mean over seeds with their range. Of more than 12 disturbances those are drawn after
    which the hospital or the others fell most, in the order of time.

    Raises:
        NothingToDrawError: the run is no rollout, or has come to no disturbance.
    """
    needs_timeline(run)
    frame = numbers(run)
    # A hospital that has left is not evaluated again: its last AUC is the one before.
    frame["last"] = frame["last"].where(frame["after"].notna())
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has come to no disturbance of its scenario.")
    shown, note = _shown(frame)
    every = method_looks(run.study.common.methods)
    looks = {name: every[name] for name in names(frame, "method")}
    figure, axes = panels(len(shown), width=width, height=1.55, least=1.7)
    for ax, event in zip(axes, shown, strict=True):
        _draw(ax, _rows_of(frame, event), looks)
        ax.set_title(_title(run, *event), fontsize=6.5)
        ax.set_xticks(range(len(MOMENTS)), MOMENTS)
        ax.set_xlim(-0.3, len(MOMENTS) - 0.7)
    label_rows(axes, label("auc", "val"))
    if note:
        figure.suptitle(note)
    legend_below(figure, _handles(looks))
    return figure


def _shown(frame: pd.DataFrame) -> tuple[list[Event], str]:
    """Return the disturbances that get a panel in time order, and a note if some do not."""
    falls = pd.concat(
        [frame["after"] - frame["before"], frame["others_after"] - frame["others_before"]], axis=1
    ).min(axis=1)
    means = falls.groupby([frame[name] for name in EVENT], dropna=False).mean()
    worst = means.sort_values(kind="stable").index[:MOST_PANELS]
    events = sorted(worst, key=lambda event: (event[2], event[0], event[1]))
    if len(means) <= MOST_PANELS:
        return events, ""
    return events, f"The {MOST_PANELS} of {len(means)} disturbances after which AUC fell most"


def _rows_of(frame: pd.DataFrame, event: Event) -> pd.DataFrame:
    site, kind, week, until = event
    is_until = frame["until"].isna() if pd.isna(until) else frame["until"] == until
    return frame[
        (frame["site"] == site) & (frame["kind"] == kind) & (frame["week"] == week) & is_until
    ]


def _title(run: Run, site: str, kind: str, week: float, until: float) -> str:
    end = "" if pd.isna(until) else f" to {when(run, until).removeprefix('week ')}"
    return f"{short(site, 20)}: {kind}\n{when(run, week)}{end}"


def _draw(ax: Axes, frame: pd.DataFrame, looks: dict[str, Look]) -> None:
    for method, look in looks.items():
        rows = frame[frame["method"] == method]
        _draw_line(ax, rows[list(OF_OTHERS)], look, is_itself=False)
        _draw_line(ax, rows[list(MOMENTS)], look, is_itself=True)


def _draw_line(ax: Axes, seeds: pd.DataFrame, look: Look, *, is_itself: bool) -> None:
    """Draw the mean over seeds, a row each, at the three moments, and their range."""
    places = range(len(MOMENTS))
    ax.plot(
        places, seeds.mean(), color=look.colour, marker=look.marker, ms=3.5, mew=0.8,
        ls="-" if is_itself else DASHES, mfc=look.colour if is_itself else "white",
    )  # fmt: skip
    if len(seeds) > 1:
        ax.vlines(places, seeds.min(), seeds.max(), color=look.colour, linewidth=0.7, alpha=0.6)


def _handles(looks: dict[str, Look]) -> list[Line2D]:
    methods = [
        Line2D([], [], color=look.colour, marker=look.marker, label=short(name))
        for name, look in looks.items()
    ]
    itself = Line2D([], [], color=LINE, marker="o", label="the hospital itself")
    others = Line2D([], [], color=LINE, marker="o", mfc="white", ls=DASHES, label="the others")
    return [*methods, itself, others]


ANSWER = Answer(
    "disturbances",
    numbers,
    (
        TextTable(
            "Disturbances",
            table,
            "validation AUC: mean of the 2 evaluations before, of the first 2 since, and the last; "
            "of the others those with both",
        ),
    ),
    (
        Plot(
            "rollout-disturbances",
            "Validation AUC before a disturbance, after it and at the end: of the hospital itself "
            "(solid) and the mean of the others (dashed). Bars: range of the seeds.",
            figure,
            is_of_rollout=True,
        ),
    ),
    "it has come to no outage, garbage, new scanner or departure.",
)
