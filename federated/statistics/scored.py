"""What the models of one method said of a hospital's test images, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from federated.learning.multiclass import against_rest, area
from federated.statistics.areas import at_its_end
from federated.statistics.bootstrap import (
    DRAWS,
    Groups,
    weighted_auc,
    weights_of_groups,
    weights_of_seeds,
)
from federated.statistics.interval import Floats, Interval, of_replicates

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Scored:
    """One method's models of one hospital, a row of scores per seed, on its test images.

    Attributes:
        site: The hospital.
        method: The method; of several runs that share its name, ``run/method``.
        seeds: Of the S rows.
        images: n names of the test images.
        labels: (n,) classes; of two, 1 is COVID.
        scores: (S, n) probabilities of COVID; of K classes, (S, n, K) of each.
        groups: (n,) which group an image belongs to, from 0.
        is_grouped: Whether the groups are known; else each image is one of its own.
        thresholds: (S,) chosen on the validation images; NaN of K classes, of which the one with
            the greatest probability is decided for.
        classes: What the classes of ``data.classes`` are called; empty: there are two.
    """

    site: str
    method: str
    seeds: tuple[int, ...]
    images: tuple[str, ...]
    labels: Labels
    scores: Floats
    groups: Groups
    is_grouped: bool
    thresholds: Floats
    classes: tuple[str, ...] = ()

    @property
    def weights(self) -> Floats:
        """(draws, n): how often each image is drawn."""
        return weights_of_groups(self.groups, self.site)

    @property
    def seed_weights(self) -> Floats:
        """(draws, S): the share of each seed."""
        return weights_of_seeds(len(self.seeds), self.site)

    @cached_property
    def aucs(self) -> Floats:
        """(S,) AUCs on the images as they are, macro of K classes."""
        return np.array([area(scores, self.labels) for scores in self.scores])

    @cached_property
    def auc_draws(self) -> Floats:
        """(draws, S) AUCs on the drawn images."""
        if self.classes:
            every = [self.of_class(k).auc_draws for k in range(len(self.classes))]
            return np.asarray(np.mean(every, axis=0), dtype=np.float64)
        rows = [weighted_auc(scores, self.labels, self.weights) for scores in self.scores]
        return np.stack(rows, axis=1)

    def of_class(self, one: int) -> Scored:
        """Return the same of one of K classes against the rest, on the same draws.

        A threshold stands for the decision for the class with the greatest probability, which no
        threshold makes; so decisions are not read of what this returns.
        """
        labels, scores = against_rest(self.labels, one), self.scores[:, :, one]
        return replace(self, labels=labels, scores=scores, classes=())

    @cached_property
    def mean_auc(self) -> Interval:
        """The mean AUC over seeds, and its interval over images and seeds."""
        value = float(self.aucs.mean())
        if value in (0, 1):  # as it is in every draw
            return at_its_end(value, self.cases)
        return of_replicates(value, self.over_seeds(self.auc_draws))

    @property
    def cases(self) -> int:
        """Groups of images that hold the rarest class."""
        return min(len(np.unique(self.groups[self.labels == k])) for k in np.unique(self.labels))

    def over_seeds(self, draws: Floats) -> Floats:
        """Return (draws,) means over the drawn seeds of (draws, S) replicates."""
        # A seed that was not drawn adds nothing, even where its replicate is undefined.
        parts = np.where(self.seed_weights > 0, draws * self.seed_weights, 0.0)
        return np.asarray(parts.sum(axis=1), dtype=np.float64)

    def of_seeds(self, seeds: Sequence[int]) -> Scored:
        """Return the same of some of the seeds."""
        if tuple(seeds) == self.seeds:
            return self  # with the draws that it has made already
        rows = [self.seeds.index(seed) for seed in seeds]
        return Scored(
            self.site, self.method, tuple(seeds), self.images, self.labels, self.scores[rows],
            self.groups, self.is_grouped, self.thresholds[rows], self.classes,
        )  # fmt: skip


def grouping_note(models: Iterable[Scored]) -> str:
    """Return what was resampled together."""
    apart = sorted({one.site for one in models if not one.is_grouped})
    note = (
        f"95 % intervals by {DRAWS} bootstrap draws of whole patients (near-duplicate images where "
        "patients are unknown) and of seeds"
    )
    if apart:
        few = ", ".join(apart[:3]) + (f" and {len(apart) - 3} more" if len(apart) > 3 else "")
        note += (
            f"; but image by image at {few}, whose data are no longer in the cache, which makes "
            "intervals too short"
        )
    return note
