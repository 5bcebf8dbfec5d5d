"""The numbers that README and docs name first, of whole runs, as a small table that is kept.

    python -m federated.report.headline RUN [RUN …] --to docs/results/headline.csv

A row per run, method and hospital, and one for the mean over hospitals: test AUC of the model that
a hospital uses in the end, and its difference to the reference, with 95 % intervals. What the pages
say of these runs is held against this table (``tests/test_headline.py``).
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from federated.errors import UserError
from federated.report.standing import USED, standings
from federated.runs.reading import Run, load
from federated.statistics.interval import UNDEFINED, Interval

MEAN = "mean"
"""In the place of a hospital: the unweighted mean over all of them."""
COLUMNS = (
    "run", "seeds", "method", "site", "images", "auc", "auc_low", "auc_high",
    "difference", "difference_low", "difference_high",
)  # fmt: skip


def headline(runs: Sequence[Run]) -> pd.DataFrame:
    """Return the table; numbers are rounded to four decimals, and empty where there is none.

    Raises:
        UserError: a run has not ended, or has one method only.
    """
    rows = [row for run in runs for row in _rows(run)]
    return pd.DataFrame(rows, columns=list(COLUMNS)).round(4)


def _rows(run: Run) -> Iterator[tuple[Any, ...]]:
    found = standings(run, USED)
    if not found.areas or found.reference is None:
        raise UserError(f"{run.folder} has not tested two methods to the end; finish it first.")
    name, methods = run.study.common.name, dict.fromkeys(method for _, method in found.areas)
    for (site, method), area in found.areas.items():
        standing = found.of(site, method)
        apart = standing.difference if standing else None
        yield (name, found.seeds, method, site, found.images[site], *_ends(area), *_ends(apart))
    for method in methods:
        images = sum(found.images.values())
        areas = [area.value for (_, one), area in found.areas.items() if one == method]
        mean = UNDEFINED._replace(value=sum(areas) / len(areas))
        apart = found.means.get(method)
        yield (name, found.seeds, method, MEAN, images, *_ends(mean), *_ends(apart))


def _ends(interval: Interval | None) -> Interval:
    if interval is None:
        return UNDEFINED
    return interval


def gain_text(table: pd.DataFrame, run: str, method: str, site: str = MEAN) -> str:
    """Return a difference as the pages write it: ``+0.031 [+0.004, +0.060]``."""
    rows = table[(table["run"] == run) & (table["method"] == method) & (table["site"] == site)]
    (row,) = rows.to_dict("records")
    low, high = row["difference_low"], row["difference_high"]
    return f"{row['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def main(words: list[str] | None = None) -> int:
    """Write the table of some runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folders of runs")
    parser.add_argument("--to", type=Path, required=True, metavar="FILE.csv", help="where to")
    arguments = parser.parse_args(words)
    try:
        table = headline([load(folder) for folder in arguments.runs])
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    table.to_csv(arguments.to, index=False, lineterminator="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
