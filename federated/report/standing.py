"""How good each method is at each hospital and how far from the reference, with intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from federated.config.presets import ALONE
from federated.plots.numbers import names, values
from federated.runs.reading import Run
from federated.statistics.images import labels_of, scored_once
from federated.statistics.interval import Interval, mean_of_seeds, of_replicates
from federated.statistics.methods import mean_difference, pairs, reference_of, verdict
from federated.statistics.scored import Scored

USED, KEPT = "final", "kept"
"""The model that a hospital uses in the end, and that of the round which was kept."""


@dataclass(frozen=True)
class Standing:
    """One method at one hospital against the reference at the same.

    Attributes:
        site: The hospital.
        method: The method.
        difference: In test AUC, mean over seeds.
        verdict: As ``statistics.methods.verdict``.
        is_same: Whether the hospital uses the very model of the reference.
    """

    site: str
    method: str
    difference: Interval
    verdict: str
    is_same: bool


@dataclass(frozen=True)
class Standings:
    """All of a run's test AUCs of one model.

    Attributes:
        model: ``final`` or ``kept``.
        reference: What the methods are compared with; None if there is nothing to compare.
        areas: Test AUC by (site, method), mean over seeds.
        against: The methods but the reference, hospital by hospital.
        means: Mean difference over the hospitals, by method.
        images: Test images of each hospital.
        seeds: How many.
        is_over_images: Whether intervals are over patients and seeds, or over seeds alone.
    """

    model: str
    reference: str | None
    areas: Mapping[tuple[str, str], Interval]
    against: Sequence[Standing]
    means: Mapping[str, Interval]
    images: Mapping[str, int]
    seeds: int
    is_over_images: bool

    def of(self, site: str, method: str) -> Standing | None:
        """Return a method's standing at a hospital, None for the reference itself."""
        return next((s for s in self.against if (s.site, s.method) == (site, method)), None)

    @property
    def losing(self) -> set[tuple[str, str]]:
        """(site, method) whose whole interval is below the reference."""
        return {(s.site, s.method) for s in self.against if s.difference.high < 0}


def standings(run: Run, model: str = USED) -> Standings:
    """Return the test AUCs of a run; of the hospitals' predictions, where these can be read here.

    Otherwise, as at the server of a real federation, intervals are over the seeds alone.
    """
    return of_models(scored_once(run, model), run, model) or _of_metrics(run, model)


def of_models(models: Sequence[Scored], run: Run, model: str) -> Standings | None:
    """Return the standings of scored models, None if there are none.

    Args:
        models: Of one run or of several; those of several have the settings of ``run``.
        run: Says with what is compared, and by which margin.
        model: Which models these are.
    """
    if not models:
        return None
    compare = run.study.common.compare
    methods = {one.method for one in models}
    reference = reference_of(models, compare.reference) if len(methods) > 1 else None
    both = list(pairs(models, reference)) if reference else []
    against = []
    for one, other in both:
        difference = mean_difference(one, other)
        told = verdict(difference, compare.margin_of(len(one.labels)))
        is_same = bool(np.array_equal(one.scores, other.scores))
        against.append(Standing(one.site, one.method, difference, told, is_same))
    return Standings(
        model,
        reference,
        {(one.site, one.method): one.mean_auc for one in models},
        against,
        _mean_differences(both),
        {one.site: len(one.labels) for one in models},
        max(len(one.seeds) for one in models),
        is_over_images=True,
    )


def _mean_differences(both: Sequence[tuple[Scored, Scored]]) -> dict[str, Interval]:
    """Return the unweighted mean over hospitals of each method's difference.

    Hospitals are drawn independently of each other, so their replicates are averaged as they come.
    """
    means = {}
    for method in dict.fromkeys(one.method for one, _ in both):
        here = [pair for pair in both if pair[0].method == method]
        areas = [float((one.aucs - other.aucs).mean()) for one, other in here]
        draws = [one.over_seeds(one.auc_draws - other.auc_draws) for one, other in here]
        means[method] = of_replicates(float(np.mean(areas)), np.mean(draws, axis=0))
    return means


def _of_metrics(run: Run, model: str) -> Standings:
    frame = values(run, "auc", "test", model)
    methods = names(frame, "method")
    wanted = run.study.common.compare.reference
    reference = (wanted if wanted in methods else methods[0]) if len(methods) > 1 else None
    tables = {name: _by_seed(frame, name) for name in methods}
    areas = {
        (str(site), name): mean_of_seeds(row.to_numpy(dtype=float))
        for name, table in tables.items()
        for site, row in table.iterrows()
    }
    against, means = [], {}
    for name, table in tables.items():
        if reference is None or name == reference:
            continue
        apart = table - tables[reference]
        against += [_apart(run, frame, str(site), name, row) for site, row in apart.iterrows()]
        means[name] = mean_of_seeds(apart.mean().to_numpy(dtype=float))
    sizes = frame.groupby("site")["num_examples"].max()
    images = {str(site): int(size) for site, size in sizes.items()}
    seeds = int(frame["seed"].nunique())
    return Standings(model, reference, areas, against, means, images, seeds, is_over_images=False)


def _by_seed(frame: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the AUCs of a method as sites x seeds."""
    return frame[frame["method"] == method].pivot(index="site", columns="seed", values="value")


def _apart(run: Run, frame: pd.DataFrame, site: str, method: str, row: pd.Series) -> Standing:
    apart = row.to_numpy(dtype=float)
    images = int(frame.loc[frame["site"] == site, "num_examples"].max())
    difference = mean_of_seeds(apart)
    told = verdict(difference, run.study.common.compare.margin_of(images))
    return Standing(site, method, difference, told, is_same=False)


def leading(runs: Sequence[Run], found: Standings) -> str | None:
    """Return the method that the conclusion is about: the best on validation, never on test.

    The highest mean over hospitals and seeds of the validation AUC of the model that is used; of
    the methods that train together and leave the images where they are.
    """
    candidates = dict.fromkeys(standing.method for standing in found.against)
    frames, apart = [], dict.fromkeys(candidates)
    for (place, method), name in labels_of(runs).items():
        frame = values(runs[place], "auc", "val", found.model)
        frames.append(frame[frame["method"] == method].assign(method=name))
        if method == ALONE or runs[place].study.by_method[method].train.pooled:
            apart.pop(name, None)
    named = list(apart) or list(candidates)
    means = pd.concat(frames).groupby("method", sort=False)["value"].mean().reindex(named).dropna()
    if means.empty:
        return named[-1] if named else None
    return str(means.idxmax())
