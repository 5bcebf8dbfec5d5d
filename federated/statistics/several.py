"""Many comparisons, many seeds, many hospitals: Holm, Wilcoxon, random effects."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from federated.statistics.interval import TAIL, Floats


def holm(p_values: Floats) -> Floats:
    """Return p-values corrected for being several (Holm, 1979); NaN stays and is not counted."""
    from statsmodels.stats.multitest import multipletests  # type: ignore[import-untyped]

    known = np.isfinite(p_values)
    corrected = np.full(len(p_values), np.nan)
    if known.any():
        corrected[known] = multipletests(p_values[known], method="holm")[1]
    return corrected


def wilcoxon_p(differences: Floats) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test; NaN of none, 1 if all are 0.

    Of n pairs it is never below 2^(1-n): fewer than six cannot come below 0.05.
    """
    from scipy.stats import wilcoxon  # type: ignore[import-untyped]

    known = differences[np.isfinite(differences)]
    if not len(known):
        return math.nan
    return float(wilcoxon(known).pvalue) if known.any() else 1.0


class Pooled(NamedTuple):
    """A random-effects mean over hospitals.

    Attributes:
        mean, low, high: The mean hospital, with its interval.
        new_low, new_high: Where a new hospital of this kind would lie; NaN of fewer than three.
        tau2: Variance between hospitals.
        i2: Share of the spread that is between hospitals and no chance, 0 to 1.
        hospitals: How many were pooled.
    """

    mean: float
    low: float
    high: float
    new_low: float
    new_high: float
    tau2: float
    i2: float
    hospitals: int


def random_effects(effects: Sequence[float], variances: Sequence[float]) -> Pooled:
    """Return the random-effects mean of estimates with their variances, on their own scale.

    Variance between hospitals after DerSimonian and Laird (Controlled Clinical Trials 7, 1986), the
    interval of the mean by the normal distribution; the prediction interval by t with k - 2
    degrees of freedom (Higgins, Thompson and Spiegelhalter, JRSS A 172, 2009, equation 12).
    """
    from scipy.stats import norm, t
    from statsmodels.stats.meta_analysis import (  # type: ignore[import-untyped]
        combine_effects,
    )

    count = len(effects)
    if count < 2:
        nan = math.nan
        return Pooled(nan, nan, nan, nan, nan, nan, nan, count)
    with np.errstate(divide="ignore", invalid="ignore"):  # of hospitals that are all alike
        found = combine_effects(np.asarray(effects), np.asarray(variances), method_re="chi2")
    tau2 = max(0.0, float(found.tau2))
    # Hospitals more alike than chance: statsmodels goes on with a variance below 0.
    common = (found.mean_effect_fe, found.sd_eff_w_fe)
    mean, error = map(float, (found.mean_effect_re, found.sd_eff_w_re) if tau2 else common)
    reach = float(norm.isf(TAIL)) * error
    reach_new = math.nan
    if count > 2:
        reach_new = float(t.ppf(1 - TAIL, count - 2)) * math.sqrt(tau2 + error**2)
    return Pooled(
        mean, mean - reach, mean + reach, mean - reach_new, mean + reach_new,
        tau2, max(0.0, float(found.i2)), count,
    )  # fmt: skip
