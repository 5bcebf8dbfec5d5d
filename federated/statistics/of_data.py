"""What hospitals told of their data, hospital by hospital and together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from federated.errors import UserError
from federated.exchange.statistics import CLASSES, EDGES, GREY, GREYS, PATIENTS, SIZES
from federated.runs.columns import DATA_COLUMNS
from federated.statistics.rates import wilson

EVERYONE = "all hospitals"
IMAGES, GROUPS, LEFT_OUT = "images", "groups", "left_out"
DASH = "–"


@dataclass(frozen=True)
class Told:
    """The answers of all hospitals.

    Attributes:
        numbers: A row a hospital, a column a number; NaN where it was withheld or not asked for.
        minimum: The least count that was told.
    """

    numbers: pd.DataFrame
    minimum: int

    @property
    def silent(self) -> list[str]:
        """The hospitals that told nothing, for they have too few images."""
        return [str(site) for site, images in self.numbers[IMAGES].items() if np.isnan(images)]

    def total(self, name: str) -> tuple[float, bool]:
        """Return the sum of a number over the hospitals that told it, and whether all did."""
        if name not in self.numbers:
            return 0.0, True
        column = self.numbers[name]
        return float(column.sum()), bool(column.notna().all())

    def greys(self) -> pd.DataFrame:
        """Return the grey shares of each hospital that told them, and their mean over images."""
        rows = self.numbers.reindex(columns=list(GREY)).dropna()
        weights = self.numbers.loc[rows.index, IMAGES]
        if len(rows) > 1:
            rows.loc[EVERYONE] = rows.mul(weights, axis=0).sum() / weights.sum()
        return rows


def read(path: Path, minimum: int) -> Told:
    """Return what a run's ``data_statistics.csv`` holds.

    Raises:
        UserError: there is none.
    """
    try:
        rows = pd.read_csv(path)
    except OSError:
        raise UserError(
            f"{path} is not there: the hospitals were not asked; set statistics.ask=before."
        ) from None
    site, name, value = DATA_COLUMNS
    return Told(rows.pivot(index=site, columns=name, values=value).astype(float), minimum)


def table(told: Told, classes: Sequence[str]) -> pd.DataFrame:
    """Return the answers as text, a row a hospital and one for all.

    Args:
        told: The answers.
        classes: What the classes are called, from 0.
    """
    rows = [_row(told, str(site), classes) for site in told.numbers.index]
    return pd.DataFrame([*rows, _everyone(told, classes)])


def _row(told: Told, site: str, classes: Sequence[str]) -> dict[str, str]:
    numbers = told.numbers.T[site]
    if np.isnan(numbers[IMAGES]):
        return {"site": site, IMAGES: f"under {told.minimum}"}

    def text(name: str) -> str:
        value = numbers.get(name, 0.0)
        return "withheld" if np.isnan(value) else f"{value:,.0f}"

    sizes = numbers.reindex(SIZES).fillna(0.0)
    row = {"site": site, IMAGES: text(IMAGES)}
    row |= {word: text(CLASSES[k]) for k, word in enumerate(classes)}
    row["prevalence"] = prevalence(numbers)
    row["usual shorter side"] = _span(int(np.argmax(sizes))) if sizes.any() else DASH
    row["mean grey"] = _mean_grey(numbers)
    row["patient unknown"] = text(PATIENTS[1])
    return {**row, "patients or groups": text(GROUPS), "left out": text(LEFT_OUT)}


def _everyone(told: Told, classes: Sequence[str]) -> dict[str, str]:
    def text(name: str) -> str:
        total, is_whole = told.total(name)
        return f"{'' if is_whole else 'at least '}{total:,.0f}"

    row = {"site": EVERYONE, IMAGES: text(IMAGES)}
    row |= {word: text(CLASSES[k]) for k, word in enumerate(classes)}
    whole = told.numbers[[n for n in (IMAGES, CLASSES[0]) if n in told.numbers]].dropna()
    row["prevalence"] = prevalence(whole.sum()) if len(whole) else DASH
    row |= {"usual shorter side": DASH, "mean grey": DASH}
    row["patient unknown"] = text(PATIENTS[1])
    return {**row, "patients or groups": text(GROUPS), "left out": text(LEFT_OUT)}


def prevalence(numbers: pd.Series) -> str:
    """Return the share of images that are not of class 0, with Wilson's interval."""
    images, first = numbers[IMAGES], numbers.get(CLASSES[0], np.nan)
    if not images or np.isnan(first):
        return DASH
    share = wilson(max(0.0, images - first), int(images))
    return f"{share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"


def _span(place: int) -> str:
    low, high = (0, *EDGES)[place], (*EDGES, None)[place]
    return f"{low} px or more" if high is None else f"{low} to {high - 1} px"


def _mean_grey(numbers: pd.Series) -> str:
    shares = numbers.reindex(GREY).to_numpy(float)
    if np.isnan(shares).any():
        return DASH
    middles = (np.arange(GREYS) + 0.5) * 256 / GREYS
    return f"{float(middles @ shares / shares.sum()):.0f} of 255"
