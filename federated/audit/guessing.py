"""Membership as a question of scores: are those of members higher, and how many stand out?"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from federated.audit.finding import ERROR, Number, clopper_pearson
from federated.statistics.areas import delong_interval
from federated.statistics.interval import Interval

Floats = npt.NDArray[np.float64]
RATES = (0.01, 0.001)
"""False-positive rates at which the true-positive rate is told."""


@dataclass(frozen=True, eq=False)
class Guess:
    """Scores of members and of others; a higher one says member."""

    members: Floats
    others: Floats

    @cached_property
    def area(self) -> Interval:
        """The AUC with its interval."""
        counts = len(self.members), len(self.others)
        labels = np.repeat(np.array([1, 0], np.int64), counts)
        return delong_interval(np.concatenate([self.members, self.others]), labels)

    @property
    def numbers(self) -> tuple[Number, ...]:
        """AUC, and the true-positive rates at low false-positive rates.

        A rate below 1 / (number of others) cannot be resolved, and is not told.
        """
        count = len(self.members) + len(self.others)
        return (Number("AUC", self.area, count), *(self._at(rate) for rate in RATES))

    def _at(self, rate: float) -> Number:
        name, count = f"TPR at {100 * rate:g} % FPR", len(self.members)
        if not self._allowed(rate):
            unknown = Interval(math.nan, math.nan, math.nan)
            return Number(name, unknown, count, f"not resolvable with {len(self.others)} others")
        return Number(name, clopper_pearson(self._named(rate), count), count)

    def _allowed(self, rate: float) -> int:
        return math.floor(rate * len(self.others) + 1e-9)

    def _named(self, rate: float) -> int:
        """Return how many members lie above the first of the others that must not."""
        threshold = np.sort(self.others)[::-1][self._allowed(rate)]
        return int((self.members > threshold).sum())

    @property
    def stands_out(self) -> bool:
        """Whether members are told from others better than by chance.

        By the test of Mann and Whitney, or by how few of the highest scores are others': the exact
        test of Fisher, which counts that the threshold was found on few others, too. Their level is
        shared among all that can be resolved.
        """
        from scipy.stats import hypergeom, mannwhitneyu  # type: ignore[import-untyped]

        tested = [float(mannwhitneyu(self.members, self.others, alternative="greater").pvalue)]
        ours, theirs = len(self.members), len(self.others)
        for rate in RATES:
            if allowed := self._allowed(rate):
                top = self._named(rate) + allowed
                tested.append(float(hypergeom.cdf(allowed, ours + theirs, theirs, top)))
        return min(tested) < ERROR / len(tested)
