"""A bound on how far a hospital can move the weights: a multiple of the round's median update.

It is what protects a federation by default from updates out of all proportion, such as noise. It
needs the lengths of the updates and their sums by class of length, and no single update
(``federated.exchange.lengths``). Its value is rounded up to the end of a class, a factor of sqrt(2)
at most, so no update below the bound is ever touched; a longer one is shortened with its class, to
between 0.7 times the bound's value and all of it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from statistics import median

import numpy as np

from federated.config.schema import Config
from federated.exchange.lengths import SHORTEST, Sums, class_of, is_real, longest_of
from federated.exchange.sharing import WEIGHTS
from server.optimizers import Float64
from server.rules import Array, Arrays

BY_DEFAULT = 3.0
"""Medians. It takes back most of what noise and scaled updates cost, and has touched no honest one
of eight hospitals of 27 to 586 images (docs/LOG.md)."""


def multiple_of(config: Config, initial: Arrays) -> float:
    """Return how many medians long an update may be; 0: there is no bound.

    By default there is none where no single length is known or comparable: under masks, where the
    sites clip and the server adds noise for the sum, where each update is used by itself
    (fedasync), and where a method sends groups of its own, which its server renews by their mean.

    Args:
        config: Of the method.
        initial: What the sites are sent in round 1, by ``GROUP/NAME``.
    """
    if config.server.norm_bound >= 0:
        return config.server.norm_bound
    privacy = config.privacy
    is_hidden = privacy.secure_aggregation or (privacy.unit != "none" and privacy.where == "server")
    is_plain = all(name.startswith(f"{WEIGHTS}/") for name in initial)
    is_alone = config.rollout.policy == "fedasync"
    return BY_DEFAULT if is_plain and not is_hidden and not is_alone else 0.0


@dataclass(frozen=True)
class Bound:
    """The greatest length that an update of a round may have.

    Attributes:
        longest: That length; infinite where there is no bound.
    """

    longest: float = math.inf

    @classmethod
    def of(cls, lengths: Sequence[float], multiple: float) -> "Bound":
        """Return the bound of a round.

        Args:
            lengths: Of all updates. One that changes nothing is none to measure others by.
            multiple: Of their median; 0: no bound.
        """
        moving = [length for length in lengths if length]
        if not multiple or not moving:
            return cls()
        return cls(longest_of(class_of(multiple * median(moving))))

    def share(self, k: int) -> float:
        """Return which share is left of the changes of a class of lengths."""
        return min(1.0, self.longest / longest_of(k)) if k > SHORTEST else 1.0


def shortened(arrays: Arrays, present: Arrays, share: float) -> dict[str, Array]:
    """Return weights of which only a share of the change is left; tensors of integers stay."""
    return {
        name: now + share * (arrays[name].astype(np.float64) - now)
        if is_real(now)
        else arrays[name]
        for name, now in present.items()
    }


def bounded_mean(sums: Sums, present: Arrays, bound: Bound) -> dict[str, Float64]:
    """Return the weighted mean of updates of which those of too long a class are shortened.

    If none is, it has the bits of the plain mean.

    Args:
        sums: Of the updates, by class of length.
        present: The weights that they changed, by ``GROUP/NAME``.
        bound: Of the round.
    """
    within = [total for k, total in sums.items() if bound.share(k) == 1]
    beyond = {k: total for k, total in sums.items() if bound.share(k) < 1}
    if not beyond:
        return reduce(add, within).mean()
    parts = [(total.mean(), total.weight) for total in within]
    for k, total in beyond.items():
        parts.append((shortened(total.mean(), present, bound.share(k)), total.weight))
    return weighted(parts)


def weighted(parts: Sequence[tuple[Mapping[str, Float64], int]]) -> dict[str, Float64]:
    """Return the weighted mean of means."""
    weight = sum(w for _, w in parts)
    return {
        name: np.sum([arrays[name] * (w / weight) for arrays, w in parts], axis=0)
        for name in parts[0][0]
    }


def weight_of(sums: Sums) -> int:
    """Return the weight of all updates."""
    return sum(total.weight for total in sums.values())
