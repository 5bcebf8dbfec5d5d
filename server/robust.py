"""Rules that compare a round's updates, so that a few bad ones cannot decide: median, Krum, ...

A rule takes what each update stands for in terms of the present weights, and how many of them may
be bad, and returns the tensors that take the mean's place. A new one is a function here, an entry
in ``RULES`` and a choice of ``server.rule``. Unlike the mean, which is added up where the sites
run, they need every update at the server at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from federated.config.server import Server
from federated.exchange.lengths import squared_distance
from server.rules import Arrays, Contribution, weighted_sum

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """What a rule made of a round's updates.

    Attributes:
        mean: The tensors that take the mean's place.
        chosen: Which updates went into it, by their place; None: all of them.
    """

    mean: Arrays
    chosen: tuple[int, ...] | None = None


def mean(parts: Sequence[Contribution], faulty: int, *, by_examples: bool) -> Verdict:
    """Return the weighted mean (McMahan et al. 2017), which withstands no bad update at all."""
    return Verdict(weighted_sum(parts, by_examples=by_examples).mean())


def median(parts: Sequence[Contribution], faulty: int, *, by_examples: bool) -> Verdict:
    """Return the coordinate-wise median, every site counted once (Yin et al., ICML 2018).

    arXiv 1803.01498, option I. Less than half of the updates may be bad, whatever was foreseen.
    """
    return Verdict({name: np.median(rows, axis=0) for name, rows in stacked(parts)})


def trimmed_mean(parts: Sequence[Contribution], faulty: int, *, by_examples: bool) -> Verdict:
    """Return the mean of each coordinate without its ``faulty`` least and greatest values.

    Yin et al., ICML 2018, arXiv 1803.01498, option II; every site counted once.
    """
    cut = slice(faulty, len(parts) - faulty)
    return Verdict({name: np.sort(rows, axis=0)[cut].mean(axis=0) for name, rows in stacked(parts)})


def krum(parts: Sequence[Contribution], faulty: int, *, by_examples: bool) -> Verdict:
    """Return the one update that lies closest to others (Blanchard et al., NeurIPS 2017).

    arXiv 1703.02757: the least sum of squared distances to the ``n - faulty - 2`` nearest others.
    """
    place = ranked(parts, faulty)[0]
    return Verdict(parts[place][0], (place,))


def multi_krum(parts: Sequence[Contribution], faulty: int, *, by_examples: bool) -> Verdict:
    """Return the weighted mean of the ``n - faulty`` updates that Krum finds best."""
    chosen = tuple(sorted(ranked(parts, faulty)[: len(parts) - faulty]))
    verdict = mean([parts[place] for place in chosen], 0, by_examples=by_examples)
    return Verdict(verdict.mean, chosen)


def stacked(parts: Sequence[Contribution]) -> list[tuple[str, Float64]]:
    """Return every tensor's name and its values at all sites, the site first."""
    names = parts[0][0]
    return [(n, np.stack([arrays[n].astype(np.float64) for arrays, _ in parts])) for n in names]


def ranked(parts: Sequence[Contribution], faulty: int) -> list[int]:
    """Return the updates' places, those first that lie closest to others; ties in given order."""
    count = len(parts)
    distances = np.zeros((count, count))
    for i in range(count):
        for j in range(i):
            distances[i, j] = distances[j, i] = squared_distance(parts[i][0], parts[j][0])
    nearest = max(1, count - faulty - 2)
    # The distance to itself, 0, is the first of the sorted ones.
    scores = np.sort(distances, axis=1)[:, 1 : nearest + 1].sum(axis=1)
    return [int(place) for place in np.argsort(scores, kind="stable")]


RULES: Mapping[str, Callable[..., Verdict]] = {
    "mean": mean,
    "median": median,
    "trimmed-mean": trimmed_mean,
    "krum": krum,
    "multi-krum": multi_krum,
}
"""By the choices of ``server.rule``."""


def foreseen(settings: Server, count: int) -> int:
    """Return how many of ``count`` updates may be bad: as set, or a quarter of them, at least one.

    Never so many that no update would be left to believe.
    """
    return min(settings.faulty or max(1, count // 4), (count - 1) // 2)


def judged(parts: Sequence[Contribution], settings: Server) -> Verdict:
    """Return what ``server.rule`` makes of a round's updates."""
    by_examples = settings.weighting == "examples"
    faulty = foreseen(settings, len(parts))
    return RULES[settings.rule](parts, faulty, by_examples=by_examples)
