"""How far updates change the weights, and sums of them sorted by that.

Whether an update is too long is known when all have come in: it is a matter of their median
(``server.norm-bound``). So that nobody must hold single updates until then, they are added up by
class of length, each class a factor of sqrt(2) wide; the server shortens a class as a whole.
"""

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from federated.exchange.exact import BLOCK, Accumulator, ExactSum, Tensors

Sums = Mapping[int, ExactSum]
"""Sums of updates by their class of length; all in class 0 where lengths do not matter."""

SHORTEST, LONGEST = -2000, 2000
"""Classes of what has no length, and of what is infinitely long."""


def length_of(arrays: Tensors, before: Tensors) -> float:
    """Return the L2 norm of a change of weights, as ``squared_distance`` has it."""
    return math.sqrt(squared_distance(arrays, before))


def squared_distance(a: Tensors, b: Tensors) -> float:
    """Return the squared L2 distance of two networks by the same names, in float64.

    Tensors of integers, such as counters, do not count. Neither a BLAS, whose number of threads
    would change bits, nor memory beyond a core's own cache is used.
    """
    return sum(_apart(a[n].reshape(-1), b[n].reshape(-1)) for n in b if is_real(b[n]))


def is_real(array: npt.NDArray[np.generic]) -> bool:
    """Return whether an array holds floating-point numbers."""
    return np.issubdtype(array.dtype, np.floating)


def _apart(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> float:
    """Return the squared distance of two flat arrays, block by block."""
    squares, change = 0.0, np.empty(min(BLOCK, b.size))
    for start in range(0, b.size, BLOCK):
        here = slice(start, start + BLOCK)
        x = np.subtract(a[here], b[here], out=change[: b[here].size], dtype=np.float64)
        squares += float(np.einsum("i,i->", x, x))
    return squares


def class_of(length: float) -> int:
    """Return the class k of a length: 2^((k-1)/2) < length <= 2^(k/2)."""
    if not 0 < length < math.inf:
        return LONGEST if length else SHORTEST
    k = math.ceil(2 * math.log2(length))
    return k + 1 if longest_of(k) < length else k - 1 if longest_of(k - 1) >= length else k


def longest_of(k: int) -> float:
    """Return the greatest length of a class."""
    return 2.0 ** (k / 2) if k < LONGEST else math.inf


class Accumulators:
    """Adds sites up by class of length, with the memory of a sum for each class that occurs.

    Args:
        heaviest: As for ``Accumulator``.
    """

    def __init__(self, heaviest: int = 0) -> None:
        self._heaviest = heaviest
        self._by_class: dict[int, Accumulator] = {}

    def of(self, k: int) -> Accumulator:
        """Return what adds a class up."""
        return self._by_class.setdefault(k, Accumulator(self._heaviest))

    def absorb(self, sums: Sums) -> None:
        """Add sums of other sites."""
        for k, one in sums.items():
            self.of(k).absorb(one)

    def total(self) -> Sums:
        """Return what has been added up, and begin again at nothing."""
        found, self._by_class = self._by_class, {}
        return {k: one.total() for k, one in sorted(found.items()) if one.weight}
