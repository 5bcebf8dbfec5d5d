"""In which order hospitals should go live: the scenario's slots, dealt out anew."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from random import Random
from typing import Any

import pandas as pd

from federated.questions.tables import one_table_each
from federated.rollout.scenario import HOURS_PER_WEEK, Scenario
from federated.runs.reading import Run

Order = tuple[str, ...]

CHANCE = 0.5
"""AUC of a hospital that has no model yet."""


def slots(scenario: Scenario) -> list[float]:
    """Return the weeks in which hospitals go live, in time order."""
    return sorted(hospital.go_live for hospital in scenario.hospitals.values())


def own_order(scenario: Scenario) -> Order:
    """Return the hospitals as the scenario has them go live."""
    return tuple(
        sorted(scenario.hospitals, key=lambda name: (scenario.hospitals[name].go_live, name))
    )


def orders_to_try(scenario: Scenario, samples: int, seed: int) -> list[Order]:
    """Return the scenario's own order and others that differ in who goes live when.

    All of them if there are no more than ``samples``, else ``samples`` drawn at random.
    """
    own, weeks = own_order(scenario), slots(scenario)

    def canonical(order: Sequence[str]) -> Order:
        # Hospitals that go live together have no order among them.
        return tuple(name for _, name in sorted(zip(weeks, order, strict=True)))

    found = {canonical(own): None}
    if len(own) <= 6:
        found |= dict.fromkeys(canonical(order) for order in permutations(sorted(own)))
    random = Random(seed)
    drawn = list(found)[1:]
    if len(own) <= 6:
        random.shuffle(drawn)
    else:
        drawn = [canonical(random.sample(sorted(own), len(own))) for _ in range(samples)]
    return [canonical(own), *list(dict.fromkeys(drawn))[: max(0, samples - 1)]]


def settings_of(scenario: Scenario, order: Order) -> dict[str, Any]:
    """Return the scenario as one table a hospital, with the slots dealt out in ``order``."""
    return one_table_each(
        replace(scenario.hospitals[name], go_live=week)
        for name, week in zip(order, slots(scenario), strict=True)
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


def ranking(rows: Mapping[Order, Mapping[str, float]]) -> pd.DataFrame:
    """Return orders from best to worst by validation AUC over time.

    Args:
        rows: For each order ``val AUC over time`` and the final ``val AUC`` and ``test AUC``.
    """
    table = pd.DataFrame(
        [{"order": " > ".join(order), **numbers} for order, numbers in rows.items()]
    )
    return table.sort_values("val AUC over time", ascending=False, kind="stable", ignore_index=True)
