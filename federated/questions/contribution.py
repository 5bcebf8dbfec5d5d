"""What each hospital gains, and what the others gain from it, by running without it.

A game of hospitals: the worth of a coalition S is the gain of its members over training alone,
v(S) = sum over i in S of AUC_i(S) - AUC_i({i}), on test images, each model chosen on its hospital's
own validation images. The Shapley value (Shapley 1953) is a hospital's mean marginal worth over all
orders of joining; for more than ``EXACT`` hospitals orders are sampled (Castro et al. 2009).
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from federated.config.given import Given
from federated.config.study import parse
from federated.data import site_names
from federated.errors import UserError
from federated.plots.rows import MOST_ROWS, name_rows
from federated.plots.style import DOUBLE, panels, styled
from federated.plots.text import text_table
from federated.questions.finding import Finding
from federated.questions.trials import final_auc, the_method, trial
from federated.rollout.scenario import scenario_of
from federated.runs.reading import Run
from federated.statistics.effort import effort_of_runs

EXACT = 4
"""Up to so many hospitals all orders are played: 15 runs for four."""

GAIN, OTHERS, SHARE = "#0072B2", "#E69F00", "#009E73"

Coalition = frozenset[str]
Aucs = Callable[[Coalition], pd.Series]
"""AUC of each member of a coalition, by running it."""


def ask(given: Given, folder: Path, *, left_out: str = "", orders: int = 0) -> Finding:
    """Return what hospitals of a configuration gain and give.

    Args:
        given: The checked configuration.
        folder: Of the runs, each in a folder of its own below it.
        left_out: Names of hospitals to leave out in turn, with commas between; none: all.
        orders: Of joining, for Shapley values; 0: none. Up to four hospitals all are played.

    Raises:
        UserError: there is one hospital only, or none of a name, or more methods than one.
    """
    method, common = the_method(given), parse(given).common
    everyone = list(scenario_of(common.rollout, common.calendars, site_names(common)).hospitals)
    sites = [name.strip() for name in left_out.split(",") if name.strip()] or everyone
    if len(everyone) < 2:
        raise UserError("one hospital by itself contributes to nobody; name more of them.")
    for name in sites:
        if name not in everyone:
            raise UserError(f"--of: there is no hospital {name} among {', '.join(everyone)}.")
    known: dict[Coalition, pd.Series] = {}
    runs: list[tuple[Run, str]] = []

    def aucs(coalition: Coalition) -> pd.Series:
        if coalition not in known:
            members = ",".join(sorted(coalition))
            changes = {"methods": method, "rollout.only": members}
            name = "all" if len(coalition) == len(everyone) else members.replace(",", "+")
            run = trial(given, folder / name, changes)
            runs.append((run, method))
            known[coalition] = final_auc(run, method)
        return known[coalition]

    numbers = leave_one_out(aucs, everyone, sites)
    if orders:
        played = orders_to_play(everyone, orders, common.rollout.seed)
        numbers = numbers.merge(shapley(aucs, played), on="site", how="right")
    words = (
        f"Test AUC with {method}; {len(known)} runs; every seed counts, their mean is shown.\n"
        f"{effort_of_runs(runs)}"
    )
    return Finding(words, numbers, table(numbers), figure(numbers))


def worth(aucs: Aucs, coalition: Coalition) -> float:
    """Return v(S), AUC summed over hospitals; 0 for nobody or one."""
    if len(coalition) < 2:
        return 0.0
    together = aucs(coalition)
    return float(sum(together[site] - aucs(frozenset([site]))[site] for site in sorted(coalition)))


def leave_one_out(aucs: Aucs, everyone: Sequence[str], sites: Sequence[str]) -> pd.DataFrame:
    """Return what hospitals gain by being there, and what the others gain by that.

    Args:
        aucs: Runs a coalition.
        everyone: All hospitals.
        sites: Those to leave out in turn.

    Returns:
        Columns ``site``, ``alone`` and ``together`` (AUC), ``own gain``, ``others' gain`` (mean
        over the others of AUC with it minus AUC without it), ``worst other`` (the least of these).
    """
    full = frozenset(everyone)
    together = aucs(full)
    rows = []
    for site in sites:
        alone = float(aucs(frozenset([site]))[site])
        without = aucs(full - {site})
        gains = together[without.index] - without
        rows.append(
            {
                "site": site,
                "alone": alone,
                "together": float(together[site]),
                "own gain": float(together[site]) - alone,
                "others' gain": float(gains.mean()),
                "worst other": float(gains.min()),
            }
        )
    return pd.DataFrame(rows)


def orders_to_play(everyone: Sequence[str], samples: int, seed: int) -> list[tuple[str, ...]]:
    """Return all orders of joining, or ``samples`` drawn ones if there are too many hospitals."""
    if len(everyone) <= EXACT:
        return list(permutations(sorted(everyone)))
    random = Random(seed)
    return [tuple(random.sample(sorted(everyone), len(everyone))) for _ in range(samples)]


def shapley(aucs: Aucs, orders: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return each hospital's mean marginal worth over orders of joining.

    Returns:
        Columns ``site``, ``shapley`` (AUC summed over hospitals) and ``standard error`` (over
        sampled orders; 0 if all were played).
    """
    marginal: dict[str, list[float]] = {site: [] for site in sorted(orders[0])}
    for order in orders:
        before = 0.0
        for count, site in enumerate(order, start=1):
            after = worth(aucs, frozenset(order[:count]))
            marginal[site].append(after - before)
            before = after
    all_played = len(orders[0]) <= EXACT
    return pd.DataFrame(
        {
            "site": site,
            "shapley": float(np.mean(values)),
            "standard error": 0.0
            if all_played
            else float(np.std(values, ddof=1) / np.sqrt(len(values)))
            if len(values) > 1
            else float("nan"),
        }
        for site, values in marginal.items()
    )


def table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers as text."""
    columns = {name: (name, "{:.3f}") for name in numbers.columns if name != "site"}
    return text_table(numbers, ["site"], columns)


@styled
def figure(numbers: pd.DataFrame) -> Figure:
    """Draw what each hospital gains, gives and, if it was computed, its Shapley value.

    Args:
        numbers: Of ``leave_one_out``, with the columns of ``shapley`` merged in or not.
    """
    rows = numbers.iloc[:MOST_ROWS]
    drawn = [("own gain", "its own gain by taking part", GAIN)]
    drawn.append(("others' gain", "the others' mean gain by its taking part", OTHERS))
    if "shapley" in rows:
        drawn.append(("shapley", "its Shapley value, sum over hospitals", SHARE))
    figure, axes = panels(
        len(drawn), width=DOUBLE, height=0.35 + 0.2 * len(rows), least=2.2, sharey=True
    )
    for ax, (column, title, colour) in zip(axes, drawn, strict=True):
        errors = rows["standard error"] if column == "shapley" else None
        ax.barh(range(len(rows)), rows[column], color=colour, height=0.6, xerr=errors)
        ax.axvline(0, color="#555555", linewidth=0.8)
        ax.set_title(title)
        ax.set_xlabel("test AUC")
        ax.xaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
        name_rows(ax, list(rows["site"]))
    return figure
