"""Weighted sums of tensors in which the order of the summands changes no bit.

Floating-point addition is not associative, so a mean over sites would depend on the order in which
replies arrive and on how many workers add up partial sums. Here each summand is turned into two
fixed-point integers; integer addition is associative, hence so is the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

HIGH_BITS = 24
"""The high part counts units of 2^-24, the low part units of 2^-72."""
LOW_BITS = 72
CAPACITY = 2.0**39
"""Where int64 ends for a sum: 2^39 / 2^-24 = 2^63."""
LIMIT = CAPACITY / 2
"""Largest absolute value of a lone summand."""
HEAVIEST = 2**29
"""Weights are below it: times a float32 they are exact in float64."""

HIGH_ROUNDER = 1.5 * 2.0 ** (52 - HIGH_BITS)
LOW_ROUNDER = 1.5 * 2.0 ** (52 - LOW_BITS)
"""Adding one of them rounds a small float64 to that many bits after the point, as rint would, and
leaves how many units it has in the last bits of the sum: read as int64 these are the rounder's own
bits plus the wanted integer, and no cast is needed."""
HIGH_OFFSET = int(np.float64(HIGH_ROUNDER).view(np.int64))
LOW_OFFSET = int(np.float64(LOW_ROUNDER).view(np.int64))
QUICK_LIMIT = 2.0 ** (51 - HIGH_BITS)
"""Up to here the sum with ``HIGH_ROUNDER`` keeps its exponent."""
BLOCK = 2**15
"""Elements at a time: two buffers of 256 KB stay in a core's own cache."""

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]
Tensors = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class ExactSum:
    """Sum of weight x tensor over sites: ``(high, low)`` per tensor, and the sum of weights.

    A float32 value w with an integer weight n < 2^29 has the exact float64 product x = n w. Its
    high part is x rounded to 2^-24; the rest is below 2^-25 and is rounded to 2^-72. The result is
    off by at most 2^-73 per site, and a lone site's w above 2^-48 comes back unchanged.
    """

    parts: Mapping[str, tuple[Int64, Int64]]
    weight: int

    @classmethod
    def of(cls, tensors: Tensors, weight: int) -> ExactSum:
        """Return the sum that holds one site; arguments and errors as ``Accumulator.include``."""
        accumulator = Accumulator()
        accumulator.include(tensors, weight)
        return accumulator.total()

    def __add__(self, other: ExactSum) -> ExactSum:
        parts = {
            name: (high + other.parts[name][0], low + other.parts[name][1])
            for name, (high, low) in self.parts.items()
        }
        return ExactSum(parts, self.weight + other.weight)

    def mean(self) -> dict[str, Float64]:
        """Return the weighted mean of every tensor in float64."""
        return {
            name: (high * 2.0**-HIGH_BITS + low * 2.0**-LOW_BITS) / self.weight
            for name, (high, low) in self.parts.items()
        }


