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
LIMIT = 2.0**38
"""Largest absolute value of a summand; 2^39 / 2^-24 = 2^63 is where int64 ends."""

Int64 = npt.NDArray[np.int64]


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
    def of(cls, tensors: Mapping[str, npt.NDArray[np.generic]], weight: int) -> ExactSum:
        """Return the sum that holds one site.

        Args:
            tensors: Arrays of float or integer values.
            weight: Positive integer weight, such as the number of training images.

        Raises:
            ValueError: weight x value is not finite or above ``LIMIT``.
        """
        parts = {}
        for name, tensor in tensors.items():
            product = tensor.astype(np.float64) * weight
            if product.size and not np.abs(product).max() < LIMIT:
                raise ValueError(f"{name}: a value is not finite or too large to be added up")
            high = np.rint(product * 2.0**HIGH_BITS)
            low = np.rint((product - high * 2.0**-HIGH_BITS) * 2.0**LOW_BITS)
            parts[name] = high.astype(np.int64), low.astype(np.int64)
        return cls(parts, weight)

    def __add__(self, other: ExactSum) -> ExactSum:
        parts = {
            name: (high + other.parts[name][0], low + other.parts[name][1])
            for name, (high, low) in self.parts.items()
        }
        return ExactSum(parts, self.weight + other.weight)

    def mean(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return the weighted mean of every tensor in float64."""
        return {
            name: (high * 2.0**-HIGH_BITS + low * 2.0**-LOW_BITS) / self.weight
            for name, (high, low) in self.parts.items()
        }
