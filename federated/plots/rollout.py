"""The calendar of a rollout: a lane per hospital, what it did and what befell it."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from federated.plots.numbers import NothingToDrawError, names
from federated.plots.style import DOUBLE, legend_below, short, styled
from federated.plots.time_axis import needs_timeline, weeks_axis
from federated.rollout.scenario import HOURS_PER_WEEK, Hospital
from federated.runs.columns import CELL, ROUND
from federated.runs.history import (
    events,
    hospitals,
    round_weeks,
    sharing_methods,
)
from federated.runs.reading import Run

MOST_LANES = 30
"""More lanes than this are thin, and only some of them named."""

NAMED = 16
"""Lanes named of more than ``MOST_LANES``."""

TALLEST = 6.5
"""Height in inches that lanes may take together."""

NARROWEST = 1 / 400
"""Share of the axis below which a bar would be a hair."""

BARS = (
    ("#0072B2", "computing", ("train", "evaluate")),
    ("#E69F00", "transfer", ("download", "upload")),
)
CROWDED = 200
"""More lanes than this leave no room between them, nor for hatching."""

BANDS: dict[str, dict[str, Any]] = {
    "live": {"facecolor": "#D6E4EE", "linewidth": 0, "zorder": 1.0},
    "outage": {"facecolor": "white", "edgecolor": "#999999", "hatch": "//////", "zorder": 1.5},
    "garbage": {"facecolor": "none", "edgecolor": "#D55E00", "hatch": "xxxx", "zorder": 3.0},
}
PLAIN: dict[str, dict[str, Any]] = {
    "live": BANDS["live"],
    "outage": {"facecolor": "#AAAAAA", "linewidth": 0, "zorder": 1.5},
    "garbage": {"facecolor": "#D55E00", "linewidth": 0, "zorder": 3.0},
}
MARKS: dict[str, dict[str, Any]] = {
    "round": {"marker": "|", "color": "#0072B2", "mew": 0.8, "label": "a round's computing"},
    "missed": {
        "marker": "o",
        "mfc": "white",
        "mec": "#555555",
        "mew": 0.6,
        "label": "misses a round",
    },
    "dropped": {"marker": "x", "color": "#D55E00", "mew": 0.9, "label": "update dropped"},
    "joins": {"marker": ">", "color": "#009E73", "mew": 0, "label": "goes live"},
    "scanner": {"marker": "D", "color": "#CC79A7", "mew": 0, "label": "new scanner"},
    "leaves": {"marker": "s", "color": "black", "mew": 0, "label": "leaves"},
}


@styled
def rollout(
    run: Run, method: str | None = None, seed: int | None = None, *, width: float = DOUBLE
) -> Figure:
    """Draw who took part when: a lane per hospital, those that join first on top.

    The light band is the time that a hospital is live. What it did is a bar, or, where that would
    be too narrow to see, one tick a round. Of more than 30 hospitals only some are named.

    Args:
        run: the run.
        method: whose timeline; None: the first that shares anything.
        seed: None: the run's first.
        width: of the figure in inches.

    Raises:
        NothingToDrawError: the run is no rollout, or has not come to that method and seed.
    """
    frame = _of_cell(run, method, seed)
    slot = 1 / run.study.common.rollout.rounds_per_week
    end = max(frame["end"].max(), frame["start"].max() + slot)
    drawn = {name: h for name, h in _by_go_live(hospitals(run)).items() if h.go_live < end}
    lanes = {name: place for place, name in enumerate(drawn)}
    height = min(0.24, TALLEST / len(drawn))
    figure, ax = _canvas(width, 0.75 + height * len(drawn))
    rows = frame[frame["site"].isin(drawn)].assign(length=frame["end"] - frame["start"])
    is_wide = rows["length"] > end * NARROWEST
    ticks = rows[~is_wide & (rows["activity"] == "train")].assign(kind="round", week=rows["start"])
    marks = pd.concat([ticks, _scenario_marks(drawn), _timeline_marks(run, frame)])
    shown = [
        *_draw_lanes(ax, drawn, end),
        *_draw_bars(ax, rows[is_wide], lanes),
        *_draw_marks(ax, marks[marks["week"] < end], lanes, max(1.5, min(4.0, 45 * height))),
    ]
    _name_lanes(ax, list(drawn))
    ax.set_xlim(-0.006 * end, 1.006 * end)
    weeks_axis(run, [ax], ticks=12)
    figure.suptitle(f"Rollout: {short(frame['method'].iloc[0])}, seed {frame['seed'].iloc[0]}")
    legend_below(figure, shown)
    return figure


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    ax = figure.subplots()
    ax.tick_params(labelsize=6.5, width=0.6, length=2.5)
    return figure, ax


def _of_cell(run: Run, method: str | None, seed: int | None) -> pd.DataFrame:
    """Return the timeline of one method and seed, in weeks."""
    needs_timeline(run)
    frame = run.timeline
    known = names(frame, "method")
    method = method or next(name for name in [*sharing_methods(run), *known] if name in known)
    frame = frame[frame["method"] == method]
    frame = frame[frame["seed"] == (frame["seed"].min() if seed is None else seed)]
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has no timeline of {method}, seed {seed}.")
    return frame.assign(**{name: frame[name] / HOURS_PER_WEEK for name in ("start", "end")})


def _by_go_live(hospitals: Mapping[str, Hospital]) -> dict[str, Hospital]:
    in_order = sorted(hospitals.values(), key=lambda h: (h.go_live, h.leave, h.name))
    return {hospital.name: hospital for hospital in in_order}


def _draw_lanes(ax: Axes, hospitals: Mapping[str, Hospital], end: float) -> list[Patch]:
    """Draw when each hospital is live, away, or sends garbage; return what the legend needs."""
    looks, height = (BANDS, 0.8) if len(hospitals) <= CROWDED else (PLAIN, 1.0)
    shown = set()
    for lane, hospital in enumerate(hospitals.values()):
        live = (hospital.go_live, min(hospital.leave, end))
        windows = {"live": [live], "outage": hospital.outages, "garbage": hospital.garbage}
        for kind, intervals in windows.items():
            clipped = [(max(a, live[0]), min(b, live[1])) for a, b in intervals]
            spans = [(a, b - a) for a, b in clipped if b > a]
            if spans:
                shown.add(kind)
                look = {"linewidth": 0.4, **looks[kind]}
                ax.broken_barh(spans, (lane - height / 2, height), **look)
    return [
        Patch(**{"linewidth": 0.4, **look}, label=kind)
        for kind, look in looks.items()
        if kind in shown
    ]


def _draw_bars(ax: Axes, rows: pd.DataFrame, lanes: Mapping[str, int]) -> list[Patch]:
    """Draw activities as bars, and return what the legend needs."""
    shown = []
    for colour, name, activities in BARS:
        chosen = rows[rows["activity"].isin(activities)]
        for site, activities_there in chosen.groupby("site"):
            spans = activities_there[["start", "length"]].itertuples(index=False, name=None)
            style: dict[str, Any] = {"color": colour, "linewidth": 0, "zorder": 2}
            ax.broken_barh(list(spans), (lanes[str(site)] - 0.25, 0.5), **style)
        shown += [Patch(color=colour, label=name)] if len(chosen) else []
    return shown


def _scenario_marks(hospitals: Mapping[str, Hospital]) -> pd.DataFrame:
    """Return when hospitals join, leave and change scanners: columns kind, site, week."""
    # Of those that are there from the start the band says it.
    first = min(hospital.go_live for hospital in hospitals.values())
    rows = [
        (kind, site, week)
        for site, h in hospitals.items()
        for kind, week in (("joins", h.go_live), ("scanner", h.new_scanner), ("leaves", h.leave))
        if week > first
    ]
    return pd.DataFrame(rows, columns=["kind", "site", "week"])


def _timeline_marks(run: Run, frame: pd.DataFrame) -> pd.DataFrame:
    """Return missed rounds and dropped updates of a cell: columns kind, site, week."""
    absent = events(run, "hospital-absent", [*ROUND, "site", "reason"])
    missed = absent[absent["reason"] == "missed"].merge(frame[CELL].drop_duplicates())
    missed = missed.assign(week=round_weeks(run, missed))
    dropped = frame[frame["activity"] == "dropped"].rename(columns={"start": "week"})
    parts = [missed.assign(kind="missed"), dropped.assign(kind="dropped")]
    return pd.concat([part[["kind", "site", "week"]] for part in parts])


def _draw_marks(
    ax: Axes, marks: pd.DataFrame, lanes: Mapping[str, int], size: float
) -> list[Line2D]:
    """Draw marks of so many points, and return what the legend needs."""
    shown = []
    for kind, look in MARKS.items():
        rows = marks[marks["kind"] == kind]
        if rows.empty:
            continue
        ax.plot(rows["week"], rows["site"].map(lanes), ls="", zorder=4, ms=size, **look)
        shown.append(Line2D([], [], ls="", ms=4, **look))
    return shown


def _name_lanes(ax: Axes, sites: Sequence[str]) -> None:
    step = 1 if len(sites) <= MOST_LANES else ceil(len(sites) / NAMED)
    places = range(0, len(sites), step)
    ax.set_yticks(places, [short(sites[place], 20) for place in places])
    ax.set_ylim(len(sites) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0 if step == 1 else 2.5)
