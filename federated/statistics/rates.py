"""Sensitivity and specificity at a threshold that validation images chose."""

from __future__ import annotations

import math

import numpy as np

from federated.learning.metrics import THRESHOLD, Labels, Scores, roc
from federated.statistics.interval import TAIL, UNDEFINED, Interval


def youden_threshold(scores: Scores, labels: Labels) -> float:
    """Return the threshold with the greatest sensitivity + specificity on these images.

    It lies halfway between the scores that it parts; of equally good ones the middle one is
    taken. Where a class is missing, or a score is NaN, it is ``metrics.THRESHOLD``.

    Source: Youden, Cancer 3(1), 1950.
    """
    fpr, tpr, thresholds = roc(scores, labels) if len(scores) else (np.array([np.nan]),) * 3
    gain = tpr - fpr
    if np.isnan(gain).any():
        return THRESHOLD
    best = np.flatnonzero(np.isclose(gain, gain.max(), rtol=0, atol=1e-9))
    place = int(best[(len(best) - 1) // 2])
    # The first threshold, infinity, calls nothing positive, as anything above 1 does.
    bounds = np.concatenate([[1.02], thresholds[1:], [0.0]])
    return float(bounds[place] + bounds[place + 1]) / 2


def wilson(hits: float, count: int) -> Interval:
    """Return the share ``hits / count`` with Wilson's interval; NaN of nothing.

    ``hits`` may be a mean over seeds: seeds add no images, so ``count`` stays that of one.

    Source: Wilson, JASA 22, 1927.
    """
    from statsmodels.stats.proportion import (  # type: ignore[import-untyped]
        proportion_confint,
    )

    if not count or math.isnan(hits):
        return UNDEFINED
    low, high = proportion_confint(hits, count, alpha=2 * TAIL, method="wilson")
    return Interval(hits / count, float(low), float(high))
