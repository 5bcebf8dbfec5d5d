"""The AUC of one set of images with its interval, and two AUCs of the same images compared."""

from __future__ import annotations

import math

import numpy as np

from federated.learning.metrics import Labels, Scores
from federated.learning.multiclass import area, paired_area_difference
from federated.statistics.interval import TAIL, UNDEFINED, Interval


def delong_interval(scores: Scores, labels: Labels) -> Interval:
    """Return the AUC of (n,) scores, or the macro AUC of (n, K), with its interval, cut to [0, 1].

    The variance is that of the placements: an AUC is its difference to the AUC of a score that
    knows nothing, 1/2 with variance 0. At 1 and 0, where that variance is 0, the interval is
    ``at_its_end``. NaN where a class is missing, and elsewhere where one has a single image.

    Source: DeLong et al., Biometrics 44(3), 1988.
    """
    value = area(scores, labels)
    if math.isnan(value):
        return UNDEFINED
    if value in (0, 1):
        return at_its_end(value, int(np.unique(labels, return_counts=True)[1].min()))
    _, error = paired_area_difference(scores, scores * 0, labels)
    reach = norm_quantile() * error
    return Interval(value, max(0.0, value - reach), min(1.0, value + reach))


def at_its_end(value: float, cases: int) -> Interval:
    """Return an AUC of 1 or 0 with an interval, which no variance of its own gives.

    Every image of the rarer class is ranked above (below) all others: ``cases`` successes of as
    many trials, whose interval is Clopper and Pearson's (Biometrika 26(4), 1934).

    Args:
        value: 1 or 0.
        cases: Images, or groups of them, of the rarer class.
    """
    least = TAIL ** (1 / cases)
    return Interval(1.0, least, 1.0) if value == 1 else Interval(0.0, 0.0, 1 - least)


def delong_p(scores: Scores, others: Scores, labels: Labels) -> tuple[float, float]:
    """Return AUC(scores) - AUC(others) of the same images and the two-sided p of DeLong's test.

    p is 1 where both rank all pairs alike; NaN where an AUC is undefined.
    """
    from scipy.stats import norm  # type: ignore[import-untyped]

    difference, error = paired_area_difference(scores, others, labels)
    if error == 0:
        return difference, 1.0 if difference == 0 else 0.0
    return difference, float(2 * norm.sf(abs(difference) / error))


def norm_quantile() -> float:
    """Return 1.96: how many standard deviations an interval of a normal number reaches."""
    from scipy.stats import norm

    return float(norm.isf(TAIL))
