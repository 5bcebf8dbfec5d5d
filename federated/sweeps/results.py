"""What is kept of a cell once it has ended: small files that anyone can recompute a number from.

RESULTS/RUN/METHOD-seed-0/
  cell.toml       what it was: all settings, code digest, processor; by site, steps, images and the
                  thresholds that its validation images chose
  metrics.csv     of the models that the sites kept: site, split, model, metric, value, num_examples
  scores.csv      of each test image, by its place in the site's test split: label, group and the
                  probability that each model gave
"""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from federated.config.keys import KEYS, plain
from federated.config.presets import METHODS
from federated.config.study import value_of
from federated.data.grouping import groups_by_site
from federated.errors import UserError
from federated.runs.columns import CELL
from federated.runs.history import events
from federated.runs.reading import Run, load
from federated.statistics.images import probabilities_of, probability_columns, validation_threshold
from federated.storage import write_bytes
from federated.sweeps.plan import PlannedRun

Cell = tuple[str, int]

METRICS = ["site", "split", "model", "metric", "value", "num_examples"]
SCORED = ("kept", "final")
"""Models whose test scores are kept: of the round that was kept, and what the site uses at last."""
CURRENT = "current"


def cell_folder(results: Path, run: str, cell: Cell) -> Path:
    """Return where a cell's results lie."""
    return results / run / f"{cell[0]}-seed-{cell[1]}"


def ended_cells(run: Run) -> set[Cell]:
    """Return the cells of a run that have ended."""
    return set(events(run, "cell-ended", list(CELL)).itertuples(index=False, name=None))


def keep(planned: PlannedRun, folder: Path, results: Path) -> None:
    """Write the results of every cell that has ended and has none yet.

    Args:
        planned: The run as planned.
        folder: Of the run.
        results: Of the sweep.
    """
    if not (folder / "metrics.csv").exists():
        return
    run = load(folder)
    for cell in sorted(ended_cells(run)):
        place = cell_folder(results, planned.name, cell)
        if not (place / "cell.toml").exists():
            _write(run, planned, cell, place)


def _write(run: Run, planned: PlannedRun, cell: Cell, place: Path) -> None:
    """Write one cell; ``cell.toml`` is the last, and makes it count."""
    place.mkdir(parents=True, exist_ok=True)
    frame = run.metrics
    frame = frame[(frame["method"] == cell[0]) & (frame["seed"] == cell[1])]
    kept = frame[frame["model"] != CURRENT]
    write_bytes(place / "metrics.csv", kept[METRICS].to_csv(index=False, na_rep="nan").encode())
    sites = sorted(frame["site"].unique())
    predictions = {site: predictions_of(run, cell, site) for site in sites}
    groups = groups_by_site(run.study.common, sites)
    parts = [scores_of(site, of, groups.get(site, {})) for site, of in predictions.items() if of]
    scores = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["site"])
    write_bytes(place / "scores.csv", scores.to_csv(index=False).encode())
    facts = {
        **facts_of(run, planned, cell),
        "trained": trained(frame),
        "thresholds": {site: thresholds_of(of) for site, of in predictions.items()},
    }
    write_bytes(place / "cell.toml", tomli_w.dumps(facts).encode())


def facts_of(run: Run, planned: PlannedRun, cell: Cell) -> dict[str, Any]:
    """Return what a cell was, as TOML values."""
    method, config = cell[0], run.study.by_method[cell[0]]
    environment = run.environment
    places = ("folder", "modules", "data.cache", "engine.address")
    private = [key for key in KEYS if key in places or _is_place(key)]
    return {
        "method": method,
        "base": run.study.bases[method],
        "seed": cell[1],
        "run": planned.name,
        "code_sha256": environment["code_sha256"],
        "cpu": environment["cpu"],
        "packages": {k: v for k, v in environment["packages"].items() if v is not None},
        "grid": {key: plain(value) for key, value in planned.points[method].items()},
        "settings": {key: plain(value_of(config, key)) for key in KEYS if key not in private},
    }


def _is_place(key: str) -> bool:
    """Return whether a setting names a place on this machine's disk, which is nobody's business."""
    return key in ("data.covid-ct", "data.sars-cov-2", "data.manifest", "data.folder")


def trained(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the optimiser steps and the images seen by each site, summed over the rounds."""
    chosen = frame[(frame["split"] == "train") & frame["metric"].isin(["steps", "images_seen"])]
    sums = chosen.groupby(["site", "metric"])["value"].sum().unstack("metric")
    return {str(site): {str(k): float(v) for k, v in row.items()} for site, row in sums.iterrows()}


def predictions_of(run: Run, cell: Cell, site: str) -> dict[str, pd.DataFrame]:
    """Return by model what a site's models said of its images, of the models that it has."""
    found = {}
    for model in SCORED:
        with suppress(FileNotFoundError):
            found[model] = run.predictions(site, *cell, model)
    return found


def scores_of(
    site: str, predictions: Mapping[str, pd.DataFrame], groups: Mapping[str, str]
) -> pd.DataFrame:
    """Return a site's test scores: site, image, label, group, a column a model.

    Of K classes a model has K columns, ``kept-0`` and so on.

    ``image`` is its place in the split: every method and seed of a sweep has the same images in the
    same places. ``group`` numbers the patients, or the groups of near-duplicates, from 0; it is
    empty where they are not known.
    """
    columns: dict[str, Any] = {}
    for model, table in predictions.items():
        test = table[table["split"] == "test"].reset_index(drop=True)
        names = test["image"].map(groups)
        number = pd.factorize(names)[0] if names.notna().all() else None
        columns |= {"site": site, "image": test.index, "label": test["label"], "group": number}
        told = probability_columns(probabilities_of(test))
        columns |= {name.replace("probability", model): scores for name, scores in told.items()}
    return pd.DataFrame(columns)


def thresholds_of(predictions: Mapping[str, pd.DataFrame]) -> dict[str, float]:
    """Return by model the threshold that the validation images choose, and nothing else."""
    return {model: validation_threshold(table) for model, table in predictions.items()}


def read_cells(results: Path) -> Iterator[tuple[Mapping[str, Any], Path]]:
    """Yield the facts and the folder of every cell under a folder of results.

    Run by run, the methods in the order of the table of methods, a method's own in name order.
    """
    found = []
    for path in results.glob("*/*/cell.toml"):
        try:
            found.append((tomllib.loads(path.read_text(encoding="utf-8")), path.parent))
        except ValueError as error:
            raise UserError(f"{path} is damaged ({error}); remove its folder.") from error
    known = list(METHODS)

    def place(cell: tuple[Mapping[str, Any], Path]) -> tuple[str, int, str]:
        facts, folder = cell
        base = facts["base"]
        return facts["run"], known.index(base) if base in known else len(known), folder.name

    yield from sorted(found, key=place)


def tidy(results: Path) -> pd.DataFrame:
    """Return every number of every cell, one a row, with the cell's place in the grid."""
    parts = []
    for facts, folder in read_cells(results):
        numbers = pd.read_csv(folder / "metrics.csv", converters={"value": float})
        where = {key: facts[key] for key in ("run", "method", "base", "seed")} | facts["grid"]
        for place, (key, value) in enumerate(where.items()):
            numbers.insert(place, key, value)
        parts.append(numbers)
    if not parts:
        raise UserError(f"{results} holds no results of a sweep; name the folder that one wrote.")
    return pd.concat(parts, ignore_index=True)
