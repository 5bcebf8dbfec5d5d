"""Who computes, who waits for whom, and who keeps everyone waiting."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from federated.answers.answer import Answer, TextTable
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.plot import Plot
from federated.plots.rows import MOST_ROWS, heights, over_seeds, rows_axis
from federated.plots.style import DOUBLE, legend_below, panels, short, styled
from federated.plots.text import TextColumns, text_table
from federated.plots.time_axis import needs_timeline
from federated.runs.columns import ROUND, SITE
from federated.runs.history import events, rounds, sharing_methods, spent
from federated.runs.once import once
from federated.runs.reading import Run

_UPDATES = {"used": "used", "waiting": "late", "dropped": "dropped"}
_ABSENCES = ("outage", "missed")

SPENT = {
    "computing_hours": ("computing", "#0072B2"),
    "transfer_hours": ("transfer", "#E69F00"),
    "waiting_hours": ("waiting for others", "#BDBDBD"),
}
HELD = "#D55E00"


@once
def numbers(run: Run) -> pd.DataFrame:
    """Return how each hospital spent its time, and whom it kept waiting.

    An update that arrived before its round began waits for the round, and no one for it.

    Returns:
        One row per method, seed, site. Hours: ``computing_hours``, ``transfer_hours``,
        ``waiting_hours`` (from the arrival of its used updates to the end of their rounds) and
        ``held_up_hours`` (that all others of a round waited for it alone: from the last but one
        arrival of the used updates to the last). ``last_share`` is the share of the rounds that
        used its update in which that one was the last, alone. Updates: ``used``, ``late`` (left to
        a later round) and ``dropped``. Rounds: ``outage`` and ``missed``.
    """
    frame = run.timeline[run.timeline["site"] != ""]
    used = frame[frame["activity"] == "used"]
    used = used.assign(waited=used["end"] - used["start"])
    table = spent(run).set_index(SITE)
    table["waiting_hours"] = used.groupby(SITE)["waited"].sum()
    held = _held_up(run, used)
    table["held_up_hours"] = held.groupby(SITE)["held"].sum()
    table["last_share"] = held.groupby(SITE).size()
    updates = frame[frame["activity"].isin(list(_UPDATES))]
    # An update that waits through several rounds is one update.
    updates = updates.drop_duplicates([*SITE, "activity", "start"])
    for activity, column in _UPDATES.items():
        table[column] = updates[updates["activity"] == activity].groupby(SITE).size()
    absent = events(run, "hospital-absent", [*ROUND, "site", "reason"])
    for reason in _ABSENCES:
        table[reason] = absent[absent["reason"] == reason].groupby(SITE).size()
    table = table.fillna(0.0).astype(dict.fromkeys((*_UPDATES.values(), *_ABSENCES), int))
    rounds_used = used.groupby(SITE)["round"].nunique()
    return table.assign(last_share=table["last_share"] / rounds_used).reset_index()


def _held_up(run: Run, used: pd.DataFrame) -> pd.DataFrame:
    """Return the last arrival of each round that others waited for: ``ROUND``, site, held."""
    begun = rounds(run).rename(columns={"start": "begun"})[[*ROUND, "begun"]]
    table = used.merge(begun, how="left")
    table["arrival"] = table[["start", "begun"]].max(axis=1)
    table = table.sort_values("arrival", kind="stable")
    table["held"] = table.groupby(ROUND)["arrival"].diff()
    last = table.groupby(ROUND).tail(1)
    return last[last["held"] > 0]


def table(run: Run) -> pd.DataFrame:
    """Return how each hospital spent its hours, for the methods that wait for one another."""
    frame = numbers(run)
    frame = frame[frame["method"].isin(sharing_methods(run))]
    columns: TextColumns = {
        "computing_hours": ("computing h", "{:.1f}"),
        "transfer_hours": ("transfer h", "{:.1f}"),
        "waiting_hours": ("waiting h", "{:.1f}"),
        "held_up_hours": ("held others up h", "{:.1f}"),
        "last_share": ("last to arrive", "{:.0%}"),
        "used": ("updates used", "{:.0f}"),
        "late": ("late", "{:.0f}"),
        "dropped": ("dropped", "{:.0f}"),
        "outage": ("rounds in outage", "{:.0f}"),
        "missed": ("missed", "{:.0f}"),
    }
    return text_table(frame, ["site", "method"], columns)


@styled
def figure(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw hours computing, transferring and waiting, and beside them hours of holding others up.

    A row of panels per method that shares anything, a bar per hospital; means over seeds, with the
    range of the seeds for the hours held up. Of more than 30 hospitals those that held the others
    up longest are drawn.

    Raises:
        NothingToDrawError: the run is no rollout, or in it nobody waits for anybody.
    """
    needs_timeline(run)
    frame = numbers(run)
    frame = frame[frame["method"].isin(sharing_methods(run))]
    if frame.empty:
        raise NothingToDrawError(f"{run.folder} has no method whose hospitals wait for each other.")
    sites, note = _shown(frame)
    methods = names(frame, "method")
    figure, axes = panels(
        2 * len(methods), width=width, height=heights(len(sites)), least=width / 2, sharex="col"
    )
    for place, method in enumerate(methods):
        spent, held = axes[2 * place : 2 * place + 2]
        rows = frame[frame["method"] == method]
        _stack(spent, rows, sites)
        _bars(held, rows, sites)
        spent.set_title(f"{short(method)}: how each spent its hours")
        held.set_title(f"{short(method)}: how long each held all others up")
    axes[-2].set_xlabel("virtual hours of a hospital")
    axes[-1].set_xlabel("virtual hours that a round waited for it alone")
    if note:
        figure.suptitle(note)
    known = [look for column, look in SPENT.items() if frame[column].sum() > 0]
    legend_below(figure, [Patch(color=colour, label=name) for name, colour in known])
    return figure


