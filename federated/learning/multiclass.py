"""Metrics of K classes: each class against the rest, and their plain mean ("macro").

Under the names of two classes ``auc``, ``sensitivity``, ``specificity``, ``precision`` and ``f1``
are macro means over all classes, ``accuracy`` is the share of right decisions and
``balanced_accuracy`` the mean sensitivity. A decision is the class of the greatest probability, the
first of equals. A macro mean is NaN where a class has no images: over the classes that are there it
would be another number at each hospital.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from federated.learning.metrics import (
    METRICS,
    Confusion,
    Floats,
    Labels,
    auc,
    paired_auc_difference,
    placements,
)

Probabilities = npt.NDArray[np.floating[Any]]
"""(n, K)."""


def against_rest(labels: Labels, one: int) -> npt.NDArray[np.int64]:
    """Return (n,) 1 for the images of a class, 0 for the rest."""
    return np.asarray(labels == one, dtype=np.int64)


def confusions(probabilities: Probabilities, labels: Labels) -> list[Confusion]:
    """Return the confusion of each class against the rest; they merge over sites with ``+``."""
    decided = probabilities.argmax(axis=1)
    classes = range(probabilities.shape[1])
    return [Confusion.of(decided == k, against_rest(labels, k)) for k in classes]


def class_aucs(probabilities: Probabilities, labels: Labels) -> Floats:
    """Return (K,) areas under the ROC curves of each class against the rest."""
    pairs = [(probabilities[:, k], against_rest(labels, k)) for k in range(probabilities.shape[1])]
    return np.array([auc(scores, own) for scores, own in pairs])


def multiclass_metrics(
    probabilities: Probabilities, labels: Labels, loss: float
) -> dict[str, float]:
    """Return every metric in ``METRICS`` of one set of images.

    Args:
        probabilities: (n, K) of each class; if one of them is NaN, every metric is.
        labels: (n,) classes from 0.
        loss: mean cross-entropy in nats, passed on as it is.
    """
    if np.isnan(probabilities).any():
        return dict.fromkeys(METRICS, math.nan) | {"loss": float(loss)}
    each = confusions(probabilities, labels)

    def macro(name: str) -> float:
        return float(np.mean([getattr(confusion, name) for confusion in each]))

    return {
        "auc": float(class_aucs(probabilities, labels).mean()),
        "accuracy": sum(c.tp for c in each) / len(labels) if len(labels) else math.nan,
        "balanced_accuracy": macro("sensitivity"),
        "f1": macro("f1"),
        "sensitivity": macro("sensitivity"),
        "specificity": macro("specificity"),
        "precision": macro("precision"),
        "loss": float(loss),
    }


def paired_macro_auc_difference(
    a: Probabilities, b: Probabilities, labels: Labels
) -> tuple[float, float]:
    """Return the difference of two macro AUCs on the same images, and its standard error.

    An image adds to the AUC of each class its placement there, over the number of images of its
    side (DeLong et al. 1988); the error is that of the sum of what each image adds to the mean over
    classes, so that the classes' AUCs are as dependent as they are. With K = 2 that is
    ``paired_auc_difference`` of the second class.

    Returns:
        (difference, standard error). Both NaN where an AUC is; the error NaN where a class has a
        single image.
    """
    difference = float(class_aucs(a, labels).mean() - class_aucs(b, labels).mean())
    if math.isnan(difference):
        return math.nan, math.nan
    counts = np.bincount(labels, minlength=a.shape[1])
    if (counts < 2).any():
        return difference, math.nan
    return difference, math.sqrt(sum(_variances(a, b, labels)))


def _variances(a: Probabilities, b: Probabilities, labels: Labels) -> list[float]:
    """Return, for the images of each class, the variance of the sum of what they add."""
    classes = a.shape[1]
    added = np.zeros(len(labels))
    for k in range(classes):
        own = against_rest(labels, k)
        for positive, of_a, of_b in zip(
            (1, 0), placements(a[:, k], own), placements(b[:, k], own), strict=True
        ):
            side = own == positive
            added[side] += (of_a - of_b) / side.sum() / classes
    groups = [added[labels == k] for k in range(classes)]
    return [len(group) * float(np.var(group, ddof=1)) for group in groups]


def area(scores: Probabilities, labels: Labels) -> float:
    """Return the AUC of (n,) scores of the second of two classes, the macro AUC of (n, K)."""
    return auc(scores, labels) if scores.ndim == 1 else float(class_aucs(scores, labels).mean())


def paired_area_difference(
    a: Probabilities, b: Probabilities, labels: Labels
) -> tuple[float, float]:
    """Return the difference of two such areas on the same images, and its standard error."""
    paired = paired_auc_difference if a.ndim == 1 else paired_macro_auc_difference
    return paired(a, b, labels)
