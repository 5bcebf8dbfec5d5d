"""What every model of a run said of every test image, beside the label and the image's group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from federated.data.grouping import groups_by_site
from federated.errors import UserError
from federated.lazy import pd
from federated.runs.reading import Run, load
from federated.statistics.interval import Floats
from federated.statistics.rates import youden_threshold
from federated.statistics.scored import Scored


def scored(runs: Sequence[Run], model: str = "kept") -> list[Scored]:
    """Return what the models of one or several runs say of the test images, site by site.

    Empty where the hospitals' side lies elsewhere, or no model has been kept yet.

    Args:
        runs: Of the same hospitals, as far as they share any.
        model: ``kept`` or ``final``.

    Raises:
        UserError: two runs, or two seeds, have other test images of the same hospital.
    """
    labels = labels_of(runs)
    found: dict[str, list[Scored]] = {}
    for place, run in enumerate(runs):
        sites = run.sites
        tables = {
            (site, method): tables
            for site in sites
            for method in run.study.common.methods
            if (tables := _tables(run, site, method, model))
        }
        groups = groups_by_site(run.study.common, dict.fromkeys(site for site, _ in tables))
        for (site, method), by_seed in tables.items():
            one = _scored(site, labels[place, method], by_seed, groups.get(site, {}))
            one = replace(one, classes=run.study.common.data.classes)
            found.setdefault(site, []).append(one)
    for site, models in found.items():
        _refuse_other_images(site, models)
    return [one for site in sorted(found) for one in found[site]]


def scored_once(run: Run, model: str = "kept") -> tuple[Scored, ...]:
    """Return ``scored`` of one run, with the draws made of it, while the run stays as it is."""
    return _remembered(run.folder, model, run.files.metrics.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _remembered(folder: Path, model: str, changed: int) -> tuple[Scored, ...]:
    return tuple(scored([load(folder)], model))


def labels_of(runs: Sequence[Run]) -> Mapping[tuple[int, str], str]:
    """Return what each method of each run is called: by its run too, if others share its name."""
    names = [method for run in runs for method in run.study.common.methods]
    return {
        (place, method): method if names.count(method) == 1 else f"{run.folder.name}/{method}"
        for place, run in enumerate(runs)
        for method in run.study.common.methods
    }


def _tables(run: Run, site: str, method: str, model: str) -> dict[int, pd.DataFrame]:
    tables = {}
    for seed in run.study.common.seeds:
        try:
            table = run.predictions(site, method, seed, model)
        except FileNotFoundError:
            continue
        if (table["split"] == "test").any():
            tables[seed] = table
    return tables


def _scored(
    site: str, method: str, tables: Mapping[int, pd.DataFrame], groups: Mapping[str, str]
) -> Scored:
    tests = [table[table["split"] == "test"] for table in tables.values()]
    images = tuple(tests[0]["image"].astype(str))
    if any(tuple(test["image"].astype(str)) != images for test in tests):
        raise UserError(
            f"{site}, {method}: the seeds have different test images, so their mean says nothing; "
            "compare runs of one split of the data."
        )
    is_grouped = all(image in groups for image in images)
    names = [groups[image] for image in images] if is_grouped else list(images)
    return Scored(
        site=site,
        method=method,
        seeds=tuple(tables),
        images=images,
        labels=tests[0]["label"].to_numpy(dtype=np.int64),
        scores=np.stack([probabilities_of(test) for test in tests]),
        groups=np.unique(names, return_inverse=True)[1].astype(np.int64),
        is_grouped=is_grouped,
        thresholds=np.array([validation_threshold(table) for table in tables.values()]),
    )


def probabilities_of(table: pd.DataFrame) -> Floats:
    """Return a table's probabilities: (n,) of the second of two classes, or (n, K) of each."""
    if "probability" in table:
        return table["probability"].to_numpy(dtype=np.float64)
    names = [name for name in table if str(name).startswith("probability-")]
    return table[names].to_numpy(dtype=np.float64)


def probability_columns(scores: Floats) -> dict[str, Floats]:
    """Return (n,) or (n, K) probabilities as columns: the inverse of ``probabilities_of``."""
    if scores.ndim == 1:
        return {"probability": scores}
    return {f"probability-{k}": column for k, column in enumerate(scores.T)}


def validation_threshold(table: pd.DataFrame) -> float:
    """Return the threshold that the validation images of a table of predictions choose (Youden).

    NaN of K classes.
    """
    if "probability" not in table:
        return float("nan")
    val = table[table["split"] == "val"]
    return youden_threshold(val["probability"].to_numpy(float), val["label"].to_numpy(int))


def _refuse_other_images(site: str, models: Iterable[Scored]) -> None:
    first, *others = models
    for other in others:
        if other.images != first.images:
            raise UserError(
                f"{first.method} and {other.method} were tested on different images of {site}; "
                "differences are tested on the same images, so compare runs of one split of the "
                "data."
            )
