"""Dealing groups of images to bins (splits, hospitals) so that each gets what it should."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.float64]
Claim = tuple[int, Sequence[int], int]  # bin, strata, groups


def counts_of(
    groups: Sequence[str], strata: npt.NDArray[np.int64], width: int
) -> tuple[Counts, npt.NDArray[np.int64]]:
    """Return images per (group, stratum), groups sorted by name, and each image's group.

    Args:
        groups: group of each image.
        strata: stratum of each image, such as its label.
        width: number of strata.
    """
    _, members = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    members = members.astype(np.int64)
    counts = np.zeros((int(members.max()) + 1, width))
    np.add.at(counts, (members, strata), 1)
    return counts, members


def largest_first(counts: Counts, seed: int) -> npt.NDArray[np.int64]:
    """Return the groups in an order drawn from ``seed``, the largest first."""
    order = np.random.default_rng(seed).permutation(len(counts))
    return order[np.argsort(-counts[order].sum(axis=1), kind="stable")]


def deal(
    counts: Counts, target: Counts, order: npt.NDArray[np.int64], claims: Iterable[Claim]
) -> npt.NDArray[np.int64]:
    """Return the bin of each group.

    Claims go first: each bin gets the last free groups of ``order`` (the smallest: they upset the
    shares least) until it has as many groups of the strata as it claims, as far as they reach.
    Then each group, in order, goes where it lowers most the squared distance to the target per
    stratum, relative to the target.

    Args:
        counts: images, (groups, strata).
        target: images that each bin should get, (bins, strata); a row of zeros: none.
        order: in which the groups are taken.
        claims: (bin, strata, groups that it must have).
    """
    have = np.zeros_like(target)
    chosen = np.full(len(counts), -1, dtype=np.int64)
    for place, strata, wanted in claims:
        of_strata = counts[:, list(strata)].sum(axis=1) > 0
        missing = max(0, wanted - int((of_strata & (chosen == place)).sum()))
        free = order[of_strata[order] & (chosen[order] < 0)]
        taken = free[max(0, len(free) - missing) :]
        chosen[taken] = place
        have[place] += counts[taken].sum(axis=0)
    weight = np.divide(1.0, target, out=np.zeros_like(target), where=target > 0)
    closed = target.sum(axis=1) <= 0
    for group in order[chosen[order] < 0]:
        count = counts[group]
        # (have + count - target)^2 - (have - target)^2, over the target, summed over strata
        cost = (count * (2 * (have - target) + count) * weight).sum(axis=1)
        cost[closed] = np.inf
        place = int(np.argmin(cost))
        chosen[group] = place
        have[place] += count
    return chosen
