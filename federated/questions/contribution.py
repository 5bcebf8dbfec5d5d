"""What each hospital gains, and what the others gain from it, by running without it.

A game of hospitals: the worth of a coalition S is the gain of its members over training alone,
v(S) = sum over i in S of AUC_i(S) - AUC_i({i}), on test images, each model chosen on its hospital's
own validation images. The Shapley value (Shapley 1953) is a hospital's mean marginal worth over all
orders of joining; for more than ``EXACT`` hospitals orders are sampled (Castro et al. 2009).
"""

from collections.abc import Callable, Sequence
from itertools import permutations
from random import Random

import numpy as np
import pandas as pd

EXACT = 4
"""Up to so many hospitals all orders are played: 15 runs for four."""

Coalition = frozenset[str]
Aucs = Callable[[Coalition], pd.Series]
"""AUC of each member of a coalition, by running it."""


def worth(aucs: Aucs, coalition: Coalition) -> float:
    """Return v(S), AUC summed over hospitals; 0 for nobody or one."""
    if len(coalition) < 2:
        return 0.0
    together = aucs(coalition)
    return float(sum(together[site] - aucs(frozenset([site]))[site] for site in sorted(coalition)))


def leave_one_out(aucs: Aucs, everyone: Sequence[str], of: Sequence[str]) -> pd.DataFrame:
    """Return what hospitals gain by being there, and what the others gain by that.

    Args:
        aucs: Runs a coalition.
        everyone: All hospitals.
        of: Those to leave out in turn.

    Returns:
        Columns ``site``, ``alone`` and ``together`` (AUC), ``own gain``, ``others' gain`` (mean
        over the others of AUC with it minus AUC without it), ``worst other`` (the least of these).
    """
    full = frozenset(everyone)
    together = aucs(full)
    rows = []
    for site in of:
        alone = float(aucs(frozenset([site]))[site])
        without = aucs(full - {site})
        gains = together[without.index] - without
        rows.append(
            {
                "site": site,
                "alone": alone,
                "together": float(together[site]),
                "own gain": float(together[site]) - alone,
                "others' gain": float(gains.mean()),
                "worst other": float(gains.min()),
            }
        )
    return pd.DataFrame(rows)


def orders_to_play(everyone: Sequence[str], samples: int, seed: int) -> list[tuple[str, ...]]:
    """Return all orders of joining, or ``samples`` drawn ones if there are too many hospitals."""
    if len(everyone) <= EXACT:
        return list(permutations(sorted(everyone)))
    random = Random(seed)
    return [tuple(random.sample(sorted(everyone), len(everyone))) for _ in range(samples)]


def shapley(aucs: Aucs, orders: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Return each hospital's mean marginal worth over orders of joining.

    Returns:
        Columns ``site``, ``shapley`` (AUC summed over hospitals) and ``standard error`` (over
        sampled orders; 0 if all were played).
    """
    marginal: dict[str, list[float]] = {site: [] for site in sorted(orders[0])}
    for order in orders:
        before = 0.0
        for count, site in enumerate(order, start=1):
            after = worth(aucs, frozenset(order[:count]))
            marginal[site].append(after - before)
            before = after
    all_played = len(orders[0]) <= EXACT
    return pd.DataFrame(
        {
            "site": site,
            "shapley": float(np.mean(values)),
            "standard error": 0.0
            if all_played
            else float(np.std(values, ddof=1) / np.sqrt(len(values)))
            if len(values) > 1
            else float("nan"),
        }
        for site, values in marginal.items()
    )
