"""Membership as a question of scores: are those of members higher, and how many stand out?"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from federated.audit.finding import Number, clopper_pearson
from federated.statistics.areas import delong_interval
from federated.statistics.interval import Interval

Floats = npt.NDArray[np.float64]
RATES = (0.01, 0.001)
"""False-positive rates at which the true-positive rate is told."""


def membership_numbers(members: Floats, others: Floats) -> tuple[Number, ...]:
    """Return AUC, and the true-positive rates at low false-positive rates, of two sets of scores.

    A rate below 1 / len(others) cannot be resolved, and is not told.
    """
    scores = np.concatenate([members, others])
    labels = np.concatenate([np.ones(len(members), np.int64), np.zeros(len(others), np.int64)])
    area = Number("AUC", delong_interval(scores, labels), len(scores))
    return (area, *(_at(members, others, rate) for rate in RATES))


def _at(members: Floats, others: Floats, rate: float) -> Number:
    name = f"TPR at {100 * rate:g} % FPR"
    allowed = math.floor(rate * len(others) + 1e-9)
    if not allowed:
        unknown = Interval(math.nan, math.nan, math.nan)
        return Number(name, unknown, len(members), f"not resolvable with {len(others)} others")
    # As many others as are allowed may lie above it; who ties with the next is not counted.
    threshold = np.sort(others)[::-1][allowed]
    return Number(
        name, clopper_pearson(int((members > threshold).sum()), len(members)), len(members)
    )


def stands_out(numbers: Sequence[Number]) -> bool:
    """Return whether members are told from others better than by chance.

    That is if the interval of the AUC lies above a half, or that of a rate above its FPR.
    """
    area, *rates = numbers
    above = [n.interval.low > rate for n, rate in zip(rates, RATES, strict=True)]
    return area.interval.low > 0.5 or (area.interval.value == 1.0) or any(above)
