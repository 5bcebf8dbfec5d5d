"""In which order hospitals should go live: the scenario's slots, dealt out anew."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from federated.config.given import Given
from federated.config.study import parse
from federated.data import site_names
from federated.errors import UserError
from federated.plots.rows import MOST_ROWS, name_rows
from federated.plots.style import DOUBLE, SINGLE, panels, styled
from federated.plots.text import text_table
from federated.questions.finding import Finding
from federated.questions.hospital_tables import one_table_each, without_tables
from federated.questions.trials import final_auc, the_method, trial
from federated.rollout.scenario import HOURS_PER_WEEK, Scenario, scenario_of
from federated.runs.reading import Run
from federated.statistics.effort import effort_of_runs

Queue = tuple[str, ...]
"""Hospitals in the order in which they go live."""

DOT = "#0072B2"

CHANCE = 0.5
"""AUC of a hospital that has no model yet."""


def ask(given: Given, folder: Path, *, tries: int = 24) -> Finding:
    """Return how good orders of going live are.

    Args:
        given: The checked configuration.
        folder: Of the runs, each in a folder of its own below it.
        tries: Orders to try at most.

    Raises:
        UserError: all go live together, or there are more methods than one.
    """
    method, common = the_method(given), parse(given).common
    scenario = scenario_of(common.rollout, common.calendars, site_names(common))
    if len(set(slots(scenario))) < 2:
        raise UserError("all hospitals go live in the same week, so there is no order to choose.")
    until = parse(given).by_method[method].rounds / common.rollout.rounds_per_week
    rows, runs = {}, []
    for place, queue in enumerate(queues_to_try(scenario, tries, common.rollout.seed)):
        changes = {"methods": method, **settings_of(scenario, queue)}
        run = trial(without_tables(given), folder / f"order-{place:03d}", changes)
        runs.append((run, method))
        over_time = auc_over_time(run, method, list(scenario.hospitals), until)
        rows[queue] = {
            "val AUC over time": float(over_time.mean()),
            "final val AUC": float(final_auc(run, method, "val").mean()),
            "final test AUC": float(final_auc(run, method).mean()),
        }
    numbers, given_order = ranking(rows), written(given_queue(scenario))
    words = (
        f"{len(numbers)} orders with {method}, best first by validation AUC over time (0.5 before "
        "a hospital has a model).\nThe scenario's own order is the first that was run: "
        f"{given_order}\n{effort_of_runs(runs)}"
    )
    return Finding(words, numbers, table(numbers), figure(numbers, given_order))


def written(queue: Queue) -> str:
    """Return an order as the table writes it."""
    return " > ".join(queue)


def slots(scenario: Scenario) -> list[float]:
    """Return the weeks in which hospitals go live, in time order."""
    return sorted(hospital.go_live for hospital in scenario.hospitals.values())


def given_queue(scenario: Scenario) -> Queue:
    """Return the hospitals as the scenario has them go live."""
    go_live = {name: hospital.go_live for name, hospital in scenario.hospitals.items()}
    return tuple(sorted(go_live, key=lambda name: (go_live[name], name)))


def queues_to_try(scenario: Scenario, samples: int, seed: int) -> list[Queue]:
    """Return the scenario's own order and others that differ in who goes live when.

    All of them if there are no more than ``samples``, else ``samples`` drawn at random.
    """
    first, weeks = given_queue(scenario), slots(scenario)

    def canonical(queue: Sequence[str]) -> Queue:
        # Hospitals that go live together have no order among them.
        return tuple(name for _, name in sorted(zip(weeks, queue, strict=True)))

    random = Random(seed)
    if len(first) <= 6:
        every = {canonical(first): None}
        every |= dict.fromkeys(canonical(queue) for queue in permutations(sorted(first)))
        others = list(every)[1:]
        random.shuffle(others)
    else:
        others = [canonical(random.sample(sorted(first), len(first))) for _ in range(samples)]
    return [canonical(first), *list(dict.fromkeys(others))[: max(0, samples - 1)]]


def settings_of(scenario: Scenario, queue: Queue) -> dict[str, Any]:
    """Return the scenario as one table a hospital, with the slots dealt out in that order."""
    return one_table_each(
        replace(scenario.hospitals[name], go_live=week)
        for name, week in zip(queue, slots(scenario), strict=True)
    )


def auc_over_time(run: Run, method: str, hospitals: Sequence[str], until: float) -> pd.Series:
    """Return each hospital's validation AUC as a mean over time; chance before it has a model.

    Between evaluations a hospital uses the model of the last one; the mean is over the weeks from 0
    to ``until``, and over seeds.

    Args:
        run: The run, with a timeline.
        method: Whose rounds.
        hospitals: All hospitals that should count, live or not.
        until: Where time ends, weeks.
    """
    time = run.timeline.query("activity == 'evaluate' and method == @method")
    keys = ["seed", "round", "site"]
    auc = run.wide("val").query("method == @method")[[*keys, "auc"]]
    rows = time[[*keys, "end"]].merge(auc, on=keys)
    rows = rows.assign(week=rows["end"] / HOURS_PER_WEEK).dropna(subset=["auc"])
    return pd.Series(
        {name: _mean_over_time(rows[rows["site"] == name], until) for name in hospitals}
    )


def _mean_over_time(rows: pd.DataFrame, until: float) -> float:
    if rows.empty:
        return CHANCE
    means = []
    for _, seed in rows.groupby("seed"):
        steps = seed.sort_values("week")
        weeks = [0.0, *steps["week"].clip(upper=until), until]
        levels = [CHANCE, *steps["auc"]]
        areas = (
            level * (end - begin)
            for level, begin, end in zip(levels, weeks[:-1], weeks[1:], strict=True)
        )
        means.append(sum(areas) / until)
    return float(sum(means) / len(means))


def ranking(rows: Mapping[Queue, Mapping[str, float]]) -> pd.DataFrame:
    """Return orders from best to worst by validation AUC over time.

    Args:
        rows: For each order ``val AUC over time`` and the final ``val AUC`` and ``test AUC``.
    """
    table = pd.DataFrame([{"order": written(queue), **numbers} for queue, numbers in rows.items()])
    return table.sort_values("val AUC over time", ascending=False, kind="stable", ignore_index=True)


def table(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return the numbers as text."""
    forms = {"val AUC over time": "{:.4f}", "final val AUC": "{:.3f}", "final test AUC": "{:.3f}"}
    return text_table(numbers, ["order"], {name: (name, form) for name, form in forms.items()})


@styled
def figure(numbers: pd.DataFrame, given_order: str) -> Figure:
    """Draw every order that was tried, best on top; a ring marks the scenario's own.

    Args:
        numbers: Of ``ranking``.
        given_order: The scenario's own order, as the table writes it.
    """
    table = numbers.iloc[:MOST_ROWS]
    long = max(len(order) for order in table["order"])
    figure, axes = panels(1, width=DOUBLE if long > 24 else SINGLE, height=0.4 + 0.17 * len(table))
    if long > 24:
        figure.set_figwidth(DOUBLE)
    ax, rows = axes[0], range(len(table))
    ax.plot(table["val AUC over time"], rows, "o", color=DOT, ms=4)
    ringed = [row for row, order in zip(rows, table["order"], strict=True) if order == given_order]
    ax.plot(table["val AUC over time"].iloc[ringed], ringed, "o", mfc="none", mec="#000000", ms=8)
    name_rows(ax, list(table["order"]), 70)
    ax.set_xlabel("validation AUC, mean over hospitals and weeks; ring: the scenario's own order")
    return figure
