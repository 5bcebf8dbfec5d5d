"""What a choice between methods may look at: their kept models on the validation images."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from federated.plots.text import DASH, markdown, number, plus_minus
from federated.statistics.interval import Interval, mean_of_seeds
from federated.sweeps.intervals import shown
from federated.sweeps.results import tidy

TOLD = (
    "On the validation images, the only ones by which to choose between methods: AUC of the kept "
    "model, mean ± sd over the seeds{compared}. Run {run}:"
)
COMPARED = (
    ", and its difference to {reference}, paired by seed, with Student's 95 % interval, which "
    "tells of the chance in training; other images are not in it"
)


def validation_lines(results: Path, reference: str) -> list[str]:
    """Return the tables as Markdown, each with what it tells; arguments as for the tables."""
    lines = list[str]()
    for run, table in validation_tables(results, reference).items():
        has_reference = difference_to(reference) in table
        compared = COMPARED.format(reference=reference) if has_reference else ""
        lines += ["", TOLD.format(compared=compared, run=run), "", *markdown(table)]
    return lines


def difference_to(reference: str) -> str:
    """Return the header of the differences to a method."""
    return f"minus that of {reference}"


def validation_tables(results: Path, reference: str) -> dict[str, pd.DataFrame]:
    """Return by run, as text, the validation AUC of each site and method, and its difference.

    Args:
        results: Folder of a sweep's results.
        reference: Method that the others are compared with, as ``compare.reference``.

    Raises:
        UserError: there are no results.
    """
    frame = tidy(results)
    wanted = {"split": "val", "model": "kept", "metric": "auc"}
    frame = frame[(frame[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    return {str(run): _table(of_run, reference) for run, of_run in frame.groupby("run", sort=False)}


def _table(frame: pd.DataFrame, reference: str) -> pd.DataFrame:
    rows = []
    for site, of_site in frame.groupby("site"):
        by_method = {
            str(method): of_method.set_index("seed")["value"]
            for method, of_method in of_site.groupby("method", sort=False)
        }
        for method, areas in by_method.items():
            row = {
                "site": str(site),
                "method": method,
                "seeds": str(len(areas)),
                "validation AUC": plus_minus(areas.mean(), areas.std()),
            }
            if reference in by_method:
                less = mean_of_seeds((areas - by_method[reference]).dropna().to_numpy(np.float64))
                row[difference_to(reference)] = DASH if method == reference else _less(less)
            rows.append(row)
    return pd.DataFrame(rows)


def _less(difference: Interval) -> str:
    """Return a difference as text; that of one seed has no interval."""
    if math.isnan(difference.low):
        return number(difference.value, "{:+.3f}")
    return shown(difference, "+")
