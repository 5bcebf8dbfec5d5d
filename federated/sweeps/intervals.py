"""What a sweep's kept scores say with intervals: AUC, and differences to the reference, paired.

Everything is worked out from docs/results alone, by the statistics of a finished run.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from federated.config.evaluation import Compare
from federated.errors import UserError
from federated.plots.text import DASH
from federated.report import evidence
from federated.statistics.hospitals import over_hospitals
from federated.statistics.interval import Floats, Interval
from federated.statistics.methods import VERDICTS, against, by_seed, over_sites
from federated.statistics.scored import Scored
from federated.statistics.sites import over_seeds
from federated.sweeps.results import read_cells

ENDS = ("", "_low", "_high")
LEVELS = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ece": "ECE",
}
FEWEST_SITES = 3
"""From how many sites on a sweep has tables over all of them."""
Seeds = dict[int, tuple[pd.DataFrame, float]]
"""Of a site and method: seed -> test scores, and the threshold of the validation images."""


def scored_cells(results: Path, model: str) -> dict[str, list[Scored]]:
    """Return by run what each method's models of each site said of its test images.

    Args:
        results: Folder of a sweep's results.
        model: ``kept`` or ``final``.

    Raises:
        UserError: two cells of a run were tested on different images.
    """
    found: dict[str, dict[tuple[str, str], Seeds]] = {}
    classes: dict[str, tuple[str, ...]] = {}
    for facts, folder in read_cells(results):
        table = pd.read_csv(folder / "scores.csv")
        named = str(facts["settings"].get("data.classes", ""))
        classes[facts["run"]] = tuple(filter(None, named.split(",")))
        for site, scores in table.groupby("site", sort=True):
            columns = columns_of(scores, model)
            if columns and scores[columns].notna().all(axis=None):
                of = found.setdefault(facts["run"], {}).setdefault((str(site), facts["method"]), {})
                threshold = facts.get("thresholds", {}).get(site, {}).get(model, math.nan)
                of[facts["seed"]] = (scores.reset_index(drop=True), threshold)
    return {
        run: [
            replace(_scored(site, method, seeds, model), classes=classes[run])
            for (site, method), seeds in of.items()
        ]
        for run, of in found.items()
    }


def columns_of(scores: pd.DataFrame, model: str) -> list[str]:
    """Return the columns of a model: one of two classes, ``MODEL-0`` and so on of more."""
    return [str(c) for c in scores if c == model or str(c).startswith(f"{model}-")]


def scores_in(table: pd.DataFrame, model: str) -> Floats:
    """Return a model's scores, (n,), or of K classes (n, K)."""
    scores = table[columns_of(table, model)].to_numpy(dtype=np.float64)
    return scores[:, 0] if model in table else scores


def _scored(site: str, method: str, seeds: Seeds, model: str) -> Scored:
    seeds = dict(sorted(seeds.items()))
    tables = [table for table, _ in seeds.values()]
    first = tables[0]
    same = ["image", "label"]
    if any(not table[same].equals(first[same]) for table in tables):
        raise UserError(
            f"{site}, {method}: the seeds have different test images, so their mean says nothing; "
            "keep the results of one split of the data in one folder."
        )
    is_grouped = bool(first["group"].notna().all())
    groups = first["group"] if is_grouped else first["image"]
    return Scored(
        site=site,
        method=method,
        seeds=tuple(seeds),
        images=tuple(first["image"].astype(str)),
        labels=first["label"].to_numpy(dtype=np.int64),
        scores=np.stack([scores_in(table, model) for table in tables]),
        groups=np.unique(groups, return_inverse=True)[1].astype(np.int64),
        is_grouped=is_grouped,
        thresholds=np.array([threshold for _, threshold in seeds.values()]),
    )


def compare_of(results: Path) -> Compare:
    """Return how the methods were to be compared, as it was set before the sweep.

    Raises:
        UserError: the cells were run with different settings of it.
    """
    tables = [
        {
            key.removeprefix("compare.").replace("-", "_"): value
            for key, value in facts["settings"].items()
            if key.startswith("compare.")
        }
        for facts, _ in read_cells(results)
    ]
    if any(table != tables[0] for table in tables):
        raise UserError(f"{results}: its cells differ in compare.*, so no margin holds for all.")
    return Compare(**tables[0]) if tables else Compare()


def interval_tables(models: Sequence[Scored], compare: Compare) -> list[pd.DataFrame]:
    """Return as text two tables with a row per site and method, the reference first.

    First AUC, sensitivity, specificity and calibration error, each with its interval, then the
    difference in AUC to the reference. Intervals are those of a finished run (docs/STATISTICS.md).
    ``DeLong`` tells in how many seeds DeLong's paired test finds a difference at 0.05, corrected
    over all sites, methods and seeds (Holm).
    """
    reference = compare.reference
    # Sorting is stable: the methods stay in the order of the cells.
    models = sorted(models, key=lambda one: (one.site, one.method != reference))
    levels = pd.DataFrame([_level(row) for row in over_seeds(models).to_dict("records")])
    if not _has_reference(models, reference):
        return [levels]
    tests = by_seed(models, reference).groupby(["site", "method"])["p_holm"]
    clear = tests.agg(lambda p: f"{(p < 0.05).sum()} of {len(p)}").to_dict()
    found = against(models, reference, compare).to_dict("records")
    return [levels, pd.DataFrame([_difference(row, reference, clear) for row in found])]


def across_tables(models: Sequence[Scored], compare: Compare) -> list[pd.DataFrame]:
    """Return as text two tables with a row per method, over three sites or more; none of fewer.

    First mean, worst and pooled AUC; then the difference to the reference over all pairs of site
    and seed, with Wilcoxon's test, and at how many sites each verdict was given.
    """
    if len({one.site for one in models}) < FEWEST_SITES:
        return []
    tables = [evidence.over_hospitals_table(over_hospitals(models))]
    if _has_reference(models, compare.reference):
        verdicts = against(models, compare.reference, compare).groupby("method", sort=False)
        counts = verdicts["verdict"].value_counts().unstack(fill_value=0)
        counts = counts.reindex(columns=list(VERDICTS), fill_value=0).astype(str)
        pairs = evidence.over_sites_table(over_sites(by_seed(models, compare.reference)))
        tables.append(pairs.merge(counts, left_on="method", right_index=True))
    return tables


def _has_reference(models: Sequence[Scored], reference: str) -> bool:
    methods = {one.method for one in models}
    return reference in methods and len(methods) > 1


def _level(row: Mapping[Any, Any]) -> dict[str, str]:
    return {
        "site": row["site"],
        "method": row["method"],
        "seeds": str(row["seeds"]),
        "images in groups": f"{row['images']:,} in {row['groups']:,}",
        **{
            header: shown(Interval(*(row[name + end] for end in ENDS)))
            for name, header in LEVELS.items()
        },
    }


def _difference(row: Mapping[Any, Any], reference: str, clear: Mapping[Any, str]) -> dict[str, str]:
    reach = Interval(*(row["difference" + end] for end in ENDS))
    return {
        "site": row["site"],
        "method": row["method"],
        "seeds": str(row["seeds"]),
        f"AUC minus that of {reference}": shown(reach, "+"),
        "margin": f"{row['margin']:g}",
        "verdict": row["verdict"],
        "seeds in which DeLong finds a difference": clear[row["site"], row["method"]],
    }


def shown(interval: Interval, sign: str = "") -> str:
    """Return a number and its interval as text."""
    value, low, high = (DASH if math.isnan(end) else f"{end:{sign}.3f}" for end in interval)
    return f"{value} ({low} to {high})"
