"""Pictures of contributions and of orders of going live."""

import pandas as pd
from matplotlib.figure import Figure

from federated.plots.style import DOUBLE, SINGLE, panels, short, styled

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
