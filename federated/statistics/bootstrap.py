"""The bootstrap over images and seeds: whole groups of images are drawn, never parts of one.

Two images of a patient, or two near-duplicates, say almost the same; to draw them one by one would
make every interval too short (Field and Welsh, JRSS B 69, 2007). A hospital's draws are a function
of its name and images alone, so that all models are compared on the same draws.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from federated.learning.metrics import Labels, Scores
from federated.seeding import numpy_generator
from federated.statistics.interval import Floats

DRAWS = 2000
BLOCK = 2**21
"""Weights that are worked on at once: 16 MB."""

Groups = npt.NDArray[np.int64]  # (n,), numbered from 0 without gaps


def weights_of_groups(groups: Groups, site: str, draws: int = DRAWS) -> Floats:
    """Return (draws, n): how often each image is in each draw of as many groups as there are."""
    return _weights(groups.tobytes(), site, draws)


@lru_cache(maxsize=1)  # the models of one hospital are asked about one after the other
def _weights(content: bytes, site: str, draws: int) -> Floats:
    groups = np.frombuffer(content, dtype=np.int64)
    number = int(groups.max()) + 1
    generator = numpy_generator(0, site, 0, "bootstrap of images")
    counts = generator.multinomial(number, np.full(number, 1 / number), size=draws)
    return np.asarray(counts[:, groups], dtype=np.float64)


def weights_of_seeds(seeds: int, site: str, draws: int = DRAWS) -> Floats:
    """Return (draws, seeds) shares of each seed in each draw; 1 if there is a single seed."""
    generator = numpy_generator(0, site, 0, "bootstrap of seeds")
    counts = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws)
    return np.asarray(counts / seeds, dtype=np.float64)


def weighted_auc(scores: Scores, labels: Labels, weights: Floats) -> Floats:
    """Return the (draws,) AUCs of (n,) scores whose images count as ``weights`` (draws, n) say.

    P(positive above negative) + P(tie) / 2, as ``metrics.auc``; NaN in a draw that lacks a class,
    and everywhere if a score is NaN.
    """
    if np.isnan(scores).any():
        return np.full(len(weights), np.nan)
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    is_positive = (labels[order] == 1).astype(np.float64)
    rows = max(1, BLOCK // len(scores))
    blocks = [weights[start : start + rows][:, order] for start in range(0, len(weights), rows)]
    return np.concatenate([_areas(block, is_positive, starts) for block in blocks])


def _areas(weights: Floats, is_positive: Floats, starts: npt.NDArray[np.int64]) -> Floats:
    """Return the AUC of each row of weights, whose columns are in the order of the scores."""
    positives = np.add.reduceat(weights * is_positive, starts, axis=1)
    negatives = np.add.reduceat(weights * (1 - is_positive), starts, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives
    wins = (positives * (below + negatives / 2)).sum(axis=1)
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    areas: Floats = np.divide(wins, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return areas


def weighted_means(values: Floats, weights: Floats) -> Floats:
    """Return (draws, k) means over images of ``values`` (n, k), counted by (draws, n) weights."""
    return np.asarray(weights @ values / weights.sum(axis=1, keepdims=True), dtype=np.float64)
