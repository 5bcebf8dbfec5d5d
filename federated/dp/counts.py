"""Noise on counts and sums of an answer: the geometric and the Laplace mechanism."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from federated.dp.stream import Stream


def geometric(count: int, epsilon: float, stream: Stream) -> npt.NDArray[np.int64]:
    """Return integer noise for counts of which one image changes one by one, epsilon-DP.

    P(k) is proportional to exp(-epsilon |k|), as the difference of two geometric numbers is.
    Source: Ghosh, Roughgarden and Sundararajan, STOC 2009.
    """
    parts = np.floor(np.log(stream.uniforms(2 * count)) / -epsilon).reshape(2, count)
    drawn: npt.NDArray[np.int64] = (parts[0] - parts[1]).astype(np.int64)
    return drawn


def laplace(count: int, epsilon: float, stream: Stream) -> npt.NDArray[np.float64]:
    """Return real noise for sums that one image changes by 1 in all, epsilon-DP.

    Source: Dwork et al., TCC 2006.
    """
    parts = -np.log(stream.uniforms(2 * count)).reshape(2, count) / epsilon
    drawn: npt.NDArray[np.float64] = parts[0] - parts[1]
    return drawn


def noised(counts: Sequence[float], epsilon: float, stream: Stream) -> list[float]:
    """Return counts with geometric noise, none below 0."""
    noise = geometric(len(counts), epsilon, stream)
    return [float(max(0, round(c) + int(n))) for c, n in zip(counts, noise, strict=True)]


def shares_of(sums: npt.NDArray[np.float64], epsilon: float, stream: Stream) -> list[float]:
    """Return the shares of sums with Laplace noise, none below 0, to three decimals.

    The decimals cut off are those in which a float64 of Laplace noise gives away what it was added
    to (Mironov, CCS 2012).
    """
    noisy = np.maximum(sums + laplace(len(sums), epsilon, stream), 0.0)
    whole = noisy.sum()
    return [round(float(v / whole), 3) if whole > 0 else math.nan for v in noisy]