def _shown(frame: pd.DataFrame) -> tuple[list[str], str]:
    """Return the hospitals that get a bar, and a note if some do not."""
    sites = names(frame, "site")
    if len(sites) <= MOST_ROWS:
        return sites, ""
    means = frame.groupby("site")[["held_up_hours", "computing_hours", "transfer_hours"]].mean()
    at_work = means["computing_hours"] + means["transfer_hours"]
    ranked = means.assign(at_work=at_work).sort_values(
        ["held_up_hours", "at_work"], ascending=False, kind="stable"
    )
    return (
        [str(name) for name in ranked.index[:MOST_ROWS]],
        f"The {MOST_ROWS} of {len(sites)} hospitals that held all others up longest, then by hours "
        "of work",
    )


def _stack(ax: Axes, frame: pd.DataFrame, sites: list[str]) -> None:
    means = frame.groupby("site")[list(SPENT)].mean().reindex(sites).fillna(0.0)
    left = pd.Series(0.0, index=sites)
    for column, (name, colour) in SPENT.items():
        ax.barh(range(len(sites)), means[column], left=left, color=colour, height=0.7, label=name)
        left = left + means[column]
    # Where one bar ends and the next begins, an axis would stop without a margin.
    ax.set_xlim(0, max(ax.get_xlim()[1], 1.04 * left.max()))
    rows_axis(ax, sites)


def _bars(ax: Axes, frame: pd.DataFrame, sites: list[str]) -> None:
    table = over_seeds(frame, ["site"], "held_up_hours").set_index("site")
    table = table.reindex(sites).fillna(0.0)
    ax.barh(range(len(sites)), table["mean"], color=HELD, height=0.7)
    if frame["seed"].nunique() > 1:
        ax.hlines(range(len(sites)), table["low"], table["high"], color="black", linewidth=0.8)
    rows_axis(ax, sites)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    most = table["high"].max()
    ax.set_xlim(0, max(ax.get_xlim()[1], 1.04 * most) if most else 1.0)
    if not most:
        ax.text(
            0.5, 0.5, "no round waited for one hospital alone", color="#555555", fontsize=6.5,
            ha="center", va="center", transform=ax.transAxes,
        )  # fmt: skip


ANSWER = Answer(
    "waiting",
    numbers,
    (
        TextTable(
            "Hours and waiting",
            table,
            "virtual hours of one seed; held up: hours that all others of a round waited for it "
            "alone; late: left to a later round",
        ),
    ),
    (
        Plot(
            "rollout-waiting",
            "Left: how each hospital spent its virtual hours. Right: hours that all others of a "
            "round waited for it alone, between the last but one update and its own.",
            figure,
            is_of_rollout=True,
        ),
    ),
    "no hospital has waited for another: nothing was shared.",
)
