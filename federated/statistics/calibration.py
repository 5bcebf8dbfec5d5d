"""Whether probabilities mean what they say, and whether deciding by them is of use."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from federated.learning.metrics import Labels, Scores
from federated.statistics.bootstrap import weighted_means
from federated.statistics.interval import Floats

BINS = 10
ODDS = np.linspace(0.05, 0.95, 19)
"""Thresholds of a decision curve: how likely a finding must be to be acted on."""


def bins_of(scores: Scores) -> npt.NDArray[np.int64]:
    """Return the bin of each probability: ten of equal width, 1 in the last."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def squared_errors(scores: Scores, labels: Labels) -> Floats:
    """Return (n,) squared errors, whose mean is the Brier score (Monthly Weather Review, 1950).

    Of (n, K) probabilities they are summed over the classes, as Brier has it; of (n,) of the second
    of two classes, half that.
    """
    if scores.ndim == 2:
        return np.asarray(((scores - np.eye(scores.shape[1])[labels]) ** 2).sum(axis=1))
    return np.asarray((scores - (labels == 1)) ** 2, dtype=np.float64)


def expected_calibration_error(scores: Scores, labels: Labels, weights: Floats) -> Floats:
    """Return the (draws,) ECEs of (n,) or (n, K) probabilities, counted by (draws, n) weights.

    The mean over bins, by their images, of |mean probability - share of positives|. On few images
    it is above 0 even of perfect probabilities. NaN if a probability is NaN.

    Source: Naeini et al., AAAI 2015; Guo et al., arXiv 1706.04599, for one class.
    """
    if np.isnan(scores).any():
        return np.full(len(weights), np.nan)
    if scores.ndim == 2:
        # Of K classes, of the class that is decided for: its probability, and whether it was right.
        decided = scores.argmax(axis=1)
        scores, labels = scores.max(axis=1), (decided == labels).astype(np.int64)
    gaps = (scores - (labels == 1))[:, None] * np.eye(BINS)[bins_of(scores)]
    return np.asarray(np.abs(weighted_means(gaps, weights)).sum(axis=1), dtype=np.float64)


def reliability(scores: Scores, labels: Labels, weights: Floats) -> tuple[Floats, Floats]:
    """Return mean probability and share of positives by bin, each (draws, BINS), NaN if empty."""
    members = np.eye(BINS)[bins_of(scores)]
    counts = weights @ members
    told, found = (weights @ (members * v[:, None]) for v in (scores, labels == 1))
    empty = np.full(counts.shape, np.nan)
    return (
        np.divide(told, counts, out=empty.copy(), where=counts > 0),
        np.divide(found, counts, out=empty.copy(), where=counts > 0),
    )


def net_benefit(scores: Scores, labels: Labels, weights: Floats) -> Floats:
    """Return the net benefit at each of ``ODDS``, (draws, T), of acting on probabilities.

    At threshold t: share of true positives - share of false positives x t / (1 - t). To act on
    nobody has 0, to act on everybody ``net_benefit`` of scores of 1.

    Source: Vickers and Elkin, Medical Decision Making 26(6), 2006.
    """
    acted = scores[:, None] >= ODDS
    positive = (labels == 1)[:, None]
    gains = (acted & positive) - (acted & ~positive) * ODDS / (1 - ODDS)
    return weighted_means(gains, weights)
