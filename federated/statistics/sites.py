"""Each method at each hospital: how good, how sure, how well calibrated."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from federated.lazy import pd
from federated.learning.metrics import Confusion
from federated.learning.multiclass import confusions as confusions_of
from federated.statistics.areas import delong_interval
from federated.statistics.bootstrap import weighted_means
from federated.statistics.calibration import expected_calibration_error, squared_errors
from federated.statistics.interval import (
    Floats,
    Interval,
    of_biased_replicates,
    of_replicates,
)
from federated.statistics.rates import wilson
from federated.statistics.scored import Scored


def by_seed(models: Iterable[Scored]) -> pd.DataFrame:
    """Return a row per site, method and seed, every number with ``_low`` and ``_high`` beside it.

    ``auc`` with DeLong's interval; ``sensitivity`` and ``specificity`` at ``threshold``, which is
    Youden's on the site's validation images, with Wilson's; ``ece`` and ``brier`` with intervals
    by bootstrap of groups.
    """
    return pd.DataFrame([_of_seed(one, row) for one in models for row in range(len(one.seeds))])


def _of_seed(one: Scored, row: int) -> dict[str, object]:
    scores, labels = one.scores[row], one.labels
    drawn: dict[str, float] = {}
    for name, of, interval in DRAWN:
        value = float(of(one, row, _once(one))[0])
        drawn |= _told(name, interval(value, of(one, row, one.weights)))
    return {
        **_counts(one),
        "seed": one.seeds[row],
        **_told("auc", delong_interval(scores, labels)),
        "threshold": one.thresholds[row],
        **(_rates(one.of_seeds([one.seeds[row]])) if one.classes else _at_threshold(one, row)),
        **drawn,
    }


def over_seeds(models: Iterable[Scored]) -> pd.DataFrame:
    """Return a row per site and method: means over seeds, with ``_low`` and ``_high``.

    Intervals of ``auc``, ``ece`` and ``brier`` are by bootstrap over groups of images and seeds.
    Sensitivity and specificity have Wilson's of the mean rate with the images of one seed: more
    seeds are no more patients.
    """
    return pd.DataFrame([_over_seeds(one) for one in models])


def _over_seeds(one: Scored) -> dict[str, object]:
    rows = range(len(one.seeds))
    told: dict[str, float] = {}
    for name, of, interval in DRAWN:
        value = float(np.mean([of(one, row, _once(one))[0] for row in rows]))
        draws = np.stack([of(one, row, one.weights) for row in rows], axis=1)
        told |= _told(name, interval(value, one.over_seeds(draws)))
    return {
        **_counts(one),
        "seeds": len(one.seeds),
        **_told("auc", one.mean_auc),
        "threshold_least": one.thresholds.min(),
        "threshold_most": one.thresholds.max(),
        **_rates(one),
        **told,
    }


def _rates(one: Scored) -> dict[str, float]:
    """Return sensitivity and specificity, of the mean of the seeds, with their intervals.

    Of K classes they are the means over the classes, each against the rest, by bootstrap.
    """
    if one.classes:
        each = [
            class_rates(one, k, draws)
            for draws in (_once(one), one.weights)
            for k in range(len(one.classes))
        ]
        half = len(one.classes)
        told: dict[str, float] = {}
        for place, name in enumerate(("sensitivity", "specificity")):
            value = np.mean([rates[place] for rates in each[:half]], axis=0)
            draws = np.mean([rates[place] for rates in each[half:]], axis=0)
            told |= _told(name, of_replicates(float(value.mean()), one.over_seeds(draws)))
        return told
    confusions = [_confusion(one, row) for row in range(len(one.seeds))]
    return _wilson_of(confusions, int((one.labels == 1).sum()), int((one.labels != 1).sum()))


def _at_threshold(one: Scored, row: int) -> dict[str, float]:
    confusion = _confusion(one, row)
    return {
        **_told("sensitivity", wilson(confusion.tp, confusion.tp + confusion.fn)),
        **_told("specificity", wilson(confusion.tn, confusion.tn + confusion.fp)),
    }


def _wilson_of(confusions: list[Confusion], positives: int, negatives: int) -> dict[str, float]:
    found = wilson(float(np.mean([c.tp for c in confusions])), positives)
    spared = wilson(float(np.mean([c.tn for c in confusions])), negatives)
    return {**_told("sensitivity", found), **_told("specificity", spared)}


def class_rates(one: Scored, k: int, weights: Floats) -> tuple[Floats, Floats]:
    """Return sensitivity and specificity of a class against the rest, (draws, S) each."""
    own, decided = one.labels == k, one.scores.argmax(axis=2) == k  # (n,), (S, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (weights @ (decided & own).T) / (weights @ own)[:, None]
        spared = (weights @ (~decided & ~own).T) / (weights @ ~own)[:, None]
    unusable = np.isnan(one.scores).any(axis=(1, 2))
    found[:, unusable] = spared[:, unusable] = np.nan
    return found, spared


def by_class(models: Iterable[Scored]) -> pd.DataFrame:
    """Return a row per site, method and class, each class against the rest.

    ``auc`` with its interval by bootstrap over groups of images and seeds, ``sensitivity`` and
    ``specificity`` of decisions for the greatest probability with Wilson's, all means over seeds;
    ``images`` are those of the class. Empty where there are two classes.
    """
    return pd.DataFrame([_of_class(one, k) for one in models for k in range(len(one.classes))])


def _of_class(one: Scored, k: int) -> dict[str, object]:
    own = int((one.labels == k).sum())
    confusions = [confusions_of(scores, one.labels)[k] for scores in one.scores]
    return {
        "site": one.site,
        "method": one.method,
        "class": one.classes[k],
        "images": own,
        **_told("auc", one.of_class(k).mean_auc),
        **_wilson_of(confusions, own, len(one.labels) - own),
    }


def _counts(one: Scored) -> dict[str, object]:
    return {
        "site": one.site,
        "method": one.method,
        "images": len(one.labels),
        "classes": len(one.classes) or 2,
        "positives": int((one.labels == 1).sum()),
        "groups": int(one.groups.max()) + 1,
    }


def _confusion(one: Scored, row: int) -> Confusion:
    if np.isnan(one.scores[row]).any():
        return Confusion()
    return Confusion.of(one.scores[row] >= one.thresholds[row], one.labels)


def _once(one: Scored) -> Floats:
    return np.ones((1, len(one.labels)))


def _eces(one: Scored, row: int, weights: Floats) -> Floats:
    return expected_calibration_error(one.scores[row], one.labels, weights)


def _briers(one: Scored, row: int, weights: Floats) -> Floats:
    errors = squared_errors(one.scores[row], one.labels)
    return weighted_means(errors[:, None], weights)[:, 0]


def _told(name: str, interval: Interval) -> dict[str, float]:
    value, low, high = interval
    return {name: value, f"{name}_low": low, f"{name}_high": high}


DRAWN = (("ece", _eces, of_biased_replicates), ("brier", _briers, of_replicates))
"""Numbers whose intervals are by bootstrap: each with its name, of what, and how."""
