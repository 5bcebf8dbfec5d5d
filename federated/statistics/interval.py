"""A number with its interval."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

LEVEL = 0.95
"""Of every interval."""
TAIL = (1 - LEVEL) / 2


class Interval(NamedTuple):
    """A number, and from where to where it may be; NaN where that is undefined."""

    value: float
    low: float
    high: float


UNDEFINED = Interval(math.nan, math.nan, math.nan)


def of_replicates(value: float, replicates: Floats) -> Interval:
    """Return the percentile interval of (draws,) bootstrap replicates around ``value``.

    Replicates without a class have no AUC and are left out; if most are, there is no interval.
    """
    known = replicates[np.isfinite(replicates)]
    if not math.isfinite(value) or 2 * len(known) <= len(replicates):
        return Interval(value, math.nan, math.nan)
    low, high = np.quantile(known, [TAIL, 1 - TAIL])
    return Interval(value, float(low), float(high))


def of_biased_replicates(value: float, replicates: Floats) -> Interval:
    """Return the percentile interval of replicates that are moved by their bias, 0 or above.

    For a number such as ECE: a draw holds images twice, which looks like worse calibration, so that
    replicates lie around ``value`` + bias, and their own percentiles may all be above it. The bias
    is their mean minus ``value`` (Efron and Tibshirani 1993, chapter 10).
    """
    known = replicates[np.isfinite(replicates)]
    bias = float(known.mean()) - value if len(known) else 0.0
    found = of_replicates(value, replicates - bias)
    low, high = (max(0.0, end) for end in (found.low, found.high))
    return Interval(value, low, high) if math.isfinite(found.low) else found


def mean_of_seeds(values: Floats) -> Interval:
    """Return the mean over seeds with Student's interval; of a single seed there is none.

    For numbers whose images cannot be drawn again: it tells of the chance in training alone.
    """
    from scipy.stats import t  # type: ignore[import-untyped]

    known = values[np.isfinite(values)]
    if not len(known):
        return UNDEFINED
    mean = float(known.mean())
    if len(known) < 2:
        return Interval(mean, math.nan, math.nan)
    half = float(t.ppf(1 - TAIL, len(known) - 1) * known.std(ddof=1) / math.sqrt(len(known)))
    return Interval(mean, mean - half, mean + half)
