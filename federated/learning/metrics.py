"""Metrics of a binary classifier: counts that merge with ``+``, ratios taken at the end.

The positive class is 1 (COVID-19). A ratio whose denominator is 0 is NaN, never 0: a site without
a healthy image has no specificity. AUC, F1 and the like of several sites are not means of theirs;
merge the counts, or say that it is the mean over sites.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.floating[Any]]  # (n,), higher speaks for class 1
Labels = npt.NDArray[np.integer[Any]]  # (n,), 1 is positive, anything else negative
Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

HIGHER_IS_BETTER: Mapping[str, bool] = MappingProxyType(
    {
        "auc": True,
        "accuracy": True,
        "balanced_accuracy": True,
        "f1": True,
        "sensitivity": True,
        "specificity": True,
        "precision": True,
        "loss": False,
    }
)
METRICS: tuple[str, ...] = tuple(HIGHER_IS_BETTER)

# A probability of exactly the threshold counts as positive, as in roc's score >= threshold.
THRESHOLD = 0.5


@dataclass(frozen=True)
class Confusion:
    """Counts of right and wrong decisions; ``a + b`` is the confusion of both sets together.

    Start a sum over sites with the empty one: ``sum(confusions, Confusion())``.

    Attributes:
        tp: positives called positive.
        fp: negatives called positive.
        tn: negatives called negative.
        fn: positives called negative.
    """

    tp: int = 0
    fp: int = 0
    tn: int = 0
    fn: int = 0

    @classmethod
    def of(cls, predicted: npt.NDArray[np.bool_], labels: Labels) -> Confusion:
        """Return the confusion of (n,) decisions, True for positive, and (n,) labels."""
        _same_length(predicted, labels)
        positive = labels == 1
        return cls(
            tp=int((predicted & positive).sum()),
            fp=int((predicted & ~positive).sum()),
            tn=int((~predicted & ~positive).sum()),
            fn=int((~predicted & positive).sum()),
        )

    def __add__(self, other: Confusion) -> Confusion:
        return Confusion(
            self.tp + other.tp, self.fp + other.fp, self.tn + other.tn, self.fn + other.fn
        )

    @property
    def total(self) -> int:
        """Number of decisions."""
        return self.tp + self.fp + self.tn + self.fn

    @property
    def accuracy(self) -> float:
        """Share of right decisions."""
        return _ratio(self.tp + self.tn, self.total)

    @property
    def sensitivity(self) -> float:
        """Share of the positives that were found (recall)."""
        return _ratio(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the negatives that were left alone."""
        return _ratio(self.tn, self.tn + self.fp)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity; NaN if a class is missing."""
        return (self.sensitivity + self.specificity) / 2

    @property
    def precision(self) -> float:
        """Share of the positive decisions that were right."""
        return _ratio(self.tp, self.tp + self.fp)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and sensitivity, of class 1: 2 tp / (2 tp + fp + fn)."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)


def classification_metrics(probabilities: Scores, labels: Labels, loss: float) -> dict[str, float]:
    """Return every metric in ``METRICS`` of one set of images.

    Args:
        probabilities: (n,) of class 1; 0.5 and above is a positive decision. If one of them is
            NaN, as from a network that diverged, every metric is NaN: a comparison with NaN is
            False, and would pass for a decision.
        labels: (n,), 1 is positive.
        loss: mean cross-entropy in nats, passed on as it is.

    Raises:
        ValueError: if there are not as many labels as probabilities.
    """
    _same_length(probabilities, labels)
    if np.isnan(probabilities).any():
        return dict.fromkeys(METRICS, math.nan) | {"loss": float(loss)}
    confusion = Confusion.of(probabilities >= THRESHOLD, labels)
    return {
        "auc": auc(probabilities, labels),
        "accuracy": confusion.accuracy,
        "balanced_accuracy": confusion.balanced_accuracy,
        "f1": confusion.f1,
        "sensitivity": confusion.sensitivity,
        "specificity": confusion.specificity,
        "precision": confusion.precision,
        "loss": float(loss),
    }


def auc(scores: Scores, labels: Labels) -> float:
    """Return the area under the ROC curve: P(positive above negative) + P(tie) / 2.

    Exact, by counting (Mann and Whitney 1947), and so the same to the bit in any order of the
    images. NaN if a class is missing or a score is NaN.

    Raises:
        ValueError: if there are not as many labels as scores.
    """
    if _undefined(scores, labels):
        return math.nan
    _, _, positives, negatives = _counts_by_score(scores, labels)
    wins_twice = int((positives * (2 * _below(negatives) + negatives)).sum())
    return wins_twice / (2 * int(positives.sum()) * int(negatives.sum()))


def roc(scores: Scores, labels: Labels) -> tuple[Floats, Floats, Floats]:
    """Return the ROC curve with a point for every distinct score, from (0, 0) to (1, 1).

    Returns:
        fpr, tpr and thresholds, each (k+1,) for k distinct scores, thresholds falling from
        infinity: the rates when every score >= threshold is called positive. The rate of a
        missing class is NaN, and so are both rates if a score is NaN.

    Raises:
        ValueError: if there are not as many labels as scores.
    """
    _same_length(scores, labels)
    values, _, positives, negatives = _counts_by_score(scores, labels)
    usable = not np.isnan(scores).any()
    fpr, tpr = (_cumulative_share(counts[::-1], usable) for counts in (negatives, positives))
    return fpr, tpr, np.concatenate([[np.inf], values[::-1]])


def paired_auc_difference(
    scores_a: Scores, scores_b: Scores, labels: Labels
) -> tuple[float, float]:
    """Return AUC(a) - AUC(b) of two scores of the same images, and its standard error.

    With V10 of a positive the share of negatives below it, V01 of a negative the share of
    positives above it (ties half), and D the difference between a and b, the variance is
    var(D10)/P + var(D01)/N over P positives and N negatives, with sample variances.

    Returns:
        (difference, standard error). Both NaN where an AUC is NaN; the error NaN where a class
        has a single image.

    Raises:
        ValueError: if there are not as many labels as scores.

    Source: DeLong et al., Biometrics 44(3), 1988; by sorting in O(n log n) as in Sun and Xu,
    IEEE Signal Processing Letters 21(11), 2014.
    """
    if _undefined(scores_a, labels) or _undefined(scores_b, labels):
        return math.nan, math.nan
    difference = auc(scores_a, labels) - auc(scores_b, labels)
    pairs = zip(placements(scores_a, labels), placements(scores_b, labels), strict=True)
    variances = [_variance_of_mean(a - b) for a, b in pairs]
    return difference, math.sqrt(sum(variances))


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan


def _same_length(values: npt.NDArray[Any], labels: Labels) -> None:
    if values.ndim != 1 or values.shape != labels.shape:
        raise ValueError(f"shapes {values.shape} and labels {labels.shape} are not one (n,)")


def _undefined(scores: Scores, labels: Labels) -> bool:
    """Return whether these have no AUC: a class is missing, or a score is NaN."""
    _same_length(scores, labels)
    positive = labels == 1
    return bool(positive.all() or not positive.any() or np.isnan(scores).any())


def _counts_by_score(scores: Scores, labels: Labels) -> tuple[Scores, Counts, Counts, Counts]:
    """Return the k distinct scores, rising, the index of each image's among them, and counts.

    The counts are (k,): how many positives, and how many negatives, have each score.
    """
    values, index = np.unique(scores, return_inverse=True)
    positive = labels == 1
    positives = np.bincount(index[positive], minlength=len(values))
    negatives = np.bincount(index[~positive], minlength=len(values))
    return values, index, positives, negatives


def _below(counts: Counts) -> Counts:
    """Return how many have a lower score, for each of the rising distinct scores."""
    return np.cumsum(counts) - counts


def _cumulative_share(counts: Counts, usable: bool) -> Floats:
    """Return (k+1,) growing shares from 0 to 1 of (k,) counts; NaN if there is nothing to share."""
    sums = np.concatenate([[0], np.cumsum(counts)])
    if not usable or sums[-1] == 0:
        return np.full(len(sums), np.nan)
    return np.asarray(sums / sums[-1], dtype=np.float64)


def placements(scores: Scores, labels: Labels) -> tuple[Floats, Floats]:
    """Return DeLong's V10 of every positive, and V01 of every negative, in the images' order."""
    _, index, positives, negatives = _counts_by_score(scores, labels)
    negatives_below = (_below(negatives) + negatives / 2) / negatives.sum()
    positives_above = 1 - (_below(positives) + positives / 2) / positives.sum()
    positive = labels == 1
    return negatives_below[index[positive]], positives_above[index[~positive]]


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1)) / len(values) if len(values) > 1 else math.nan
