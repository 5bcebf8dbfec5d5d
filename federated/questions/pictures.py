"""Pictures of contributions, of orders of going live, and of what would be otherwise if."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from federated.plots.rows import LINE, heights, over_seeds, rows_axis, shifts
from federated.plots.style import DOUBLE, SINGLE, legend_below, panels, short, site_looks, styled
from federated.questions.what_if import AS_IT_IS, EVERYONE
from federated.rollout.scenario import HOURS_PER_WEEK

GAIN, OTHERS, SHARE = "#0072B2", "#E69F00", "#009E73"
MOST_SITES = 30


@styled
def contribution_figure(table: pd.DataFrame) -> Figure:
    """Draw what each hospital gains, gives and, if it was computed, its Shapley value.

    Args:
        table: Of ``leave_one_out``, with the columns of ``shapley`` merged in or not.
    """
    table = table.iloc[:MOST_SITES]
    drawn = [("own gain", "its own gain by taking part", GAIN)]
    drawn.append(("others' gain", "the others' mean gain by its taking part", OTHERS))
    if "shapley" in table:
        drawn.append(("shapley", "its Shapley value, sum over hospitals", SHARE))
    figure, axes = panels(
        len(drawn), width=DOUBLE, height=0.35 + 0.2 * len(table), least=2.2, sharey=True
    )
    for ax, (column, title, colour) in zip(axes, drawn, strict=True):
        errors = table["standard error"] if column == "shapley" else None
        ax.barh(range(len(table)), table[column], color=colour, height=0.6, xerr=errors)
        ax.axvline(0, color="#555555", linewidth=0.8)
        ax.set_title(title)
        ax.set_xlabel("test AUC")
        ax.grid(axis="x", color="#E4E4E4", linewidth=0.5)
        ax.set_yticks(range(len(table)), [short(site) for site in table["site"]])
        ax.set_ylim(len(table) - 0.4, -0.6)
    return figure


@styled
def order_figure(table: pd.DataFrame, own: str) -> Figure:
    """Draw every order that was tried, best on top; a ring marks the scenario's own.

    Args:
        table: Of ``ranking``.
        own: The scenario's own order, as the table writes it.
    """
    table = table.iloc[:MOST_SITES]
    long = max(len(order) for order in table["order"])
    figure, axes = panels(1, width=DOUBLE if long > 24 else SINGLE, height=0.4 + 0.17 * len(table))
    if long > 24:
        figure.set_figwidth(DOUBLE)
    ax, rows = axes[0], range(len(table))
    ax.plot(table["val AUC over time"], rows, "o", color=GAIN, ms=4)
    mine = [row for row, order in zip(rows, table["order"], strict=True) if order == own]
    ax.plot(table["val AUC over time"].iloc[mine], mine, "o", mfc="none", mec="#000000", ms=8)
    ax.set_yticks(rows, [short(order, 70) for order in table["order"]])
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.grid(axis="x", color="#E4E4E4", linewidth=0.5)
    ax.set_xlabel("validation AUC, mean over hospitals and weeks; ring: the scenario's own order")
    return figure


CHANGES = {
    "hours_change": ("The last round ends", "hours later"),
    "waited_hours_change": ("Waiting for others", "hours more"),
    "later": ("The target is reached", ""),
    "test_auc_change": ("Test AUC of the kept model", "AUC more"),
}


@styled
def what_if_figure(
    table: pd.DataFrame, unit: tuple[str, float] = ("weeks", HOURS_PER_WEEK)
) -> Figure:
    """Draw what each alternative changes, hospital by hospital, against the scenario as it is.

    Everyone's mean is the first row. A mark per alternative is the mean over seeds, with their
    range. Of more than 30 hospitals those are drawn whose test AUC changes most.

    Args:
        table: Of ``compared``.
        unit: In which times to the target are drawn, and its hours.
    """
    later = table["reached_week_change"] * HOURS_PER_WEEK / unit[1]
    table = table.assign(later=later)[table["if"] != AS_IT_IS]
    sites, note = _most_changed(table)
    rows = [EVERYONE, *sites]
    looks = site_looks(table["if"].unique())
    drawn = [column for column in CHANGES if table[column].notna().any()]
    figure, axes = panels(
        len(drawn), width=DOUBLE, height=heights(len(rows)), least=1.6, sharex="col", sharey=True
    )
    for ax, column in zip(axes, drawn, strict=True):
        title, label = CHANGES[column]
        label = f"{unit[0]} later" if column == "later" else label
        ax.axvline(0, color=LINE, linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        ax.axhline(0.5, color="#AAAAAA", linewidth=0.6)
        for (name, look), shift in zip(looks.items(), shifts(len(looks)), strict=True):
            seeds = over_seeds(table[table["if"] == name], ["site"], column)
            seeds = seeds[seeds["site"].isin(rows)]
            places = [rows.index(site) + shift for site in seeds["site"]]
            ax.hlines(places, seeds["low"], seeds["high"], color=look.colour, linewidth=1.0)
            ax.plot(seeds["mean"], places, look.marker, color=look.colour, ms=3.5, mew=0)
        rows_axis(ax, rows, 20)
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4))
        ax.set_title(title)
        ax.set_xlabel(label)
    if note:
        figure.suptitle(note)
    legend_below(
        figure,
        [
            Line2D([], [], ls="", marker=look.marker, color=look.colour, label=short(name, 90))
            for name, look in looks.items()
        ],
    )
    return figure


def _most_changed(table: pd.DataFrame) -> tuple[list[str], str]:
    """Return the hospitals that get a row, and a note if some do not."""
    own = table[table["site"] != EVERYONE]
    sites = sorted(own["site"].unique())
    if len(sites) <= MOST_SITES:
        return sites, ""
    size = own.assign(size=own["test_auc_change"].abs()).groupby("site")["size"].mean()
    most = size.sort_values(ascending=False, kind="stable").index[:MOST_SITES]
    return sorted(most), f"The {MOST_SITES} of {len(sites)} hospitals whose test AUC changes most"
