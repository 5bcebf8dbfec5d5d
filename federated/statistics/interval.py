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
