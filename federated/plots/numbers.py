"""The numbers that figures and the summary show, as DataFrames with undefined values kept."""

from collections.abc import Sequence

import pandas as pd

from federated.errors import UserError
from federated.learning.metrics import HIGHER_IS_BETTER
from federated.runs.columns import ROUND, SITE
from federated.runs.reading import Run

MOST_PANELS = 12
"""More sites than this cannot be read side by side."""

_NAMES = {
    "auc": "AUC",
    "f1": "F1",
    "cross_entropy": "cross-entropy",
    "memory_entries": "entries in memory",
    "memory_age": "mean age in memory (rounds)",
}
_AMOUNTS = ("memory_entries", "memory_age")
"""Metrics of which much is neither good nor bad."""
_SPLITS = {"train": "training", "val": "validation", "test": "test"}


def label(metric: str, split: str = "") -> str:
    """Return a metric, and the images it was measured on, as a reader would write it."""
    name = _NAMES.get(metric, metric.replace("_", " "))
    return f"{name} ({_SPLITS[split]})" if split else name


def values(run: Run, metric: str, split: str, model: str = "current") -> pd.DataFrame:
    """Return a metric as method, seed, round, site, value, num_examples; NaN where undefined.

    ``Run.wide`` leaves such rows out, and with them what a plot has to show as a gap.
    """
    return run.values(metric, split, model)


def used_or_kept(run: Run) -> str:
    """Return ``final``, the model that hospitals use, or of a run that has not ended ``kept``."""
    return "kept" if run.values("auc", "test", "final").empty else "final"


def names(frame: pd.DataFrame, column: str) -> list[str]:
    """Return the methods of a frame in the run's order, or its sites in name order.

    Sites do not report in the order of their names where some join or leave before others.
    """
    present = [str(name) for name in frame[column].unique()]
    return sorted(present) if column == "site" else present


def lower_is_worse(metric: str) -> bool:
    """Return whether a lower value is the worse one; metrics of training are losses and costs."""
    return HIGHER_IS_BETTER.get(metric, False)


def shown_sites(frame: pd.DataFrame, metric: str) -> tuple[list[str], str]:
    """Return the sites that get a panel, and a note for the title if some do not.

    Up to ``MOST_PANELS`` sites are shown in the run's order; of more, as many of the worst, the
    worst first, by the mean over methods and seeds of each one's last defined value.
    """
    sites = names(frame, "site")
    if len(sites) <= MOST_PANELS:
        return sites, ""
    last = frame.dropna(subset=["value"]).groupby(SITE)["value"].last()
    means = last.groupby("site", sort=False).mean()
    # Stable, so that equally bad sites stay in the run's order; sites without a value come last.
    ranked = means.sort_values(ascending=lower_is_worse(metric), kind="stable").index
    worst = [str(name) for name in ranked[:MOST_PANELS]]
    if metric in _AMOUNTS:
        return worst, f"The {len(worst)} of {len(sites)} sites with the highest {label(metric)}"
    return (
        worst,
        f"The {len(worst)} worst of {len(sites)} sites by {label(metric)}, the worst first",
    )


def rounds_apart(run: Run, split: str) -> int:
    """Return how many rounds lie from one number of a site to its next, if it misses none."""
    return 1 if split == "train" else run.study.common.eval.every


def by_seed(frame: pd.DataFrame, every: int = 1) -> pd.DataFrame:
    """Return the values of one method at one site as rounds x seeds, a gap for a missed round.

    ``every`` is as for ``with_gaps``.
    """
    return with_gaps(frame.pivot(index="round", columns="seed", values="value"), every)


def by_site(frame: pd.DataFrame, value: str = "value", every: int = 1) -> pd.DataFrame:
    """Return the mean over seeds of one method as rounds x sites, a gap for a missed round.

    ``every`` is as for ``with_gaps``.
    """
    return with_gaps(frame.groupby(["round", "site"])[value].mean().unstack("site"), every)


def with_gaps(table: pd.DataFrame, every: int = 1) -> pd.DataFrame:
    """Return a table with a row for each ``every``-th round from its first to its last.

    Rounds between these, in which nobody was to be evaluated, are no gaps.
    """
    if table.empty:
        return table
    there = set(table.index)
    rounds = range(int(table.index.min()), int(table.index.max()) + 1)
    return table.reindex([round for round in rounds if round % every == 0 or round in there])


def over_sites(frame: pd.DataFrame, how: str) -> pd.DataFrame:
    """Return ``how`` (min, max or mean, unweighted) over the sites, per method, seed and round.

    Sites that are missing or undefined in a round are left out of it.
    """
    return frame.groupby(ROUND, sort=False)["value"].agg(how).reset_index()


def kept_rounds(run: Run) -> pd.DataFrame:
    """Return the round whose model each site kept: method, seed, site, kept."""
    frame = values(run, "kept_round", "val", "final")
    return frame[[*SITE, "value"]].rename(columns={"value": "kept"})


def mean_and_sd(frame: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Return mean and sd of ``value`` over what is not in ``by``, the seeds as a rule."""
    return frame.groupby(list(by), sort=False)["value"].agg(["mean", "std"]).reset_index()


class NothingToDrawError(UserError):
    """The run has no such numbers, because it has not come so far or its methods have none."""


def defined(run: Run, metric: str, split: str, model: str = "current") -> pd.DataFrame:
    """Return ``values``.

    Raises:
        NothingToDrawError: not one of them is defined.
    """
    frame = values(run, metric, split, model)
    if frame["value"].isna().all():
        raise NothingToDrawError(f"{run.folder} has no {label(metric, split)} of a {model} model.")
    return frame


def of_two_classes(run: Run, what: str) -> None:
    """Refuse to draw what is of two classes for a run of more.

    Raises:
        NothingToDrawError: it has more.
    """
    if classes := run.study.common.data.classes:
        raise NothingToDrawError(
            f"{what} is of two classes, and this run has {len(classes)}: {', '.join(classes)}; "
            "the table of each class against the rest is in the run's summary."
        )
