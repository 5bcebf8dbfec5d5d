"""When each hospital reaches its target AUC, together and alone."""

from functools import partial
from math import isnan

import pandas as pd

from federated.answers.answer import Answer, TextTable
from federated.answers.sooner import (
    Course,
    against_alone,
    alone_words,
    clock_of,
    sentence_of,
    target_words,
    together_words,
)
from federated.config.presets import ALONE
from federated.errors import UserError
from federated.plots.plot import Plot
from federated.plots.rollout_benefit import rollout_benefit
from federated.plots.rollout_target import rollout_target as figure
from federated.plots.text import DASH, number
from federated.runs.history import evaluations
from federated.runs.reading import Run
from federated.statistics.reaching import numbers

__all__ = [
    "ANSWER",
    "figure",
    "numbers",
    "sentences",
    "table_by_method",
    "table_by_site",
    "with_target",
]

OF_SCENARIO = (
    "that of the scenario, else the hospital's own mean alone over its last quarter of evaluations"
)


def table_by_method(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return per method how many hospitals reached their target, and how much sooner than alone.

    Args:
        run: The run.
        target: As in ``numbers``.
    """
    frame, clock = numbers(run, target), clock_of(run)
    rows = []
    for method, group in frame[frame["method"] != ALONE].groupby("method", sort=False):
        together, by_itself = group[f"reached_{clock.column}"], group[f"alone_{clock.column}"]
        is_reached, is_alone = together.notna(), by_itself.notna()
        row = {"method": str(method), "reached": f"{is_reached.sum()} of {len(group)}"}
        if clock.has_alone:
            sooner = float((by_itself - together).median()) / clock.size
            row |= {
                "alone": f"{is_alone.sum()} of {len(group)}",
                "only together": str((is_reached & ~is_alone).sum()),
                "only alone": str((is_alone & ~is_reached).sum()),
                "median of those with both": DASH if isnan(sooner) else clock.difference(sooner),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def _courses_of(run: Run, target: float | None) -> list[tuple[str, str, pd.DataFrame, Course]]:
    """Return site, method, rows and course of all but ``local``, hospital by hospital."""
    frame, clock = numbers(run, target), clock_of(run)
    frame = frame[frame["method"] != ALONE]
    places = {name: place for place, name in enumerate(frame["site"].unique())}
    groups = [
        (str(site), str(method), rows, clock.course(rows))
        for (site, method), rows in frame.groupby(["site", "method"], sort=False)
    ]
    return sorted(groups, key=lambda group: places[group[0]])


def table_by_site(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return when each hospital reached its target, together and alone, in words.

    Args:
        run: The run.
        target: As in ``numbers``.
    """
    clock, rows = clock_of(run), []
    has_test = numbers(run, target)["test_auc"].notna().any()
    for site, method, seeds, course in _courses_of(run, target):
        row = {"site": site, "method": method, "target AUC": target_words(course)}
        row["reached"] = together_words(clock, course)
        if clock.has_alone:
            row["alone"] = alone_words(clock, course)
            row["against alone"] = against_alone(clock, course)
        if has_test:
            row["test AUC then"] = number(seeds["test_auc"].mean(), "{:.3f}")
        rows.append(row)
    return pd.DataFrame(rows)


def sentences(run: Run, target: float | None = None) -> pd.DataFrame:
    """Return a sentence per hospital and method, in the column ``hospital by hospital``.

    Args:
        run: The run.
        target: As in ``numbers``.
    """
    clock = clock_of(run)
    found = [
        sentence_of(clock, site, method, course)
        for site, method, _, course in _courses_of(run, target)
    ]
    # Of a hospital without a target each method would say the same.
    return (
        pd.DataFrame({"hospital by hospital": list(dict.fromkeys(found))})
        if found
        else pd.DataFrame()
    )


def _needs_evaluations(run: Run) -> None:
    """Raise if nothing has a validation AUC."""
    if evaluations(run)["val"].isna().all():
        raise UserError(f"{run.folder} has no validation AUC yet, so no target can be reached.")


def _needs_target(run: Run) -> None:
    """Raise if no hospital has a target, since none is stated and none was alone."""
    _needs_evaluations(run)
    common = run.study.common
    stated = [calendar.target_auc for _, calendar in common.calendars]
    if ALONE not in common.methods and not any([common.rollout.target_auc, *stated]):
        raise UserError(
            f"{run.folder} has no target: its methods have no local to compare with, and its "
            "scenario states none; give one with --target AUC."
        )


def with_target(target: float | None) -> Answer:
    """Return the answer for one target of all hospitals, or for those of the scenario.

    Raises:
        UserError: that is no AUC.
    """
    if target is not None and not 0 < target <= 1:
        raise UserError(f"--target {target:g} is no AUC; give one above 0 and at most 1.")
    return Answer(
        "benefit",
        partial(numbers, target=target),
        (
            TextTable(
                "Who reached the target",
                partial(table_by_method, target=target),
                f"reached: the mean of three validation AUCs in a row is at least the target, "
                f"{OF_SCENARIO if target is None else f'{target:g}'}, and stays there for three "
                "evaluations; hospitals are counted once a seed",
            ),
            TextTable(
                "When each hospital reached its target",
                partial(table_by_site, target=target),
                "the first of those three evaluations, in rounds or virtual time; of several seeds "
                "the median, in which never is later than all. Who still improves at the end of a "
                "short run has no time left to stay at its own target. [ ]: 95 % interval of the "
                "target over seeds; of one seed over its evaluations, which share their images, so "
                "it is too narrow. Test AUC (with eval.test = rounds) chooses nothing",
            ),
            TextTable(
                "In words",
                partial(sentences, target=target),
                "the same as in the table above, a sentence for each hospital and method",
            ),
        ),
        (
            Plot(
                "rollout-target",
                "When each hospital reached its target AUC and stayed there, together and alone; "
                "several seeds: their median, small dots: the seeds. An arrow at the right edge: "
                "not in this run.",
                partial(figure, target=target),
                is_of_rollout=True,
            ),
            Plot(
                "rollout-benefit",
                "Validation AUC together minus alone over virtual time, by hospital. Lines: means "
                "of three evaluations in a row; alone: its latest evaluation up to then. "
                "Above zero it pays to take part. Diamond: the target is reached.",
                partial(rollout_benefit, target=target),
                is_of_rollout=True,
            ),
        ),
        "no hospital has been evaluated together with others.",
        _needs_evaluations if target else _needs_target,
    )


ANSWER = with_target(None)
