"""Each method over all hospitals: mean, worst, spread, and what a further hospital may expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from federated.lazy import pd
from federated.statistics.areas import norm_quantile
from federated.statistics.interval import Floats
from federated.statistics.scored import Scored
from federated.statistics.several import Pooled, random_effects

ALIKE = 1e-12
"""Variance of draws that differ by rounding alone."""


def over_hospitals(models: Iterable[Scored]) -> pd.DataFrame:
    """Return a row per method: its AUCs (means over seeds) over hospitals, and their pooled mean.

    ``mean``, ``worst``, ``worst_site``, ``gap`` (best - worst) and ``sd`` are of the hospitals' own
    AUCs. ``pooled`` is their random-effects mean with its interval and ``i2``;
    ``new_low`` to ``new_high`` is where the AUC of a further hospital would lie.
    """
    by_method: dict[str, list[Scored]] = {}
    for one in models:
        if np.isfinite(one.mean_auc.value):
            by_method.setdefault(one.method, []).append(one)
    return pd.DataFrame([_row(method, sites) for method, sites in by_method.items()])


def _row(method: str, sites: Sequence[Scored]) -> dict[str, object]:
    areas = np.array([one.mean_auc.value for one in sites])
    worst = int(areas.argmin())
    found = pooled(sites)
    return {
        "method": method,
        "sites": len(sites),
        "mean": areas.mean(),
        "worst": areas[worst],
        "worst_site": sites[worst].site,
        "gap": areas.max() - areas.min(),
        "sd": areas.std(ddof=1) if len(areas) > 1 else np.nan,
        "pooled": found.mean,
        "pooled_low": found.low,
        "pooled_high": found.high,
        "new_low": found.new_low,
        "new_high": found.new_high,
        "i2": found.i2,
        "pooled_sites": found.hospitals,
    }


def pooled(sites: Sequence[Scored]) -> Pooled:
    """Return the random-effects AUC of one method over hospitals.

    On the scale of log(AUC / (1 - AUC)), where an interval stays within 0 and 1 (Snell et al.,
    Statistical Methods in Medical Research 27, 2018); each hospital's variance is that of its
    bootstrap draws over images and seeds. An AUC of 1 or 0, whose draws are all alike, has that of
    its interval (``at_its_end``); any other with draws all alike cannot be pooled. ``tau2`` stays
    on that scale.
    """
    effects, variances = [], []
    for one in sites:
        if not np.isfinite(one.mean_auc.value):
            continue
        value, variance = on_its_scale(one)
        if variance > ALIKE:
            effects.append(value)
            variances.append(variance)
    found = random_effects(effects, variances)
    mean, low, high, new_low, new_high = (1 / (1 + np.exp(-np.array(found[:5])))).tolist()
    return Pooled(mean, low, high, new_low, new_high, *found[5:])


def on_its_scale(one: Scored) -> tuple[float, float]:
    """Return log(AUC / (1 - AUC)) of a hospital, and its variance."""
    value, low, high = logit(np.array(one.mean_auc), one)
    if one.mean_auc.value in (0, 1):
        return float(value), float(((high - low) / norm_quantile()) ** 2)
    draws = logit(one.over_seeds(one.auc_draws), one)
    return float(value), float(np.nanvar(draws, ddof=1))


def logit(areas: Floats, one: Scored) -> Floats:
    """Return log(AUC / (1 - AUC)); an AUC of 0 or 1 is taken for half a pair away from it."""
    classes = range(len(one.classes)) if one.classes else (1,)
    pairs = [int((one.labels == k).sum()) * int((one.labels != k).sum()) for k in classes]
    half = 0.5 / max(1, min(pairs) * len(pairs))
    inside = np.clip(areas, half, 1 - half)
    return np.asarray(np.log(inside / (1 - inside)), dtype=np.float64)
