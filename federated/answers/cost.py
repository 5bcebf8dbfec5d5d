"""What each hospital spent, and what it got for it."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from federated.answers.answer import Answer, TextTable
from federated.config.presets import ALONE
from federated.plots.lines import handles
from federated.plots.numbers import NothingToDrawError, names
from federated.plots.plot import Plot
from federated.plots.style import (
    DOUBLE,
    SITE_COLOURS,
    label_lowest,
    label_rows,
    legend_below,
    panels,
    short,
    site_looks,
    styled,
)
from federated.plots.text import TextColumns, text_table
from federated.plots.time_axis import needs_timeline
from federated.runs.columns import SITE
from federated.runs.history import gains, hospitals, spent
from federated.runs.once import once
from federated.runs.reading import Run

AUC_POINT = 0.01

WIDE_RANGE = 50

MANY: dict[str, Any] = {
    "ls": "", "marker": "o", "ms": 3, "mew": 0, "alpha": 0.6, "color": SITE_COLOURS[0],
}  # fmt: skip

PRICES = {
    "money": "cost of computing (currency of the scenario)",
    "compute_hours": "virtual hours of computing",
    "mb": "megabytes sent and received",
}


@once
def numbers(run: Run) -> pd.DataFrame:
    """Return what each hospital spent and what it got for it.

    Returns:
        One row per method, seed, site: ``mb_down`` and ``mb_up`` (10^6 bytes of tensors),
        ``compute_hours`` (training and evaluation, virtual), ``money`` (these hours x the
        calendar's cost per hour) and ``kwh`` (x its kilowatts), both NaN if the scenario does not
        say, ``gain`` (test AUC of the kept model over alone) and ``money_per_point`` (per 0.01 of
        that gain; NaN without one).
    """
    table = spent(run).rename(columns={"computing_hours": "compute_hours"})
    table = table.drop(columns="transfer_hours").set_index(SITE)
    for way in ("down", "up"):
        bytes_there = run.values(f"bytes_{way}", "train").groupby(SITE)["value"].sum()
        table[f"mb_{way}"] = bytes_there / 1e6
    table = table.fillna({"mb_down": 0.0, "mb_up": 0.0}).reset_index()
    calendars = {name: hospital.calendar for name, hospital in hospitals(run).items()}
    price = {name: calendar.cost_per_hour or math.nan for name, calendar in calendars.items()}
    power = {name: calendar.kilowatts or math.nan for name, calendar in calendars.items()}
    table["money"] = table["compute_hours"] * table["site"].map(price).astype(float)
    table["kwh"] = table["compute_hours"] * table["site"].map(power).astype(float)
    table = table.merge(gains(run)[[*SITE, "gain"]], on=SITE, how="left")
    points = (table["gain"] / AUC_POINT).where(table["gain"] > 0)
    return table.assign(money_per_point=table["money"] / points)


def table(run: Run) -> pd.DataFrame:
    """Return what each hospital spent and gained; without columns that the scenario leaves open."""
    columns: TextColumns = {
        "mb_down": ("MB down", "{:.1f}"),
        "mb_up": ("MB up", "{:.1f}"),
        "compute_hours": ("computing h", "{:.1f}"),
        "money": ("cost", "{:.2f}"),
        "kwh": ("kWh", "{:.2f}"),
        "gain": ("AUC over alone", "{:+z.3f}"),
        "money_per_point": ("cost per 0.01 AUC", "{:.2f}"),
    }
    frame = numbers(run)
    known = {name: shown for name, shown in columns.items() if frame[name].notna().any()}
    return text_table(frame, ["site", "method"], known)


@styled
def figure(run: Run, *, width: float = DOUBLE) -> Figure:
    """Draw test AUC gained over alone against what it cost, a panel per method, a dot per hospital.

    The cost is money if the scenario prices every hospital, else virtual hours of computing, else
    megabytes; its axis is logarithmic if the dearest costs 50 times the cheapest. Means over seeds.
    Of more hospitals than colours, those that gain most and least and the dearest are named.

    Raises:
        NothingToDrawError: the run is no rollout, or no kept model has one of ``local`` beside it.
    """
    needs_timeline(run)
    table = numbers(run)
    table = table[table["method"] != ALONE].dropna(subset=["gain"])
    table = table.assign(mb=table["mb_down"] + table["mb_up"])
    if table.empty:
        raise NothingToDrawError(f"{run.folder} has no kept model both together and alone (local).")
    price = next((p for p in PRICES if table[p].notna().all() and table[p].sum() > 0), "mb")
    table = table.groupby(["method", "site"], sort=False)[[price, "gain"]].mean().reset_index()
    # Sites of the whole run, so that a hospital looks the same in every figure.
    methods, sites = names(table, "method"), list(run.sites)
    figure, axes = panels(len(methods), width=width, height=2.2, least=2.3)
    least, most = table[price].min(), table[price].max()
    is_log = least > 0 and most > WIDE_RANGE * least
    for ax, method in zip(axes, methods, strict=True):
        rows = table[table["method"] == method].rename(columns={price: "price"})
        ax.axhline(0.0, color="#555555", linewidth=0.8, linestyle=(0, (4, 2)), zorder=1)
        _draw(ax, rows, sites, middle=math.sqrt(least * most) if is_log else most / 2)
        if is_log:
            ax.set_xscale("log")
            # Powers of ten would be mathtext, which is off.
            ax.xaxis.set_major_formatter(FuncFormatter(lambda price, _: f"{price:g}"))
            ax.xaxis.set_minor_formatter(NullFormatter())
        else:
            ax.set_xlim(0, 1.05 * most or 1.0)
        ax.set_title(short(method))
        label_lowest(ax, PRICES[price])
    label_rows(axes, "AUC over alone (test)")
    if len(sites) <= len(SITE_COLOURS):
        dots = handles(site_looks(sites))
        for dot in dots:
            dot.set_linestyle("")
        legend_below(figure, dots)
    else:
        legend_below(figure, [Line2D([], [], **MANY, label=f"each of {len(sites)} hospitals")])
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, sites: list[str], *, middle: float) -> None:
    if len(sites) > len(SITE_COLOURS):
        ax.plot(rows["price"], rows["gain"], **MANY)
        _name_ends(ax, rows, middle)
        return
    looks = site_looks(sites)
    for site, price, gain in rows[["site", "price", "gain"]].itertuples(index=False, name=None):
        look = looks[site]
        ax.plot([price], [gain], ls="", color=look.colour, marker=look.marker, ms=5, label=site)


def _name_ends(ax: Axes, rows: pd.DataFrame, middle: float) -> None:
    """Name the hospitals that gain most and least, and the dearest, on the side with room."""
    ends = rows.loc[list({rows["gain"].idxmax(), rows["gain"].idxmin(), rows["price"].idxmax()})]
    for site, price, gain in ends[["site", "price", "gain"]].itertuples(index=False, name=None):
        right = price <= middle
        ax.annotate(
            short(site, 18), (price, gain), (4 if right else -4, 0), fontsize=6, va="center",
            textcoords="offset points", ha="left" if right else "right",
        )  # fmt: skip


ANSWER = Answer(
    "cost",
    numbers,
    (
        TextTable(
            "Costs and gains",
            table,
            "MB: 10⁶ bytes of tensors; test AUC of the kept model over alone",
        ),
    ),
    (
        Plot(
            "rollout-cost",
            "Test AUC of the kept models over alone, against what it cost.",
            figure,
            is_of_rollout=True,
        ),
    ),
    "no hospital has done anything.",
)
