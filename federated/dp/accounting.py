"""What has been spent: epsilon at a delta, of all releases so far.

A hospital's whole update is released with Gaussian noise, once a round: T of these with noise
multipliers z_t are exactly one with 1 / z = sqrt(sum 1 / z_t^2) (Dong, Roth and Su 2022, arXiv
1905.02383), whose epsilon is known exactly (Balle and Wang, ICML 2018, arXiv 1805.06530, theorem
8). Steps of DP-SGD on a random share of the images are accounted with Renyi divergences (Mironov,
Talwar and Zhang 2019, arXiv 1908.10530), by Opacus: an upper bound.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Spent:
    """One release, or the steps of a round.

    Attributes:
        noise: z, the noise multiplier: standard deviation over the largest norm.
        rate: Share of the images that a step draws, each by itself; 1: all.
        steps: How many steps.
    """

    noise: float
    rate: float
    steps: int


def epsilon_of(spendings: Sequence[Spent], delta: float) -> float:
    """Return epsilon at ``delta`` of all releases together; infinite if one had no noise."""
    if not spendings:
        return 0.0
    if any(spent.noise == 0 for spent in spendings):
        return math.inf
    if all(spent.rate == 1 for spent in spendings):
        return gaussian_epsilon(
            1 / math.sqrt(sum(spent.steps / spent.noise**2 for spent in spendings)), delta
        )
    return sampled_epsilon(spendings, delta)


def gaussian_delta(noise: float, epsilon: float) -> float:
    """Return the smallest delta of the Gaussian mechanism with this multiplier at ``epsilon``."""
    from scipy.special import log_ndtr  # type: ignore[import-untyped]

    half, shift = 1 / (2 * noise), epsilon * noise
    tail = math.exp(epsilon + float(log_ndtr(-half - shift)))
    return math.exp(float(log_ndtr(half - shift))) - tail


def gaussian_epsilon(noise: float, delta: float) -> float:
    """Return the smallest epsilon of the Gaussian mechanism with this multiplier at ``delta``."""
    from scipy.optimize import brentq  # type: ignore[import-untyped]

    if gaussian_delta(noise, 0.0) <= delta:
        return 0.0
    most = 1.0
    while gaussian_delta(noise, most) > delta:
        most *= 2
    return float(brentq(lambda epsilon: gaussian_delta(noise, epsilon) - delta, 0, most))


def sampled_epsilon(spendings: Sequence[Spent], delta: float) -> float:
    """Return an upper bound of epsilon of steps that each draw their images at random."""
    from opacus.accountants.analysis import rdp  # type: ignore[import-untyped]

    orders = [*range(2, 64), *range(64, 1025, 32)]  # of whole ones the sum is exact
    whole = sum(
        np.asarray(
            rdp.compute_rdp(
                q=spent.rate, noise_multiplier=spent.noise, steps=spent.steps, orders=orders
            )
        )
        for spent in spendings
    )
    with warnings.catch_warnings():
        # With little noise the least order gives the least bound; it holds all the same.
        warnings.filterwarnings("ignore", message="Optimal order is the (smallest|largest) alpha")
        epsilon, _ = rdp.get_privacy_spent(orders=orders, rdp=whole, delta=delta)
    return max(0.0, float(epsilon))
