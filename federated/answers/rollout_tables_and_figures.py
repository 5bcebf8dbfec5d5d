"""What one run of a rollout answers: for each question its numbers, its tables, its figures."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import pandas as pd
from matplotlib.figure import Figure

from federated.answers.rollout_answers import cost, disturbances, joining, time_to_target, waiting
from federated.answers.rollout_cost import rollout_cost
from federated.answers.rollout_disturbances import rollout_disturbances
from federated.answers.rollout_joining import rollout_joining
from federated.answers.rollout_lines import rollout_benefit
from federated.answers.rollout_tables import (
    disturbance_table,
    joining_table,
    site_target_table,
    spending_table,
    target_table,
    waiting_table,
)
from federated.answers.rollout_target import rollout_target
from federated.answers.rollout_waiting import rollout_waiting
from federated.runs.reading import Run


@dataclass(frozen=True)
class Table:
    """One table of an answer: its title, how it is made, and what a reader has to know."""

    title: str
    of: Callable[[Run], pd.DataFrame]
    note: str


@dataclass(frozen=True)
class Answer:
    """One question to a run.

    Attributes:
        numbers: All numbers, unrounded.
        tables: The same as text, means over seeds; all are empty if there is nothing to tell.
        figures: File name in ``plots/`` -> figure.
        nothing: What to say if there is nothing to tell.
    """

    numbers: Callable[[Run], pd.DataFrame]
    tables: tuple[Table, ...]
    figures: Mapping[str, Callable[[Run], Figure]]
    nothing: str


def answers(target: float | None = None) -> Mapping[str, Answer]:
    """Return every question by its name.

    Args:
        target: As in ``time_to_target``.
    """
    return {
        "benefit": Answer(
            partial(time_to_target, target=target),
            (
                Table(
                    "Who reached the target",
                    partial(target_table, target=target),
                    "the first evaluation whose validation AUC is at least the target: "
                    + _target_note(target)
                    + "; hospitals are counted once a seed",
                ),
                Table(
                    "When each hospital reached its target",
                    partial(site_target_table, target=target),
                    "virtual time; test AUC at that moment, never used to choose it",
                ),
            ),
            {
                "rollout-target": partial(rollout_target, target=target),
                "rollout-benefit": rollout_benefit,
            },
            "no hospital has been evaluated together with others.",
        ),
        "waiting": Answer(
            waiting,
            (
                Table(
                    "Hours and waiting",
                    waiting_table,
                    "virtual hours of one seed; held up: hours that all others of a round waited "
                    "for it alone; late: left to a later round",
                ),
            ),
            {"rollout-waiting": rollout_waiting},
            "no hospital has waited for another: nothing was shared.",
        ),
        "cost": Answer(
            cost,
            (
                Table(
                    "Costs and gains",
                    spending_table,
                    "MB: 10⁶ bytes of tensors; test AUC of the kept model over alone",
                ),
            ),
            {"rollout-cost": rollout_cost},
            "no hospital has done anything.",
        ),
        "joining": Answer(
            joining,
            (
                Table(
                    "Newcomers",
                    joining_table,
                    "change of the others: validation AUC from their last evaluation before to 3 "
                    "rounds after, an observed difference and not the newcomer's doing; for that: "
                    "consilium contribution",
                ),
            ),
            {"rollout-joining": rollout_joining},
            "nobody has joined others that were there before.",
        ),
        "disturbances": Answer(
            disturbances,
            (
                Table(
                    "Disturbances",
                    disturbance_table,
                    "validation AUC: mean of the 2 evaluations before, of the first 2 since, and "
                    "the last; of the others those with both",
                ),
            ),
            {"rollout-disturbances": rollout_disturbances},
            "it has come to no outage, garbage, new scanner or departure.",
        ),
    }


def _target_note(target: float | None) -> str:
    if target is not None:
        return f"{target:g}"
    return "that of the scenario, else the best that the hospital reached alone"