class Accumulator:
    """Adds sites up in place, with no memory but one sum's.

    How large a site's values may be depends on the weight of all and not on what others brought, so
    that no order of arrival decides which of them is refused, and no sum passes the end of int64.

    Args:
        heaviest: At most what all weights will add up to, those of absorbed sums included; 0: not
            known, and each site is judged as if it were alone.

    Attributes:
        weight: The sum of the weights so far; 0 as long as nothing was added.
    """

    def __init__(self, heaviest: int = 0) -> None:
        self._limit = CAPACITY / (heaviest + 1)
        self._parts: dict[str, tuple[Int64, Int64]] = {}
        self.weight = 0
        self._offsets = 0  # how many times the rounders' own bits are in every element

    def include(self, tensors: Tensors, weight: int) -> None:
        """Add one site.

        Args:
            tensors: Arrays of float or integer values, the same names and shapes at every call.
            weight: Positive integer weight, such as the number of training images.

        Raises:
            ValueError: as ``check``; nothing has been added.
        """
        largest = self.check(tensors, weight)
        for name, tensor in tensors.items():
            high, low = self._part(name, tensor.shape)
            add = _add_quickly if largest[name] < QUICK_LIMIT else _add_slowly
            add(high.reshape(-1), low.reshape(-1), tensor.reshape(-1), weight)
        self.weight += weight
        self._offsets += 1

    def check(self, tensors: Tensors, weight: int) -> dict[str, float]:
        """Return each tensor's largest absolute value times ``weight``.

        Raises:
            ValueError: the weight is not positive or not below ``HEAVIEST``, or a value is not
                finite or larger than can be added up.
        """
        if not 0 < weight < HEAVIEST:
            raise ValueError("a weight that cannot be")
        largest = {name: _largest(tensor) * weight for name, tensor in tensors.items()}
        for name, size in largest.items():
            if not (size < LIMIT and size / weight < self._limit):
                raise ValueError(f"{name}: a value is not finite or too large to be added up")
        return largest

    def absorb(self, other: ExactSum) -> None:
        """Add the sum of other sites."""
        for name, (high, low) in other.parts.items():
            mine = self._part(name, high.shape)
            np.add(mine[0], high, out=mine[0])
            np.add(mine[1], low, out=mine[1])
        self.weight += other.weight

    def total(self) -> ExactSum:
        """Return what has been added up, and begin again at nothing."""
        for high, low in self._parts.values():
            # int64 wraps around at both ends, so that taking all offsets off at last is exact.
            np.subtract(high, _wrapped(HIGH_OFFSET * self._offsets), out=high)
            np.subtract(low, _wrapped(LOW_OFFSET * self._offsets), out=low)
        total = ExactSum(self._parts, self.weight)
        self._parts, self.weight, self._offsets = {}, 0, 0
        return total

    def _part(self, name: str, shape: tuple[int, ...]) -> tuple[Int64, Int64]:
        if name not in self._parts:
            self._parts[name] = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        return self._parts[name]


def _largest(tensor: npt.NDArray[np.generic]) -> float:
    """Return the largest absolute value, NaN if there is one; 0 without elements."""
    if not tensor.size:
        return 0.0
    low, high = float(tensor.min()), float(tensor.max())
    return max(-low, high) if low == low else low


def _wrapped(integer: int) -> np.int64:
    """Return an integer modulo 2^64, as int64 has it."""
    return np.uint64(integer % 2**64).view(np.int64)


def _add_quickly(high: Int64, low: Int64, tensor: npt.NDArray[np.generic], weight: int) -> None:
    """Add ``tensor`` x ``weight``, below ``QUICK_LIMIT``, block by block; all arrays are flat."""
    product, rounded = np.empty((2, min(BLOCK, tensor.size)))
    bits = rounded.view(np.int64)
    for start in range(0, tensor.size, BLOCK):
        here = slice(start, start + BLOCK)
        size = tensor[here].size
        x, t, units = product[:size], rounded[:size], bits[:size]
        np.multiply(tensor[here], float(weight), out=x, dtype=np.float64)
        np.add(x, HIGH_ROUNDER, out=t)
        high[here] += units
        np.subtract(t, HIGH_ROUNDER, out=t)
        np.subtract(x, t, out=x)
        np.add(x, LOW_ROUNDER, out=t)
        low[here] += units


def _add_slowly(high: Int64, low: Int64, tensor: npt.NDArray[np.generic], weight: int) -> None:
    """Add ``tensor`` x ``weight``, below ``LIMIT``: the same integers by rounding and casting."""
    product = tensor.astype(np.float64) * weight
    whole = np.rint(product * 2.0**HIGH_BITS)
    rest = np.rint((product - whole * 2.0**-HIGH_BITS) * 2.0**LOW_BITS)
    high += whole.astype(np.int64) + HIGH_OFFSET
    low += rest.astype(np.int64) + LOW_OFFSET
