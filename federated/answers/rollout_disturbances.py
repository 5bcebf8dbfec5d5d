"""What became of AUC after an outage, garbage, a new scanner or a departure."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from federated.answers.rollout_answers import disturbances
from federated.plots.numbers import MOST_PANELS, NothingToDrawError, label, names
from federated.plots.rollout_axis import needs_timeline, when
from federated.plots.rows import LINE
from federated.plots.style import DOUBLE, Look, legend_below, method_looks, panels, short, styled
from federated.runs.reading import Run

MOMENTS = ("before", "after", "last")
EVENT = ["site", "kind", "week", "until"]
OTHERS = (0, (3, 1.2))


@styled
def rollout_disturbances(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw validation AUC before, after and at the end, a panel per disturbance.

    Solid and filled: the hospital itself; dashed and hollow: the mean of the others. A line per
    method, the mean over seeds with their range. Of more than 12 disturbances those are drawn after
    which the hospital or the others fell most, in the order of time.

    Raises:
        NothingToDrawError: the run is no rollout, or has come to no disturbance.
    """
    needs_timeline(run)
    frame = disturbances(run)
    # A hospital that has left is not evaluated again: its last AUC is the one before.
    frame["last"] = frame["last"].where(frame["after"].notna())
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has come to no disturbance of its scenario.")
    shown, note = _shown(frame)
    every = method_looks(run.study.common.methods)
    looks = {name: every[name] for name in names(frame, "method")}
    figure, axes = panels(len(shown), width=width, height=1.55, least=1.7)
    for ax, event in zip(axes, shown, strict=True):
        _draw(ax, _of(frame, event), looks)
        ax.set_title(_title(run, *event), fontsize=6.5)
        ax.set_xticks(range(len(MOMENTS)), MOMENTS)
        ax.set_xlim(-0.3, len(MOMENTS) - 0.7)
        if ax.get_subplotspec().is_first_col():  # type: ignore[union-attr]
            ax.set_ylabel(label("auc", "val"))
    if note:
        figure.suptitle(note)
    legend_below(figure, _handles(looks))
    return figure


Event = tuple[str, str, float, float]


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


def _of(frame: pd.DataFrame, event: Event) -> pd.DataFrame:
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
        _draw_line(ax, rows[[f"others_{moment}" for moment in MOMENTS]], look, is_own=False)
        _draw_line(ax, rows[list(MOMENTS)], look, is_own=True)


def _draw_line(ax: Axes, seeds: pd.DataFrame, look: Look, *, is_own: bool) -> None:
    """Draw the mean over seeds, a row each, at the three moments, and their range."""
    places = range(len(MOMENTS))
    ax.plot(
        places, seeds.mean(), color=look.colour, marker=look.marker, ms=3.5, mew=0.8,
        ls="-" if is_own else OTHERS, mfc=look.colour if is_own else "white",
    )  # fmt: skip
    if len(seeds) > 1:
        ax.vlines(places, seeds.min(), seeds.max(), color=look.colour, linewidth=0.7, alpha=0.6)


def _handles(looks: dict[str, Look]) -> list[Line2D]:
    methods = [
        Line2D([], [], color=look.colour, marker=look.marker, label=short(name))
        for name, look in looks.items()
    ]
    own = Line2D([], [], color=LINE, marker="o", label="the hospital itself")
    others = Line2D([], [], color=LINE, marker="o", mfc="white", ls=OTHERS, label="the others")
    return [*methods, own, others]
